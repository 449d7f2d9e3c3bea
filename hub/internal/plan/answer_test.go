package plan

import (
	"testing"

	"github.com/navefleet/nave/hub/internal/store"
)

// TestRequest_source_moved has a walk that reads a request which is newer than the artifacts that the planner knows.
func TestRequest_source_moved(t *testing.T) {
	s := planned(t, 1)
	const root = "c0000/Kustomization/flux-system/root"
	s.play([]string{"fetch", "fleet", "main@sha1:2", "two"})
	s.play([]string{"request", root, "now"})
	s.planner.dirty["c0000"] = true
	s.must(s.planner.round(t.Context()))
	if got := s.plan("c0000").Applications[0]; got.RequestedAt != "" || got.Revision != "main@sha1:1" {
		t.Errorf("the plan answers the request %q with the earlier artifact %s", got.RequestedAt, got.Revision)
	}
	s.round()
	if got := s.plan("c0000").Applications[0]; got.RequestedAt != "now" || got.Revision != "main@sha1:2" {
		t.Errorf("the plan answers %q with %s", got.RequestedAt, got.Revision)
	}
	if o := get(s, store.Conditions, root); o.HandledRequest != "now" {
		t.Errorf("handled %q", o.HandledRequest)
	}
}
