package publish

import (
	"strings"
	"testing"

	"go.etcd.io/bbolt"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/release"
	"github.com/navefleet/nave/hub/internal/rollout"
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
				b.prepare(c, b.now)
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

// TestPaced releases the content of a Fleet with a rollout only to clusters whose turn it is, and is woken by turns.
func TestPaced(t *testing.T) {
	b := newBench(t)
	fleet := api.FleetKey("all")
	b.update(func(tx *store.Tx) error {
		return store.Resources.Put(tx, fleet.Path(), store.Resource{Key: fleet, Object: api.StoredObject(fleet, []byte(
			`{"apiVersion":"fleet.nave.io/v1alpha1","kind":"Fleet","metadata":{"name":"all"},"spec":{"rollout":{}}}`))})
	})
	b.plan("east", "one")
	b.publish()
	released := func() string {
		t.Helper()
		var r store.Release
		b.must(b.Store.View(t.Context(), func(tx *store.Tx) (err error) {
			r, _, err = store.Releases.Get(tx, "east")
			return err
		}))
		return release.DigestOf("all", r.Applications).String()
	}
	if got := released(); got != (manifest.Digest{}).String() {
		t.Errorf("released %s before its turn", got)
	}
	planned := release.DigestOf("all", []store.Entry{store.EntryOf("all", b.application("one"))})
	b.update(func(tx *store.Tx) error {
		return store.Turns.Put(tx, store.TurnKey("east", "all"), store.Turn{Progress: rollout.Progress{
			State: rollout.ClusterUnderWay, Target: planned, Offered: b.now}})
	})
	b.must(b.note(t.Context(), []store.Change{{Table: store.Turns.Name(), Key: store.TurnKey("east", "all")}}))
	b.publish()
	if got := released(); got != planned.String() {
		t.Errorf("released %s, want %s", got, planned)
	}
	b.plan("east", "two")
	candidates, err := b.readAll(t.Context(), []string{"east"})
	b.must(err)
	b.prepare(candidates[0], b.now)
	b.update(func(tx *store.Tx) error { return store.Turns.Delete(tx, store.TurnKey("east", "all")) })
	b.must(b.write(t.Context(), candidates, b.now))
	if !b.dirty["east"] {
		t.Error("a release was written, although the turn has changed meanwhile")
	}
}
