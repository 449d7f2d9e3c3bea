package plan

import (
	"testing"

	"github.com/rogpeppe/go-internal/txtar"

	"github.com/navefleet/nave/hub/internal/store"
)

// TestDeletedDuringWalk deletes an object between the walk that read the object and the commit of the walk.
func TestDeletedDuringWalk(t *testing.T) {
	archive, err := txtar.ParseFile("testdata/left.txtar")
	if err != nil {
		t.Fatal(err)
	}
	s := newStory(t, archive)
	for _, command := range [][]string{
		{"apply", "hub.yaml"}, {"plan"}, {"fetch", "fleet", "main@sha1:1", "one"}, {"plan"},
		{"fetch", "fleet", "main@sha1:2", "two"}, {"plan"}, {"fetch", "fleet", "main@sha1:3", "three"},
	} {
		s.play(command)
	}
	s.must(s.planner.note(t.Context(), s.watcher.Take()))
	walked, err := s.planner.walkAll(t.Context(), []string{"east"}, newCompiler())
	s.must(err)
	const noted = "east/Kustomization/flux-system/noted"
	s.play([]string{"delete", noted})
	s.must(s.planner.commit(t.Context(), walked, s.now))
	s.round()
	s.must(s.store.View(t.Context(), func(tx *store.Tx) error {
		if _, there, err := store.Resources.Get(tx, noted); there || err != nil {
			t.Errorf("it is there: %v, %v", there, err)
		}
		plan, _, err := store.Plans.Get(tx, "east")
		for _, e := range plan.Applications {
			if e.Name.Name == "noted" {
				t.Errorf("the plan has %s", e.Name)
			}
		}
		return err
	}))
}
