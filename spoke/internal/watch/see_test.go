package watch

import (
	"testing"

	"github.com/navefleet/nave/shared/bundle"
	sharedhealth "github.com/navefleet/nave/shared/health"
	"github.com/navefleet/nave/shared/manifest"
	"github.com/navefleet/nave/spoke/internal/inventory"
	"github.com/navefleet/nave/spoke/internal/kube"
)

// TestSeeLast judges the last state of a deleted object only if the object deletes itself when it is done. What was
// done is not missed, and keeps its last health; what was at work is missed.
func TestSeeLast(t *testing.T) {
	job := bundle.ObjectIdentity{Group: "batch", Version: "v1", Kind: "Job", Namespace: "n", Name: "a"}
	state := func(condition string) *manifest.Object {
		o := &manifest.Object{Object: map[string]any{"apiVersion": "batch/v1", "kind": "Job",
			"metadata": map[string]any{"name": "a", "namespace": "n"}, "spec": map[string]any{}, "status": map[string]any{}}}
		if condition != "" {
			o.Object["status"] = map[string]any{"conditions": []any{map[string]any{"type": condition, "status": "True"}}}
		}
		return o
	}
	for name, c := range map[string]struct {
		expires bool
		last    string // its condition
		ours    bool
		drift   inventory.DriftKind
		health  sharedhealth.Status
	}{
		"complete":      {expires: true, last: "Complete", ours: true, health: sharedhealth.Current},
		"failed":        {expires: true, last: "Failed", ours: true, health: sharedhealth.Failed},
		"at_work":       {expires: true, ours: true, drift: inventory.Missing, health: sharedhealth.NotFound},
		"stays":         {last: "Complete", ours: true, drift: inventory.Missing, health: sharedhealth.NotFound},
		"somebody_else": {expires: true, last: "Complete", health: sharedhealth.Unknown},
	} {
		t.Run(name, func(t *testing.T) {
			x := inventory.NewIndex()
			w := New(Config{Index: x})
			if c.ours {
				x.Begin(app, job.ID())
				x.Commit(app, job.ID(), inventory.Item{Version: "v1", Resource: "jobs", UID: "u", ResourceVersion: "10",
					Expires: c.expires})
				x.SetHealth(job.ID(), "10", sharedhealth.InProgress, "", "", at(0))
			}
			w.seeLast(kube.Live{ID: job, UID: "u", ResourceVersion: "11", Object: state(c.last)})
			w.miss(job)
			drift, health := inventory.DriftKind(""), sharedhealth.Unknown
			for _, o := range w.Drain() {
				drift, health = o.Drift.Kind, o.Health.Status
			}
			if drift != c.drift || health != c.health || x.Health(job.ID()).Status != c.health {
				t.Errorf("drift %q, health %s, in the index %s; want %q, %s", drift, health, x.Health(job.ID()).Status, c.drift,
					c.health)
			}
		})
	}
}
