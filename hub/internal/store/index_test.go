package store_test

import (
	"errors"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/store"
)

func putResources(t *testing.T, s *store.Store, keys ...api.Key) {
	t.Helper()
	update(t, s, func(tx *store.Tx) error {
		for _, k := range keys {
			if err := store.Resources.Put(tx, k.Path(), store.Resource{Key: k, UID: "uid of " + k.Name}); err != nil {
				return err
			}
		}
		return nil
	})
}

// allPages reads a list page by page, each in a View of its own, and returns its keys.
func allPages[T any](t *testing.T, s *store.Store, limit int,
	page func(tx *store.Tx, after string, limit int) ([]store.Row[T], string, error)) (keys []string) {
	t.Helper()
	for after, more := "", true; more; more = after != "" {
		var rows []store.Row[T]
		at := after
		view(t, s, func(tx *store.Tx) (err error) {
			rows, after, err = page(tx, at, limit)
			return err
		})
		if len(rows) > limit || len(rows) == 0 && after != "" {
			t.Fatalf("a page of %d rows, limit %d, next %q", len(rows), limit, after)
		}
		for _, r := range rows {
			keys = append(keys, r.Key)
		}
	}
	return keys
}

// pages: following next gives every row of the prefix once, whatever the limit.
func pages(t *testing.T, s *store.Store) {
	put(t, s, "a/1", "b/1", "b/2", "b/3", "b/4", "c/1")
	for limit := 1; limit <= 5; limit++ {
		got := allPages(t, s, limit, func(tx *store.Tx, after string, limit int) ([]store.Row[store.Condition], string,
			error) {
			return store.Conditions.Page(tx, "b/", after, limit)
		})
		expect(t, fmt.Sprint("pages of ", limit), got, []string{"b/1", "b/2", "b/3", "b/4"})
	}
}

var (
	hubWeb   = api.Key{Kind: "Kustomization", Namespace: "apps", Name: "web"}
	eastWeb  = api.Key{Cluster: "east", Kind: "Kustomization", Namespace: "apps", Name: "web"}
	eastDB   = api.Key{Cluster: "east", Kind: "Kustomization", Namespace: "data", Name: "db"}
	eastRepo = api.Key{Cluster: "east", Kind: "GitRepository", Namespace: "apps", Name: "web"}
	westWeb  = api.Key{Cluster: "west", Kind: "Kustomization", Namespace: "apps", Name: "web"}
)

// ofKind lists the resources of a kind in all clusters.
func ofKind(t *testing.T, s *store.Store, prefix string) []string {
	t.Helper()
	return allPages(t, s, 2, func(tx *store.Tx, after string, limit int) ([]store.Row[store.Resource], string, error) {
		return store.ResourcesByKind.Page(tx, prefix, after, limit)
	})
}

// indexByKind: the index follows every change of the table, in the transaction of the change.
func indexByKind(t *testing.T, s *store.Store) {
	putResources(t, s, westWeb, eastWeb, eastDB, eastRepo, hubWeb)
	all := []string{hubWeb.Path(), eastWeb.Path(), eastDB.Path(), westWeb.Path()}
	expect(t, "all", ofKind(t, s, "Kustomization/"), all)
	expect(t, "of a cluster", ofKind(t, s, "Kustomization/east/"), all[1:3])
	w := s.Watch(t.Context())
	defer w.Close()
	failed := errors.New("made up")
	err := s.Update(t.Context(), func(tx *store.Tx) error {
		return errors.Join(store.Resources.Delete(tx, eastWeb.Path()), failed)
	})
	expect(t, "failed update", errors.Is(err, failed), true)
	expect(t, "after a failed update", ofKind(t, s, "Kustomization/"), all)
	update(t, s, func(tx *store.Tx) error { return store.Resources.Delete(tx, eastWeb.Path()) })
	expect(t, "after a delete", ofKind(t, s, "Kustomization/"), []string{all[0], all[2], all[3]})
	expect(t, "changes", w.Take(), []store.Change{{Table: "resources", Key: eastWeb.Path()}})
	update(t, s, func(tx *store.Tx) error {
		return store.ResourcesByKind.Scan(tx, "Kustomization/", func(key string, r store.Resource) error {
			expect(t, "row", r.Key.Path(), key)
			return store.Resources.Delete(tx, key)
		})
	})
	expect(t, "after a scan that deletes", len(ofKind(t, s, "Kustomization/")), 0)
	expect(t, "another kind", ofKind(t, s, ""), []string{eastRepo.Path()})
}

// TestReindex: a file that an older hub wrote gets its index when it is opened.
func TestReindex(t *testing.T) {
	for name, spoil := range map[string]func(tx *bbolt.Tx) error{
		"no_index": func(tx *bbolt.Tx) error { return tx.DeleteBucket([]byte("resources.bykind")) },
		"rows_since": func(tx *bbolt.Tx) error {
			b := tx.Bucket([]byte("resources"))
			row := b.Get([]byte(eastWeb.Path()))
			return errors.Join(b.Put([]byte(westWeb.Path()), row), b.Delete([]byte(eastWeb.Path())))
		},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "hub.db")
			s := open(t, path)
			putResources(t, s, eastWeb, eastRepo)
			spoilFile(t, s, path, spoil)
			s = open(t, path)
			defer s.Close()
			want := keysOf(t, s)
			expect(t, "rows", len(want), 2)
			expect(t, "index", ofKind(t, s, ""), want)
		})
	}
}

// keysOf returns the keys of all resources; GitRepositories come before Kustomizations in the tests that use it.
func keysOf(t *testing.T, s *store.Store) (keys []string) {
	t.Helper()
	view(t, s, func(tx *store.Tx) error {
		keys = nil
		return store.Resources.Scan(tx, "", func(key string, _ store.Resource) error {
			keys = append(keys, key)
			return nil
		})
	})
	return keys
}

// spoilFile closes the store and changes its file.
func spoilFile(t *testing.T, s *store.Store, path string, spoil func(tx *bbolt.Tx) error) {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	db, err := bbolt.Open(path, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(db.Update(spoil), db.Close()); err != nil {
		t.Fatal(err)
	}
}

// TestMendEvents: when a file is opened, the index and the count of events agree with the events, and a damaged event
// is gone.
func TestMendEvents(t *testing.T) {
	first := func(b *bbolt.Bucket) []byte { key, _ := b.Cursor().First(); return key }
	for name, c := range map[string]struct {
		spoil func(tx *bbolt.Tx) error
		left  int
	}{
		"no_index": {func(tx *bbolt.Tx) error { return tx.DeleteBucket([]byte("events.byobject")) }, 3},
		"stale_index": {func(tx *bbolt.Tx) error {
			b := tx.Bucket([]byte("events"))
			return b.Delete(first(b))
		}, 2},
		"damaged": {func(tx *bbolt.Tx) error {
			b := tx.Bucket([]byte("events"))
			return b.Put(first(b), []byte("{rubbish"))
		}, 2},
		"count": {func(tx *bbolt.Tx) error {
			return tx.Bucket([]byte("events.count")).Put([]byte("count"), []byte("{rubbish"))
		}, 3},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "hub.db")
			s := open(t, path)
			recordWeb := func(n int) {
				update(t, s, func(tx *store.Tx) error {
					return store.Record(tx, store.Event{Time: time.Unix(int64(n), 0), Object: eastWeb, Message: fmt.Sprint(n)})
				})
			}
			for n := range 3 {
				recordWeb(n)
			}
			spoilFile(t, s, path, c.spoil)
			s = open(t, path)
			defer s.Close()
			for n, want := range []int{c.left, c.left + 1} {
				var events []store.Event
				view(t, s, func(tx *store.Tx) (err error) {
					events, err = store.EventsOf(eastWeb).Newest(tx, 10)
					return err
				})
				expect(t, "events", len(events), want)
				recordWeb(3 + n)
			}
		})
	}
}
