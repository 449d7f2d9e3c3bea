package plan

import (
	"slices"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"

	"github.com/navefleet/nave/hub/api"
)

// newHeld plays a hub that holds the removal of the Kustomizations b and c, while team/waits fails. The next commit
// adds more to the objects of the Kustomization operators.
func newHeld(t *testing.T, more string) *story {
	t.Helper()
	archive, err := txtar.ParseFile("testdata/moved.txtar")
	if err != nil {
		t.Fatal(err)
	}
	for i, f := range archive.Files {
		if f.Name == "eight/operators/o.yaml" {
			archive.Files[i].Data = append(f.Data, more...)
		}
	}
	s := newStory(t, archive)
	for _, line := range []string{"apply hub.yaml", "plan", "fetch fleet main@sha1:1 one", "plan",
		"fetch fleet main@sha1:5 five", "plan", "fetch fleet main@sha1:7 seven", "plan", "plan",
		"fetch fleet main@sha1:8 eight", "plan"} {
		s.play(strings.Fields(line))
	}
	return s
}

// TestHeld_event records one RemovalHeld event of the Cluster, although another Kustomization fails in the same commit.
func TestHeld_event(t *testing.T) {
	s := newHeld(t, "")
	held := slices.DeleteFunc(s.warnings(api.ClusterKey("east")), func(message string) bool {
		return !strings.HasPrefix(message, "RemovalHeld: The removal of ")
	})
	if len(held) != 1 || !strings.Contains(held[0], "nave confirm cluster east") {
		t.Errorf("events %q", held)
	}
}

// TestHeld_conflict names the command that lets a held Kustomization go if another one gives its object.
func TestHeld_conflict(t *testing.T) {
	s := newHeld(t, "---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: c, namespace: default}\n")
	got := s.warnings(pathKey("east/Kustomization/flux-system/operators"))
	const want = "ObjectConflict: ConfigMap default/c comes from Kustomization flux-system/c already: that one is not " +
		"in Git any more, but its removal is held; let it go with nave confirm cluster east"
	if len(got) != 1 || got[0] != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
