package plan

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"

	"github.com/navefleet/nave/hub/internal/store"
	"github.com/navefleet/nave/shared/condition"
)

// suspensions returns "reason: message" of the events about suspensions of an object, the oldest first.
func (s *story) suspensions(key string) (all []string) {
	s.t.Helper()
	s.must(s.store.View(s.t.Context(), func(tx *store.Tx) error {
		all = nil
		newest, err := store.AllEvents().Newest(tx, 1000)
		for _, e := range newest {
			if e.Object.Path() == key && (e.Reason == condition.Suspended || e.Reason == condition.Resumed) {
				all = append(all, e.Reason+": "+e.Message)
			}
		}
		return err
	}))
	return all
}

// TestSuspension_in_Git records a change of spec.suspend with the revision, once. A suspension of an operator outlives
// the one in Git, which the event says.
func TestSuspension_in_Git(t *testing.T) {
	archive, err := txtar.ParseFile("testdata/suspended.txtar")
	if err != nil {
		t.Fatal(err)
	}
	const mid = "east/Kustomization/flux-system/mid"
	for _, f := range archive.Files {
		if name, ok := strings.CutPrefix(f.Name, "one/"); ok {
			data := bytes.Replace(f.Data, []byte(`path: "./mid"`), []byte(`path: "./mid", suspend: true`), 1)
			archive.Files = append(archive.Files, txtar.File{Name: "suspended/" + name, Data: data})
		}
	}
	s := newStory(t, archive)
	for _, line := range []string{"apply hub.yaml", "plan", "fetch fleet main@sha1:1 one", "plan",
		"fetch fleet main@sha1:2 suspended", "plan", "plan", "fetch fleet main@sha1:3 one", "plan",
		"fetch fleet main@sha1:4 suspended", "plan", "suspend " + mid, "plan", "fetch fleet main@sha1:5 one", "plan"} {
		s.play(strings.Fields(line))
	}
	want := []string{
		"Suspended: suspended in Git: main@sha1:2 of Kustomization flux-system/root",
		"Resumed: resumed in Git: main@sha1:3 of Kustomization flux-system/root",
		"Suspended: suspended in Git: main@sha1:4 of Kustomization flux-system/root",
		"Resumed: resumed in Git: main@sha1:5 of Kustomization flux-system/root; an operator keeps it suspended",
	}
	if got := s.suspensions(mid); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}
