package publish

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/navefleet/nave/hub/internal/store"
	"github.com/navefleet/nave/shared/manifest"
)

// history returns the history of a cluster, the oldest first.
func (b *bench) history(cluster string) (all []store.Past) {
	b.T.Helper()
	b.must(b.Store.View(b.T.Context(), func(tx *store.Tx) error {
		all = nil
		return store.History.Scan(tx, store.OfCluster(cluster), func(_ string, past store.Past) error {
			all = append(all, past)
			return nil
		})
	}))
	return all
}

func (b *bench) forgetHistory(cluster string) {
	b.T.Helper()
	for _, past := range b.history(cluster) {
		b.update(func(tx *store.Tx) error { return store.History.Delete(tx, store.PastKey(cluster, past.Bundle)) })
	}
}

// pin pins a cluster, or ends its pin if past is nil.
func (b *bench) pin(cluster string, past *store.Past) {
	b.T.Helper()
	b.update(func(tx *store.Tx) error {
		if past == nil {
			return store.Pins.Delete(tx, cluster)
		}
		return store.Pins.Put(tx, cluster, store.Pin{Past: *past, PinnedAt: b.now})
	})
	b.must(b.note(b.T.Context(), []store.Change{{Table: store.Pins.Name(), Key: cluster}}))
}

// nowReleased returns the digest of the application that was released to a cluster, and the sequence of the bundle.
func (b *bench) nowReleased(cluster string) (d manifest.Digest, sequence uint64) {
	b.T.Helper()
	b.must(b.Store.View(b.T.Context(), func(tx *store.Tx) error {
		r, _, err := store.Releases.Get(tx, cluster)
		d = r.Applications[0].Digest
		return err
	}))
	signed, _ := b.signed(cluster)
	return d, signed.Bundle.Sequence
}

// TestHistory publishes more releases than a history keeps, and a bundle that only renews the last one.
func TestHistory(t *testing.T) {
	b := newBench(t)
	for i := range store.HistoryLimit + 2 {
		b.plan("east", fmt.Sprint(i))
		b.publish()
	}
	b.now = b.now.Add(b.TTL)
	b.whole = true
	b.publish()
	all := b.history("east")
	if len(all) != store.HistoryLimit || all[0].Bundle.Sequence != 3 || all[len(all)-1].Bundle.Sequence != 12 {
		t.Fatalf("%+v", all)
	}
	if _, sequence := b.nowReleased("east"); sequence != 13 {
		t.Errorf("the bundle was not renewed: %d", sequence)
	}
}

// TestPin_left takes the Cluster of a pinned cluster out of Git. The application that is newer than the pin stays in
// the release; it goes with the pin.
func TestPin_left(t *testing.T) {
	b := newBench(t)
	b.plan("east", "old")
	b.publish()
	past := b.history("east")[0]
	past.Applications[0].Name.Name = "older"
	b.pin("east", &past)
	b.publish()
	leave := func() {
		b.update(func(tx *store.Tx) error { return store.DeleteGraph(tx, "east") })
		b.must(b.note(t.Context(), []store.Change{{Table: store.Plans.Name(), Key: "east"}}))
		b.publish()
	}
	released := func() (names []string) {
		b.must(b.Store.View(t.Context(), func(tx *store.Tx) error {
			r, _, err := store.Releases.Get(tx, "east")
			names = nil
			for _, e := range r.Applications {
				names = append(names, e.Name.Name)
			}
			return err
		}))
		return names
	}
	pinned := released()
	leave()
	b.plan("east", "old")
	b.publish()
	if got := released(); len(pinned) != 2 || !slices.Equal(got, pinned) {
		t.Errorf("back in Git: %v, want %v", got, pinned)
	}
	leave()
	b.pin("east", nil)
	b.publish()
	if got := released(); len(got) > 0 {
		t.Errorf("without a pin: %v", got)
	}
}

// TestPin pins a cluster to an old release, plans a new one, sweeps, and ends the pin.
func TestPin(t *testing.T) {
	b := newBench(t)
	b.plan("east", "old")
	b.publish()
	b.plan("east", "new")
	b.publish()
	past := b.history("east")[0]
	b.pin("east", &past)
	b.publish()
	for i, p := range b.history("east") {
		if p.Left != (i == 1) {
			t.Errorf("bundle %d: left by a rollback: %v", p.Bundle.Sequence, p.Left)
		}
	}
	old := past.Applications[0].Digest
	if d, sequence := b.nowReleased("east"); d != old || sequence != 3 {
		t.Errorf("pinned: %s in bundle %d, want %s in bundle 3", d, sequence, old)
	}
	b.forgetHistory("east")
	b.now = b.now.Add(time.Minute)
	b.plan("east", "newer")
	b.publish()
	if d, sequence := b.nowReleased("east"); d != old || sequence != 3 {
		t.Errorf("planned meanwhile: %s in bundle %d, want %s in bundle 3", d, sequence, old)
	}
	for range 3 {
		b.must(b.sweep(t.Context()))
	}
	if !b.has(old) || !b.has(manifest.DigestOf([]byte("old"))) || !b.has(manifest.DigestOf([]byte("newer"))) {
		t.Error("what the pin or the plan needs was swept")
	}
	b.update(func(tx *store.Tx) error { return store.DeleteGraph(tx, "east") }) // its Cluster left Git
	b.dirty["east"] = true
	b.publish()
	b.plan("east", "newer")
	b.publish()
	if d, _ := b.nowReleased("east"); d != old {
		t.Errorf("back in Git: %s, want %s", d, old)
	}
	if h := b.history("east"); len(h) != 1 || h[0].Applications[0].Digest != old {
		t.Errorf("the history of the cluster that is back: %+v", h)
	}
	b.pin("east", nil)
	b.publish()
	if d, sequence := b.nowReleased("east"); d != b.application("newer").Digest || sequence != 2 {
		t.Errorf("released: %s in bundle %d", d, sequence)
	}
}
