package publish

import (
	"strings"
	"testing"

	"go.etcd.io/bbolt"

	"github.com/navefleet/nave/hub/internal/release"
	"github.com/navefleet/nave/hub/internal/store"
	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/manifest"
)

// TestMovedMeanwhile changes the rows of one of two clusters while their bundles are signed. No row is written for this
// cluster, and the next round makes a bundle of its new rows.
func TestMovedMeanwhile(t *testing.T) {
	for name, tt := range map[string]struct {
		move     func(*bench)
		sequence uint64 // afterwards; 0: no bundle
	}{
		"plan":         {func(b *bench) { b.plan("east", "three") }, 2},
		"plan_deleted": {func(b *bench) { b.update(func(tx *store.Tx) error { return store.Plans.Delete(tx, "east") }) }, 0},
		"image": {func(b *bench) {
			b.update(func(tx *store.Tx) error {
				began := store.UpgradeProgress{Began: b.now}
				return store.Upgrades.Put(tx, "east", store.Upgrade{Image: "r/s:v2", UpgradeProgress: began})
			})
		}, 2},
		"spoke": {func(b *bench) { b.acked("east", bundle.ID{Epoch: b.Store.Epoch(), Sequence: 7}) }, 8},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			b.plan("east", "one")
			b.plan("west", "one")
			b.publish()
			before, _ := b.signed("east")
			b.plan("east", "two")
			b.plan("west", "two")
			candidates, err := b.readAll(t.Context(), []string{"east", "west"})
			b.must(err)
			for _, c := range candidates {
				b.must(b.prepare(c, &release.Round{Now: b.now}))
			}
			tt.move(b)
			b.must(b.write(t.Context(), candidates, b.now))
			if d, ok := b.signed("east"); ok && d.Bundle != before.Bundle || !b.dirty["east"] {
				t.Errorf("bundle %v, to be looked at again: %v", d.Bundle, b.dirty["east"])
			}
			if d, _ := b.signed("west"); d.Bundle.Sequence != 2 || b.dirty["west"] {
				t.Errorf("the other cluster: bundle %v, to be looked at again: %v", d.Bundle, b.dirty["west"])
			}
			b.publish()
			if d, _ := b.signed("east"); d.Bundle.Sequence != tt.sequence {
				t.Errorf("then bundle %v, want sequence %d", d.Bundle, tt.sequence)
			}
		})
	}
}

// TestUnreadableRow has a row of one cluster that cannot be read. Only that cluster is affected, and has an event.
func TestUnreadableRow(t *testing.T) {
	for table, want := range map[string]struct {
		event    string
		sequence uint64 // of the cluster's bundle
	}{
		store.SignedBundles.Name(): {"BundleUnread: the last bundle was replaced", 1},
		store.Plans.Name():         {"BundleRefused: no bundle can be made", 1},
		store.Releases.Name():      {"BundleRefused: no bundle can be made", 1},
	} {
		t.Run(table, func(t *testing.T) {
			b, _, _ := spoilt(t, func(tx *bbolt.Tx, _ []byte) error {
				return tx.Bucket([]byte(table)).Put([]byte("east"), []byte("{rubbish"))
			})
			for _, content := range []string{"three", "four"} {
				b.plan("west", content)
				b.acked("east", bundle.ID{})
				b.whole = true
				b.publish()
			}
			if d, _ := b.signed("west"); d.Bundle.Sequence != 3 {
				t.Errorf("the other cluster has bundle %v", d.Bundle)
			}
			if d, _ := b.signed("east"); d.Bundle.Sequence != want.sequence {
				t.Errorf("the cluster has bundle %v", d.Bundle)
			}
			if got := b.events("east"); len(got) != 1 || !strings.HasPrefix(got[0], want.event) ||
				!strings.Contains(got[0], table+"/east") {
				t.Errorf("events %q", got)
			}
			if refused := strings.HasPrefix(want.event, "BundleRefused"); (b.refusal("east") != "") != refused {
				t.Errorf("refusal %q", b.refusal("east"))
			}
			if got := b.events("west"); len(got) > 0 || len(b.dirty) > 0 {
				t.Errorf("events of the other cluster %q, to be looked at again %v", got, b.dirty)
			}
		})
	}
}

// TestMembers lists the clusters of a Fleet, whether a change waits for them or not.
func TestMembers(t *testing.T) {
	b := newBench(t)
	b.plan("east", "one")
	b.plan("north", "one")
	b.publish()
	b.plan("east", "two")
	b.plan("west", "two")
	b.update(func(tx *store.Tx) error { return store.Plans.Put(tx, "other", store.Plan{}) })
	members, err := b.members(t.Context(), "all")
	b.must(err)
	var got []string
	for _, m := range members {
		text := m.Cluster
		if m.Waits() {
			text += " waits"
		}
		if m.Released != (manifest.Digest{}) {
			text += " runs"
		}
		got = append(got, text)
	}
	if text := strings.Join(got, ", "); text != "east waits runs, north runs, west waits" {
		t.Errorf("members: %s", text)
	}
}
