package store_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/store"
	"github.com/navefleet/nave/shared/manifest"
)

// conformance is what every engine promises.
var conformance = []struct {
	name string
	test func(t *testing.T, s *store.Store)
}{
	{"rows_read_back", rowsReadBack},
	{"missing_rows", missingRows},
	{"scan_order", scansInOrder},
	{"scan_writes", scansMayWrite},
	{"scan_ends", scansEnd},
	{"failed_update", failedUpdates},
	{"panic_in_update", panickedUpdates},
	{"stable_view", viewsAreStable},
	{"read_only_view", viewsCannotWrite},
	{"transaction_ends", transactionsEnd},
	{"update_reads_itself", updatesSeeThemselves},
	{"concurrent_updates", concurrentUpdates},
	{"key_limits", keyLimits},
	{"equal_put", equalPuts},
	{"changed_back", changedBack},
	{"watcher_wakes", watchersWake},
	{"watcher_is_bounded", watchersAreBounded},
	{"watcher_of_tables", watchersOfTables},
	{"watcher_closes", watchersClose},
	{"watch_then_view", watchThenView},
	{"blobs", blobs},
	{"missing_blobs", missingBlobs},
	{"damaged_blob", deletedBlobs},
	{"sweep", sweeps},
	{"sweep_before_row", sweepBeforeRow},
	{"put_during_sweep", putDuringSweep},
	{"failed_sweep", failedSweep},
	{"many_blobs", manyBlobs},
	{"failed_put", failedPut},
	{"events_of_object", eventsPerObject},
	{"empty", emptyStores},
	{"closed", closedStores},
	{"ended_context", endedContexts},
	{"pages", pages},
	{"index_by_kind", indexByKind},
	{"delete_graph", deleteGraph},
	{"delete_cluster", deleteCluster},
	{"active_cluster", activeCluster},
}

func TestStore(t *testing.T) {
	engines := map[string]func(t *testing.T) *store.Store{
		"memory":       func(*testing.T) *store.Store { return store.OpenMemory() },
		"memory_twice": func(*testing.T) *store.Store { return store.OpenMemory(store.Twice) },
		"file":         func(t *testing.T) *store.Store { return open(t, filepath.Join(t.TempDir(), "hub.db")) },
		"file_twice": func(t *testing.T) *store.Store {
			return open(t, filepath.Join(t.TempDir(), "hub.db"), store.Twice)
		},
	}
	for name, engine := range engines {
		for _, c := range conformance {
			t.Run(name+"/"+c.name, func(t *testing.T) {
				s := engine(t)
				defer s.Close()
				c.test(t, s)
			})
		}
	}
}

func open(t *testing.T, path string, options ...store.Option) *store.Store {
	t.Helper()
	s, err := store.Open(path, options...)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func update(t *testing.T, s *store.Store, fn func(tx *store.Tx) error) {
	t.Helper()
	if err := s.Update(t.Context(), fn); err != nil {
		t.Fatal(err)
	}
}

func view(t *testing.T, s *store.Store, fn func(tx *store.Tx) error) {
	t.Helper()
	if err := s.View(t.Context(), fn); err != nil {
		t.Fatal(err)
	}
}

// endedContexts: neither the wait for another writer nor a watcher outlives its context.
func endedContexts(t *testing.T, s *store.Store) {
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	ran := func(*store.Tx) error { t.Error("the function ran"); return nil }
	expect(t, "view", errors.Is(s.View(ended, ran), context.Canceled), true)
	expect(t, "update", errors.Is(s.Update(ended, ran), context.Canceled), true)
	_, open := <-s.Watch(ended).C()
	expect(t, "watcher open", open, false)

	waiting, cancel := context.WithCancel(t.Context())
	w, answer := s.Watch(waiting), make(chan error)
	update(t, s, func(tx *store.Tx) error { // the other writer
		go func() { answer <- s.Update(waiting, ran) }()
		cancel()
		expect(t, "wait", errors.Is(<-answer, context.Canceled), true)
		return nil
	})
	_, open = <-w.C()
	expect(t, "watcher open", open, false)
	put(t, s, "a")
	expect(t, "changes", len(w.Take()), 0)
}

// put writes outcomes whose reason is their key, for tests that care about keys only.
func put(t *testing.T, s *store.Store, keys ...string) {
	t.Helper()
	update(t, s, func(tx *store.Tx) error {
		for _, k := range keys {
			if err := store.Conditions.Put(tx, k, store.Condition{Reason: k}); err != nil {
				return err
			}
		}
		return nil
	})
}

func keys(t *testing.T, s *store.Store, prefix string) (all []string) {
	t.Helper()
	view(t, s, func(tx *store.Tx) error {
		all = nil
		return store.Conditions.Scan(tx, prefix, func(key string, _ store.Condition) error {
			all = append(all, key)
			return nil
		})
	})
	return all
}

func expect(t *testing.T, what string, got, want any) {
	t.Helper()
	if g, w := fmt.Sprint(got), fmt.Sprint(want); g != w {
		t.Errorf("%s: got %s, want %s", what, g, w)
	}
}

func rowsReadBack(t *testing.T, s *store.Store) {
	row := store.SignedBundle{Envelope: []byte{0, 1, 255}, ExpiresAt: time.Date(2030, 1, 2, 3, 4, 5, 6, time.UTC)}
	row.Bundle.Sequence = 1 << 60
	row.Bundle.Digest = manifest.DigestOf([]byte("x"))
	update(t, s, func(tx *store.Tx) error { return store.SignedBundles.Put(tx, "prod", row) })
	view(t, s, func(tx *store.Tx) error {
		got, ok, err := store.SignedBundles.Get(tx, "prod")
		expect(t, "row", fmt.Sprintf("%+v %v", got, ok), fmt.Sprintf("%+v true", row))
		return err
	})
	if s.Epoch() == 0 {
		t.Error("the epoch is 0")
	}
}

func emptyStores(t *testing.T, s *store.Store) {
	empty := func() bool {
		t.Helper()
		empty, err := s.Empty(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return empty
	}
	expect(t, "a new store is empty", empty(), true)
	update(t, s, func(tx *store.Tx) error { return store.Spokes.Put(tx, "prod", store.Spoke{}) })
	expect(t, "a store with a row is empty", empty(), false)
	update(t, s, func(tx *store.Tx) error { return store.Spokes.Delete(tx, "prod") })
	expect(t, "a store without its row is empty", empty(), true)
}

func missingRows(t *testing.T, s *store.Store) {
	update(t, s, func(tx *store.Tx) error {
		_, ok, err := store.Plans.Get(tx, "nowhere")
		expect(t, "found", ok, false)
		return errors.Join(err, store.Plans.Delete(tx, "nowhere"))
	})
}

func scansInOrder(t *testing.T, s *store.Store) {
	put(t, s, "b/2", "a", "b/10", "c", "b/1", "b", "b0")
	expect(t, "prefix", keys(t, s, "b/"), []string{"b/1", "b/10", "b/2"})
	expect(t, "all", keys(t, s, ""), []string{"a", "b", "b/1", "b/10", "b/2", "b0", "c"})
	expect(t, "none", keys(t, s, "zzz"), []string{})
}

func scansMayWrite(t *testing.T, s *store.Store) {
	put(t, s, "a", "b", "c", "d")
	var seen []string
	update(t, s, func(tx *store.Tx) error {
		seen = nil
		return store.Conditions.Scan(tx, "", func(key string, row store.Condition) error {
			seen = append(seen, key)
			if key == "a" {
				if err := store.Conditions.Delete(tx, "c"); err != nil {
					return err
				}
			}
			row.Message = "seen"
			return errors.Join(store.Conditions.Put(tx, key, row), store.Conditions.Put(tx, key+"2", row))
		})
	})
	expect(t, "seen", seen, []string{"a", "b", "d"})
	expect(t, "left", keys(t, s, ""), []string{"a", "a2", "b", "b2", "d", "d2"})
}

func scansEnd(t *testing.T, s *store.Store) {
	put(t, s, "a", "b")
	stop := errors.New("stop")
	visits := 0
	err := s.View(t.Context(), func(tx *store.Tx) error {
		return store.Conditions.Scan(tx, "", func(string, store.Condition) error {
			visits++
			return stop
		})
	})
	expect(t, "visits", visits, 1)
	expect(t, "error", errors.Is(err, stop), true)
}

func failedUpdates(t *testing.T, s *store.Store) {
	put(t, s, "kept")
	w := s.Watch(t.Context())
	defer w.Close()
	reason := errors.New("no")
	err := s.Update(t.Context(), func(tx *store.Tx) error {
		return errors.Join(store.Conditions.Put(tx, "new", store.Condition{}), store.Conditions.Delete(tx, "kept"), reason)
	})
	expect(t, "error", errors.Is(err, reason), true)
	expect(t, "left", keys(t, s, ""), []string{"kept"})
	expect(t, "changes", len(w.Take()), 0)
}

func panickedUpdates(t *testing.T, s *store.Store) {
	func() {
		defer func() { _ = recover() }()
		_ = s.Update(t.Context(), func(tx *store.Tx) error {
			if err := store.Conditions.Put(tx, "x", store.Condition{}); err != nil {
				return err
			}
			panic("a bug")
		})
	}()
	put(t, s, "y")
	expect(t, "left", keys(t, s, ""), []string{"y"})
}

func viewsAreStable(t *testing.T, s *store.Store) {
	put(t, s, "a", "b")
	state := func(tx *store.Tx) string {
		a, _, err := store.Conditions.Get(tx, "a")
		_, ok, err2 := store.Conditions.Get(tx, "b")
		return fmt.Sprint(a.Reason, ok, err, err2)
	}
	view(t, s, func(tx *store.Tx) error {
		before, done := state(tx), make(chan error)
		go func() {
			done <- s.Update(t.Context(), func(tx *store.Tx) error {
				return errors.Join(store.Conditions.Delete(tx, "b"), store.Conditions.Put(tx, "a", store.Condition{Reason: "new"}))
			})
		}()
		if err := <-done; err != nil {
			return err
		}
		expect(t, "state", state(tx), before)
		return nil
	})
	expect(t, "afterwards", keys(t, s, ""), []string{"a"})
}

func viewsCannotWrite(t *testing.T, s *store.Store) {
	err := s.View(t.Context(), func(tx *store.Tx) error { return store.Conditions.Put(tx, "a", store.Condition{}) })
	expect(t, "put", errors.Is(err, store.ErrReadOnly), true)
	err = s.View(t.Context(), func(tx *store.Tx) error { return store.Conditions.Delete(tx, "a") })
	expect(t, "delete", errors.Is(err, store.ErrReadOnly), true)
	err = s.View(t.Context(), func(tx *store.Tx) error { return store.Record(tx, store.Event{}) })
	expect(t, "record", errors.Is(err, store.ErrReadOnly), true)
}

func transactionsEnd(t *testing.T, s *store.Store) {
	var kept *store.Tx
	update(t, s, func(tx *store.Tx) error { kept = tx; return store.Conditions.Put(tx, "a", store.Condition{}) })
	_, _, err := store.Conditions.Get(kept, "a")
	expect(t, "get", errors.Is(err, store.ErrClosed), true)
	expect(t, "put", errors.Is(store.Conditions.Put(kept, "a", store.Condition{}), store.ErrClosed), true)
	expect(t, "scan", errors.Is(store.Conditions.Scan(kept, "", nil), store.ErrClosed), true)
}

func updatesSeeThemselves(t *testing.T, s *store.Store) {
	update(t, s, func(tx *store.Tx) error {
		if err := store.Conditions.Put(tx, "a", store.Condition{Reason: "new"}); err != nil {
			return err
		}
		row, ok, err := store.Conditions.Get(tx, "a")
		expect(t, "row", fmt.Sprint(row.Reason, ok), "newtrue")
		return err
	})
}

func concurrentUpdates(t *testing.T, s *store.Store) {
	const writers, rounds = 8, 10
	var all sync.WaitGroup
	for range writers {
		all.Go(func() {
			for range rounds {
				_ = s.Update(t.Context(), func(tx *store.Tx) error {
					row, _, err := store.Conditions.Get(tx, "count")
					row.ObservedGeneration++
					return errors.Join(err, store.Conditions.Put(tx, "count", row))
				})
			}
		})
	}
	all.Wait()
	view(t, s, func(tx *store.Tx) error {
		row, _, err := store.Conditions.Get(tx, "count")
		expect(t, "count", row.ObservedGeneration, writers*rounds)
		return err
	})
}

func keyLimits(t *testing.T, s *store.Store) {
	for _, key := range []string{"", strings.Repeat("x", 40_000)} {
		err := s.Update(t.Context(), func(tx *store.Tx) error {
			return store.Conditions.Put(tx, key, store.Condition{})
		})
		if err == nil {
			t.Errorf("a key of %d bytes was taken", len(key))
		}
	}
}

func equalPuts(t *testing.T, s *store.Store) {
	put(t, s, "a")
	w := s.Watch(t.Context())
	defer w.Close()
	put(t, s, "a")
	update(t, s, func(tx *store.Tx) error { return store.Conditions.Delete(tx, "not there") })
	select {
	case <-w.C():
		t.Error("woken for an equal put")
	default:
	}
	expect(t, "changes", len(w.Take()), 0)
}

func changedBack(t *testing.T, s *store.Store) {
	put(t, s, "a")
	w := s.Watch(t.Context())
	defer w.Close()
	update(t, s, func(tx *store.Tx) error {
		return errors.Join(
			store.Conditions.Put(tx, "a", store.Condition{Reason: "other"}),
			store.Conditions.Put(tx, "a", store.Condition{Reason: "a"}),
			store.Conditions.Put(tx, "b", store.Condition{}), store.Conditions.Delete(tx, "b"))
	})
	expect(t, "changes", len(w.Take()), 0)
}

func watchersWake(t *testing.T, s *store.Store) {
	put(t, s, "old")
	w := s.Watch(t.Context())
	defer w.Close()
	update(t, s, func(tx *store.Tx) error {
		err := errors.Join(store.Conditions.Put(tx, "b", store.Condition{}), store.Conditions.Put(tx, "a", store.Condition{}),
			store.Conditions.Delete(tx, "old"), store.Plans.Put(tx, "a", store.Plan{}))
		select {
		case <-w.C():
			t.Error("woken before the commit")
		default:
		}
		return err
	})
	<-w.C()
	expect(t, "changes", w.Take(), []store.Change{{"outcomes", "a"}, {"outcomes", "b"}, {"outcomes", "old"},
		{"plans", "a"}})
	expect(t, "the second take", len(w.Take()), 0)
}

func watchersAreBounded(t *testing.T, s *store.Store) {
	w := s.Watch(t.Context(), store.Conditions.Name())
	defer w.Close()
	for i := range 50 {
		update(t, s, func(tx *store.Tx) error {
			return store.Conditions.Put(tx, "a", store.Condition{ObservedGeneration: int64(i + 1)})
		})
	}
	<-w.C()
	select {
	case <-w.C():
		t.Error("signalled twice")
	default:
	}
	expect(t, "changes", w.Take(), []store.Change{{"outcomes", "a"}})
}

func watchersOfTables(t *testing.T, s *store.Store) {
	w := s.Watch(t.Context(), store.Plans.Name(), store.Spokes.Name())
	defer w.Close()
	put(t, s, "a")
	update(t, s, func(tx *store.Tx) error { return store.Spokes.Put(tx, "a", store.Spoke{}) })
	<-w.C()
	expect(t, "changes", w.Take(), []store.Change{{"spokes", "a"}})
}

func watchersClose(t *testing.T, s *store.Store) {
	w := s.Watch(t.Context())
	put(t, s, "a")
	w.Close()
	w.Close()
	put(t, s, "b")
	<-w.C() // the signal of a, or the end
	if _, ok := <-w.C(); ok {
		t.Error("C is open")
	}
	expect(t, "changes", len(w.Take()), 0)
}

func watchThenView(t *testing.T, s *store.Store) {
	const rows = 50
	go func() {
		for i := range rows {
			_ = s.Update(t.Context(), func(tx *store.Tx) error {
				return store.Conditions.Put(tx, fmt.Sprintf("%02d", i), store.Condition{})
			})
		}
	}()
	w := s.Watch(t.Context(), store.Conditions.Name())
	defer w.Close()
	seen := map[string]bool{}
	for _, k := range keys(t, s, "") {
		seen[k] = true
	}
	for len(seen) < rows {
		<-w.C()
		for _, c := range w.Take() {
			seen[c.Key] = true
		}
	}
}

func eventsPerObject(t *testing.T, s *store.Store) {
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.FixedZone("far", 7*3600))
	chatty := api.Key{Kind: "Kustomization", Namespace: "flux-system", Name: "chatty"}
	quiet := api.Key{Kind: "Kustomization", Namespace: "flux-system", Name: "chatty2"}
	update(t, s, func(tx *store.Tx) error {
		if err := store.Record(tx, store.Event{Object: quiet, Time: start.Add(-time.Hour), Message: "quiet"}); err != nil {
			return err
		}
		for i := range 150 {
			e := store.Event{Object: chatty, Time: start.Add(time.Duration(i/2) * time.Second), Message: fmt.Sprint(i)}
			if err := store.Record(tx, e); err != nil {
				return err
			}
		}
		return nil
	})
	expect(t, "messages", messages(t, s), append([]string{"quiet"}, numbers(50, 150)...))
}

func messages(t *testing.T, s *store.Store) (all []string) {
	view(t, s, func(tx *store.Tx) error {
		all = nil
		return store.Events.Scan(tx, "", func(_ string, e store.Event) error {
			all = append(all, e.Message)
			return nil
		})
	})
	return all
}

func numbers(from, to int) (all []string) {
	for i := from; i < to; i++ {
		all = append(all, fmt.Sprint(i))
	}
	return all
}

// It is not part of the suite because bbolt needs seconds for it under the race detector.
func TestEventLimit(t *testing.T) {
	s := store.OpenMemory()
	const more = 30
	update(t, s, func(tx *store.Tx) error {
		for i := range 10_000 + more {
			key := api.Key{Kind: "Kustomization", Name: fmt.Sprint(i / 90)}
			e := store.Event{Object: key, Message: fmt.Sprint(i), Time: time.Unix(int64(i), 0)}
			if err := store.Record(tx, e); err != nil {
				return err
			}
		}
		return nil
	})
	got := messages(t, s)
	if len(got) > 10_000 || len(got) < 9_900 {
		t.Errorf("%d are kept", len(got))
	}
	expect(t, "what is kept", got, numbers(10_000+more-len(got), 10_000+more))
}

func closedStores(t *testing.T, s *store.Store) {
	w := s.Watch(t.Context())
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, ok := <-w.C(); ok {
		t.Error("the watcher is open")
	}
	nothing := func(*store.Tx) error { return nil }
	expect(t, "view", errors.Is(s.View(t.Context(), nothing), store.ErrClosed), true)
	expect(t, "update", errors.Is(s.Update(t.Context(), nothing), store.ErrClosed), true)
	late := s.Watch(t.Context())
	if _, ok := <-late.C(); ok {
		t.Error("a watcher of a closed store is open")
	}
	late.Close()
}

func TestWatcher_far_behind(t *testing.T) {
	s := store.OpenMemory()
	w := s.Watch(t.Context())
	defer w.Close()
	put(t, s, "first")
	update(t, s, func(tx *store.Tx) error {
		for i := range 1<<18 + 1 {
			if err := store.Plans.Put(tx, fmt.Sprintf("%08d", i), store.Plan{}); err != nil {
				return err
			}
		}
		return nil
	})
	expect(t, "changes", w.Take(), []store.Change{{Table: "outcomes"}, {Table: "plans"}})
	put(t, s, "second")
	expect(t, "changes", w.Take(), []store.Change{{Table: "outcomes", Key: "second"}})
}
