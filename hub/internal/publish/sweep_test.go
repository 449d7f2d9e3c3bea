package publish

import (
	"bytes"
	"errors"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"

	"go.etcd.io/bbolt"

	"github.com/navefleet/nave/hub/internal/store"
	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/manifest"
)

// spoilt returns a bench over a file with the bundles of two clusters and a blob of garbage, after spoil changed the
// Application of the first cluster. It also returns the entry of that Application, and the digest of the garbage.
func spoilt(t *testing.T, spoil func(tx *bbolt.Tx, application []byte) error) (b *bench, entry bundle.Entry,
	garbage manifest.Digest) {
	b = newBench(t)
	path := filepath.Join(t.TempDir(), "hub.db")
	open := func() {
		s, err := store.Open(path, store.Twice)
		b.must(err)
		b.Store = s
	}
	open()
	b.plan("east", "one")
	b.plan("west", "two")
	b.publish()
	b.update(func(tx *store.Tx) error {
		plan, _, err := store.Plans.Get(tx, "east")
		b.must(err)
		entry = plan.Applications[0].Bundle()
		return err
	})
	garbage = b.putBlob("garbage")
	b.update(func(tx *store.Tx) error { return store.Repairs.Put(tx, "west", store.Repair{}) })
	b.update(func(tx *store.Tx) error { return store.Repairs.Delete(tx, "west") })
	b.must(b.Store.Close())
	db, err := bbolt.Open(path, 0o600, nil)
	b.must(err)
	b.must(db.Update(func(tx *bbolt.Tx) error { return spoil(tx, entry.Digest[:]) }))
	b.must(db.Close())
	open()
	t.Cleanup(func() { b.Store.Close() })
	return b, entry, garbage
}

func (b *bench) has(d manifest.Digest) bool {
	b.T.Helper()
	_, _, err := b.Store.Blobs().Compressed(b.T.Context(), d)
	if errors.Is(err, store.ErrNotFound) {
		return false
	}
	b.must(err)
	return true
}

func (b *bench) repair(cluster string) (row store.Repair, ok bool) {
	b.T.Helper()
	b.must(b.Store.View(b.T.Context(), func(tx *store.Tx) (err error) {
		row, ok, err = store.Repairs.Get(tx, cluster)
		return err
	}))
	return row, ok
}

// TestSweepUnreadable checks that a sweep deletes no other blob if it cannot read an Application, and requests its
// repair.
func TestSweepUnreadable(t *testing.T) {
	for name, spoil := range map[string]func(*bbolt.Bucket, []byte) error{
		"missing":  func(blobs *bbolt.Bucket, key []byte) error { return blobs.Delete(key) },
		"no_frame": func(blobs *bbolt.Bucket, key []byte) error { return blobs.Put(key, []byte("rubbish that is no frame")) },
		"cut_off":  func(blobs *bbolt.Bucket, key []byte) error { return blobs.Put(key, []byte{1}) },
		"others": func(blobs *bbolt.Bucket, key []byte) error {
			other := manifest.DigestOf([]byte("two"))
			return blobs.Put(key, bytes.Clone(blobs.Get(other[:])))
		},
	} {
		t.Run(name, func(t *testing.T) {
			b, entry, garbage := spoilt(t, func(tx *bbolt.Tx, application []byte) error {
				return spoil(tx.Bucket([]byte("blobs")), application)
			})
			var log strings.Builder
			b.Publisher.Log = slog.New(slog.NewTextHandler(&log, nil))
			b.must(b.sweep(t.Context()))
			for _, content := range []string{"one", "two", "garbage"} {
				if !b.has(manifest.DigestOf([]byte(content))) {
					t.Errorf("%s was swept", content)
				}
			}
			if b.has(entry.Digest) {
				t.Error("the damaged blob stands in the way of a new one")
			}
			if row, _ := b.repair("east"); len(row.Applications) != 1 || row.Applications[0] != entry.Digest {
				t.Errorf("asked for %v", row)
			}
			if row, ok := b.repair("west"); ok {
				t.Errorf("asked for %v of a cluster that lacks nothing", row)
			}
			if text := log.String(); strings.Count(text, "level=WARN") != 1 || !strings.Contains(text, entry.Digest.String()) ||
				!strings.Contains(text, "[east]") {
				t.Errorf("logged %s", text)
			}
			if again := b.application("one"); again.Digest != entry.Digest { // what the planner does
				t.Errorf("made %s again, want %s", again.Digest, entry.Digest)
			}
			b.update(func(tx *store.Tx) error { return store.Repairs.Delete(tx, "east") })
			b.must(b.sweep(t.Context()))
			if b.has(garbage) || !b.has(manifest.DigestOf([]byte("one"))) {
				t.Error("the next sweep does not do what a sweep does")
			}
			if _, ok := b.repair("east"); ok {
				t.Error("it asks again for what is there")
			}
		})
	}
}

// TestSweepUsedAgain checks that a render keeps its row and blobs if the planner uses it again during the sweep.
func TestSweepUsedAgain(t *testing.T) {
	b := newBench(t)
	used, unused := b.putBlob("used again"), b.putBlob("unused")
	b.update(func(tx *store.Tx) error {
		return putRenders(tx, map[string]store.Render{"used": {Value: naming(used)}, "unused": {Value: naming(unused)}})
	})
	r := newReachable(b.now)
	b.must(b.Store.View(t.Context(), r.renders))
	b.update(func(tx *store.Tx) error {
		return putRenders(tx, map[string]store.Render{"used": {Value: naming(used), UsedAt: b.now}})
	})
	b.update(r.forget)
	if !r.reached[used] || r.reached[unused] {
		t.Errorf("reached %v", r.reached)
	}
	b.must(b.Store.View(t.Context(), func(tx *store.Tx) error {
		for key, stays := range map[string]bool{"used": true, "unused": false} {
			if _, ok, err := store.Renders.Get(tx, key); err != nil || ok != stays {
				t.Errorf("%s stays: %v, %v", key, ok, err)
			}
		}
		return nil
	}))
}
