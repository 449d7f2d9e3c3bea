package plan

import (
	"path/filepath"
	"strings"
	"testing"

	"go.etcd.io/bbolt"

	"github.com/navefleet/nave/hub/internal/store"
)

// onDisk gives a story a store in a file, before it begins.
func (s *story) onDisk() (path string) {
	s.t.Helper()
	path = filepath.Join(s.t.TempDir(), "hub.db")
	var err error
	s.store, err = store.Open(path, store.Twice)
	s.must(err)
	s.t.Cleanup(func() { s.store.Close() })
	s.restart()
	return path
}

// damage writes a value into the file of a store, deletes the row for "", and starts the planner anew.
func (s *story) damage(path, table, key, value string) {
	s.t.Helper()
	s.watcher.Close()
	s.must(s.store.Close())
	db, err := bbolt.Open(path, 0o600, nil)
	s.must(err)
	s.must(db.Update(func(tx *bbolt.Tx) error {
		if value == "" {
			return tx.Bucket([]byte(table)).Delete([]byte(key))
		}
		return tx.Bucket([]byte(table)).Put([]byte(key), []byte(value))
	}))
	s.must(db.Close())
	s.store, err = store.Open(path, store.Twice)
	s.must(err)
	s.restart()
}

// TestDamagedRow damages a row of a cluster. If the row can be made anew, the cluster gets the next revision, and what
// an operator suspended stays so; the other cluster gets it in any case.
func TestDamagedRow(t *testing.T) {
	const garbage, root = "{rubbish", "c0000/Kustomization/flux-system/root"
	for name, c := range map[string]struct {
		table, key string
		suspended  bool
		revision   string // of the cluster's plan afterwards
	}{
		"given_anew":   {"resources", root, false, "main@sha1:2"},
		"suspended":    {"resources", root, true, "main@sha1:1"},
		"unknown":      {"resources", "c0000/Kustomization/flux-system/stray", false, "main@sha1:1"},
		"plan":         {"plans", "c0000", false, "main@sha1:2"},
		"condition":    {"outcomes", root, false, "main@sha1:2"},
		"of_cluster":   {"outcomes", "/Cluster//c0000", false, "main@sha1:2"},
		"confirmation": {"confirmations", "/Cluster//c0000", false, "main@sha1:2"},
		"repair":       {"repairs", "c0000", false, "main@sha1:2"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStory(t, fleet(2))
			path := s.onDisk()
			for _, line := range []string{"apply hub.yaml", "plan", "fetch fleet main@sha1:1 one", "plan"} {
				s.play(strings.Fields(line))
			}
			if c.suspended {
				s.change(root, func(r *store.Resource) { r.Suspended = true })
				s.round()
			}
			s.damage(path, c.table, c.key, garbage)
			s.play([]string{"fetch", "fleet", "main@sha1:2", "two"})
			s.round()
			if got := s.plan("c0001").Applications[0].Revision; got != "main@sha1:2" {
				t.Errorf("the other cluster has %s", got)
			}
			e := s.plan("c0000").Applications[0]
			if e.Revision != c.revision || e.Suspended != c.suspended {
				t.Errorf("the cluster has %s, suspended %v; want %s, %v", e.Revision, e.Suspended, c.revision, c.suspended)
			}
			if row := get(s, store.Resources, root); row.Suspended != c.suspended || row.Owner == nil {
				t.Errorf("the row is %+v", row)
			}
		})
	}
}

// TestDamagedRow_retry checks that a graph with a row that nothing gives anew is tried again later, and planned when
// the row is mended.
func TestDamagedRow_retry(t *testing.T) {
	s := newStory(t, fleet(2))
	path := s.onDisk()
	for _, line := range []string{"apply hub.yaml", "plan", "fetch fleet main@sha1:1 one", "plan"} {
		s.play(strings.Fields(line))
	}
	const stray = "c0000/Kustomization/flux-system/stray"
	s.damage(path, "resources", stray, "{rubbish")
	s.round()
	if pause := s.planner.pause(); pause != graphRetry {
		t.Errorf("the next attempt is in %s, want %s", pause, graphRetry)
	}
	s.damage(path, "resources", stray, "")
	s.play([]string{"fetch", "fleet", "main@sha1:2", "two"})
	s.round()
	if got := s.plan("c0000").Applications[0].Revision; got != "main@sha1:2" {
		t.Errorf("after the row was mended the cluster has %s", got)
	}
}
