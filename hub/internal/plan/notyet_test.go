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

// TestUnreadableValues gives values that the cluster cannot read a reason of their own, and a Warning.
func TestUnreadableValues(t *testing.T) {
	s := newStory(t, releaseFiles(1, "", "valuesFrom: [{kind: Secret, name: own}]"))
	for _, line := range []string{"apply hub.yaml", "plan", "fetch fleet main@sha1:1 one", "fetch web 1.0.0 chart",
		"spoke c0000 v1.36.0", "plan"} {
		s.play(strings.Fields(line))
	}
	questions := s.plan("c0000").Questions
	if len(questions) != 1 {
		t.Fatalf("the cluster is asked %v, want one question", questions)
	}
	s.update(func(tx *store.Tx) error {
		return store.PutShape(tx, "c0000", questions[0], store.Shape{By: "c0000", Problem: "the text is not YAML"})
	})
	s.round()
	all := strings.Join(s.events(), "\n")
	if !strings.Contains(all, "HelmRelease flux-system/web on c0000: Warning "+condition.InputUnreadable) {
		t.Error(all)
	}
}
