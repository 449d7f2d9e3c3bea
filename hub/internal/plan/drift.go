package plan

import (
	"cmp"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/shared/bundle"
)

// driftDefaults returns the names of the drift modes that a Cluster and the Fleets give, by Fleet.
func (h *hub) driftDefaults(c *api.Cluster) map[string]string {
	modes := map[string]string{"": c.Spec.Drift}
	for name, f := range h.fleets {
		modes[name] = cmp.Or(c.Spec.Drift, f.Spec.Drift)
	}
	return modes
}

// driftMode returns the drift mode of a renderable, which is nil if its row cannot be read.
func (w *walked) driftMode(o *api.Object, fleet string) bundle.DriftMode {
	inherited, known := w.drift[fleet]
	if !known {
		inherited = w.drift[""]
	}
	if o == nil {
		return api.DriftModeOf(inherited)
	}
	named, usual := "", ""
	if r, err := o.Renderable(); err == nil {
		usual = r.Drift
		if r.DriftNamed {
			named = r.Drift
		}
	}
	return api.DriftModeOf(o.Annotations()[api.DriftAnnotation], named, inherited, usual)
}
