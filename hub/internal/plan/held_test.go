package plan

import (
	"slices"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"

	"github.com/navefleet/nave/hub/api"
)

// TestHeld_event records one RemovalHeld event of the Cluster, although another Kustomization fails in the same commit.
func TestHeld_event(t *testing.T) {
	archive, err := txtar.ParseFile("testdata/moved.txtar")
	if err != nil {
		t.Fatal(err)
	}
	s := newStory(t, archive)
	for _, line := range []string{"apply hub.yaml", "plan", "fetch fleet main@sha1:1 one", "plan",
		"fetch fleet main@sha1:5 five", "plan", "fetch fleet main@sha1:7 seven", "plan", "plan",
		"fetch fleet main@sha1:8 eight", "plan"} {
		s.play(strings.Fields(line))
	}
	held := slices.DeleteFunc(s.warnings(api.ClusterKey("east")), func(message string) bool {
		return !strings.HasPrefix(message, "RemovalHeld: The removal of ")
	})
	if len(held) != 1 || !strings.Contains(held[0], "nave confirm cluster east") {
		t.Errorf("events %q", held)
	}
}
