package agent

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/condition"
	"github.com/navefleet/nave/shared/manifest"
	"github.com/navefleet/nave/shared/wording"
	"github.com/navefleet/nave/spoke/internal/watch"
)

// holdDrift notes drift that is not repaired yet. The next successful apply repairs the drift.
func (n *node) holdDrift(held map[manifest.ID]string, now time.Time) {
	if len(held) == 0 || n.entry.Drift != bundle.CorrectDrift {
		return
	}
	if n.heldDrift == nil {
		n.heldDrift, n.heldSince = map[manifest.ID]string{}, now
	}
	maps.Copy(n.heldDrift, held)
}

// shown returns the condition to report. If drift is held, the application is reported as not ready, but its dependents
// do not wait.
func (n *node) shown() Condition {
	const most = 3
	if len(n.heldDrift) == 0 || n.ready.Status != condition.True {
		return n.ready
	}
	texts := slices.Sorted(maps.Values(n.heldDrift))
	reason := condition.DriftHeld
	if n.entry.Drift == bundle.WarnOfDrift {
		reason = condition.DriftDetected
	}
	c := notReady(reason, wording.List(texts, len(texts), most))
	c.Since = n.heldSince
	return c
}

// heldMessage says which object is repaired no more for now, who changes it, and which fields the last repair put back.
func (a *Agent) heldMessage(o watch.Observation) string {
	changed := "it"
	if n := a.model.nodes[o.Application]; n != nil {
		isKnown := func(d drift) bool { return d.object == o.Object.ID() && len(d.changes) > 0 }
		if latest := slices.IndexFunc(n.drifts, isKnown); latest >= 0 { // the latest is first
			changed = n.drifts[latest].fields()
		}
	}
	return fmt.Sprintf("%s was repaired too often: %s changes %s again and again; the next repair is at %s",
		o.Object.ID(), strings.Join(o.Drift.By, ", "), changed, wording.Time(o.RetryAt))
}
