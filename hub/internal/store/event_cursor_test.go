package store

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/navefleet/nave/hub/api"
)

// since returns where a cursor stands in a store, and which events of the set are missing.
func since(t *testing.T, s *Store, set EventSet, c EventCursor) string {
	t.Helper()
	var text bytes.Buffer
	err := s.View(t.Context(), func(tx *Tx) error {
		text.Reset()
		after, gap, err := set.Since(tx, c)
		fmt.Fprint(&text, "after ", after)
		if gap != nil {
			fmt.Fprintf(&text, ", restored %v, of %q", gap.Restored, gap.Clusters)
			if !gap.Until.IsZero() {
				fmt.Fprintf(&text, " until %s", gap.Until.Format(time.TimeOnly))
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return text.String()
}

func lastEvent(t *testing.T, s *Store) (c EventCursor) {
	t.Helper()
	err := s.View(t.Context(), func(tx *Tx) (err error) {
		c, err = LastEvent(tx)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TestEventSet_Since_restored restores a store that recorded more events than the backup lacks: the store knows that it
// is another one, and from which number on its events are.
func TestEventSet_Since_restored(t *testing.T) {
	dir, start := t.TempDir(), time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	open := func(name string) *Store {
		s, err := Open(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = s.Close() })
		return s
	}
	s := open("hub")
	record(t, s, "", 4, start)
	backedUp := lastEvent(t, s)
	data, err := os.ReadFile(filepath.Join(dir, "hub"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "backup"), data, 0o600); err != nil {
		t.Fatal(err)
	}
	record(t, s, "", 6, start.Add(time.Hour))
	seen := lastEvent(t, s)
	if got := since(t, s, AllEvents(), seen); got != "after 10" {
		t.Errorf("the same store: %s", got)
	}
	restored := open("backup")
	if got, want := since(t, restored, AllEvents(), seen), "after 4, restored true, of []"; got != want {
		t.Errorf("without new events: %s, want %s", got, want)
	}
	record(t, restored, "", 9, start.Add(2*time.Hour))
	for name, c := range map[string]struct {
		cursor EventCursor
		want   string
	}{
		"seen":       {seen, "after 4, restored true, of [] until 02:00:00"},
		"backed_up":  {backedUp, "after 4"},
		"own":        {lastEvent(t, restored), "after 13"},
		"other_run":  {EventCursor{9, "of another store"}, "after 0, restored true, of []"},
		"of_no_run":  {EventCursor{Number: 9}, "after 9"},
		"from_begin": {EventCursor{}, "after 0"},
	} {
		if got := since(t, restored, AllEvents(), c.cursor); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
}

// TestEventSet_Since_dropped records more events than the store keeps: of their cluster some are missing, of others
// none.
func TestEventSet_Since_dropped(t *testing.T) {
	s := OpenMemory()
	defer s.Close()
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	record(t, s, "loud", maxEventsPerCluster, start)
	record(t, s, "quiet", 20, start)
	seen := lastEvent(t, s)
	loud := api.Key{Cluster: "loud", Kind: "Kustomization", Namespace: "made-up", Name: "7"}
	if got := since(t, s, AllEvents(), seen); got != "after 1020" {
		t.Errorf("nothing new: %s", got)
	}
	record(t, s, "loud", 900, start.Add(time.Hour))
	if got := since(t, s, AllEvents(), seen); got != "after 1020" {
		t.Errorf("as many as the store keeps: %s", got)
	}
	record(t, s, "loud", maxEventsPerCluster+100, start.Add(2*time.Hour))
	for name, set := range map[string]EventSet{"all": AllEvents(), "cluster": EventsOfCluster("loud"),
		"object": EventsOf(loud), "cluster_itself": EventsOf(api.ClusterKey("loud")), "quiet": EventsOfCluster("quiet"),
		"hub": EventsOfCluster("")} {
		want := `after 1020, restored false, of ["loud"] until 02:02:01`
		if name == "quiet" || name == "hub" {
			want = "after 1020"
		}
		if got := since(t, s, set, seen); got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
}
