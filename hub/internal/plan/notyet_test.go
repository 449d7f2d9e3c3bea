package plan

import (
	"slices"
	"strings"
	"testing"

	"github.com/navefleet/nave/hub/internal/store"
	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/condition"
)

// events returns "object: type reason" of all events, each once, in the order of their times.
func (s *story) events() (all []string) {
	s.t.Helper()
	s.must(s.store.View(s.t.Context(), func(tx *store.Tx) error {
		all = nil
		newest, err := store.AllEvents().Newest(tx, 1000)
		for _, e := range newest {
			text := e.Object.String() + ": " + e.Type + " " + e.Reason
			if !slices.Contains(all, text) {
				all = append(all, text)
			}
		}
		return err
	}))
	return all
}

// TestNotYet tells a new release without a Warning as long as what it needs is tried, or asked for, the first time.
func TestNotYet(t *testing.T) {
	s := newStory(t, releaseFiles(1, `rev: "{{ .Release.Revision }}"`))
	for _, step := range []struct{ line, want string }{
		{"apply hub.yaml", ""},
		{"plan", "Normal SourceNotReady"}, // of the root
		{"fetch fleet main@sha1:1 one", ""},
		{"plan", "HelmRelease flux-system/web on c0000: Normal SourceNotReady"},
		{"fetch web 1.0.0 chart", ""},
		{"plan", "HelmRelease flux-system/web on c0000: Normal CapabilitiesUnknown"},
	} {
		s.play(strings.Fields(step.line))
		if all := strings.Join(s.events(), "\n"); !strings.Contains(all, step.want) || strings.Contains(all, "Warning") {
			t.Errorf("%s: no %q, or a Warning, among\n%s", step.line, step.want, all)
		}
	}
	s.connect("c0000", "v1.36.0", nil, bundle.Known)
	s.round()
	all := strings.Join(s.events(), "\n")
	if !strings.Contains(all, "Normal InputNotReady") || strings.Contains(all, "Warning") {
		t.Errorf("the spoke was not asked whether the release exists, or there is a Warning:\n%s", all)
	}
}

// TestNotYet_fails records a Warning when the first attempt fails.
func TestNotYet_fails(t *testing.T) {
	s := newStory(t, releaseFiles(1, ""))
	for _, line := range []string{"apply hub.yaml", "plan", "fail fleet unreachable", "plan"} {
		s.play(strings.Fields(line))
	}
	all := strings.Join(s.events(), "\n")
	for _, want := range []string{"on c0000: Warning " + condition.ArtifactFailed,
		"Cluster c0000: Normal " + condition.Progressing, "Cluster c0000: Warning " + condition.BuildFailed} {
		if !strings.Contains(all, want) {
			t.Errorf("%q is not among\n%s", want, all)
		}
	}
}
