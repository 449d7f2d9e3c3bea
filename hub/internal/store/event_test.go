package store

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/navefleet/nave/hub/api"
)

// record records n events about different objects of a cluster, or of the hub, from a moment on.
func record(t *testing.T, s *Store, cluster string, n int, from time.Time) {
	t.Helper()
	err := s.Update(t.Context(), func(tx *Tx) error {
		for i := range n {
			key := api.Key{Cluster: cluster, Kind: "Kustomization", Namespace: "made-up", Name: fmt.Sprint(i % 977)}
			if i%10 == 9 && cluster != "" {
				key = api.Key{Kind: "Cluster", Name: cluster}
			}
			e := Event{Object: key, Time: from.Add(time.Duration(i) * time.Second), Message: fmt.Sprint(i)}
			if err := Record(tx, e); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// kept counts the events by cluster, and holds the index and the counter to them.
func kept(t *testing.T, s *Store) map[string]int {
	t.Helper()
	counts, total := map[string]int{}, 0
	err := s.View(t.Context(), func(tx *Tx) error {
		err := Events.Scan(tx, "", func(_ string, e Event) error {
			counts[api.ClusterOf(e.Object.Path())]++
			total++
			return nil
		})
		if err != nil {
			return err
		}
		indexed, err := keysOf(tx.engine, eventIndex.name, "")
		if err != nil {
			return err
		}
		count, _, err := eventCounters.Get(tx, eventCountKey)
		if len(indexed) != total || count.Kept != total {
			t.Errorf("%d events, %d in the index, counted %d", total, len(indexed), count.Kept)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return counts
}

func TestEventShares(t *testing.T) {
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	t.Run("one_flood", func(t *testing.T) {
		s := OpenMemory()
		record(t, s, "quiet", 20, start)
		record(t, s, "", 150, start)
		record(t, s, "loud", 3*maxEventsPerCluster, start.Add(time.Hour))
		got := kept(t, s)
		if got["quiet"] != 20 || got[""] != 150 || got["loud"] > maxEventsPerCluster ||
			got["loud"] < maxEventsPerCluster-eventSlack {
			t.Errorf("kept %v", got)
		}
	})
	t.Run("many_floods", func(t *testing.T) {
		s := OpenMemory()
		record(t, s, "quiet", 20, start)
		for i := range maxEvents/maxEventsPerCluster + 1 {
			record(t, s, fmt.Sprint("loud-", i), maxEventsPerCluster, start.Add(time.Hour))
		}
		got, total := kept(t, s), 0
		for _, n := range got {
			total += n
		}
		if got["quiet"] != 20 || total > maxEvents || total < maxEvents-2*eventSlack {
			t.Errorf("%d kept: %v", total, got)
		}
	})
	t.Run("more_clusters_than_events", func(t *testing.T) {
		if testing.Short() {
			t.Skip("takes seconds")
		}
		s := OpenMemory()
		for i := range maxEvents + 50 {
			record(t, s, fmt.Sprint("c-", i), 1, start.Add(time.Duration(i)*time.Second))
		}
		if got := kept(t, s); len(got) > maxEvents || len(got) < maxEvents-eventSlack ||
			got[fmt.Sprint("c-", maxEvents+49)] != 1 {
			t.Errorf("%d kept", len(got))
		}
	})
}

func TestFairShare(t *testing.T) {
	for name, tt := range map[string]struct {
		sizes []int
		total int
		want  int
	}{
		"all_fit":        {[]int{1, 2, 3}, 100, 94},
		"one_too_many":   {[]int{10, 1, 100}, 50, 39},
		"all_too_many":   {[]int{100, 100, 100}, 30, 10},
		"none":           {nil, 10, 10},
		"more_than_room": {[]int{1, 1, 1}, 2, 0},
	} {
		got := fairShare(slices.Clone(tt.sizes), tt.total)
		if got != tt.want {
			t.Errorf("%s: %d, want %d", name, got, tt.want)
		}
	}
}

// TestEventClock: what is recorded after a clock that was a year ahead is set right stays, and pushes out what came
// before.
func TestEventClock(t *testing.T) {
	s := OpenMemory()
	defer s.Close()
	key, now := api.Key{Kind: "GitRepository", Namespace: "flux-system", Name: "hub"}, time.Now()
	err := s.Update(t.Context(), func(tx *Tx) error {
		for i := range 2 * maxEventsPerObject {
			at, message := now.AddDate(1, 0, 0), "ahead"
			if i >= maxEventsPerObject {
				at, message = now, "right"
			}
			if err := Record(tx, Event{Object: key, Time: at, Message: message}); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	counts := map[string]int{}
	err = s.View(t.Context(), func(tx *Tx) error {
		return Events.Scan(tx, "", func(_ string, e Event) error { counts[e.Message]++; return nil })
	})
	if err != nil || counts["right"] != maxEventsPerObject || counts["ahead"] != 0 {
		t.Errorf("kept %v, %v", counts, err)
	}
}

// counted counts the rows that a transaction reads.
type counted struct {
	engineTx
	rows map[string]int // by table
}

func (c counted) get(table, key string) ([]byte, error) {
	c.rows[table]++
	return c.engineTx.get(table, key)
}

func (c counted) scan(table, prefix, after string, visit func(key string, value []byte) error) error {
	return c.engineTx.scan(table, prefix, after, func(key string, value []byte) error {
		c.rows[table]++
		return visit(key, value)
	})
}

// TestEventSet_Newest checks the events of each set, and that no other event is read.
func TestEventSet_Newest(t *testing.T) {
	s := OpenMemory()
	defer s.Close()
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	record(t, s, "", 30, start)
	record(t, s, "a", 20, start)                  // 2 of them are about the Cluster
	record(t, s, "ab", 40, start.Add(-time.Hour)) // 4 of them are about the Cluster
	for name, tt := range map[string]struct {
		set        EventSet
		limit      int
		want, keys int
		last       string
	}{
		"all":           {AllEvents(), 1000, 90, 90, "29"},
		"limited":       {AllEvents(), 3, 3, 90, "29"},
		"cluster":       {EventsOfCluster("a"), 1000, 20, 20, "19"},
		"hub":           {EventsOfCluster(""), 1000, 36, 36, "29"},
		"object":        {EventsOf(api.Key{Cluster: "ab", Kind: "Kustomization", Namespace: "made-up", Name: "7"}), 5, 1, 1, "7"},
		"cluster_alone": {EventsOf(api.ClusterKey("ab")), 2, 2, 4, "39"},
		"none":          {EventsOfCluster("b"), 1000, 0, 0, ""},
	} {
		t.Run(name, func(t *testing.T) {
			read := map[string]int{}
			var got []Event
			err := s.View(t.Context(), func(tx *Tx) (err error) {
				tx.engine = counted{tx.engine, read}
				got, err = tt.set.Newest(tx, tt.limit)
				return err
			})
			if err != nil || len(got) != tt.want || tt.want > 0 && got[tt.want-1].Message != tt.last {
				t.Errorf("%d events, want %d: %v, %v", len(got), tt.want, got, err)
			}
			if !slices.IsSortedFunc(got, func(a, b Event) int { return a.Time.Compare(b.Time) }) {
				t.Errorf("not in the order of their times: %v", got)
			}
			if read[Events.name] != tt.want || read[eventIndex.name] != tt.keys {
				t.Errorf("read %v, want %d events and %d keys of the index", read, tt.want, tt.keys)
			}
		})
	}
}
