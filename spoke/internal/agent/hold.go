package agent

import (
	"maps"
	"slices"
	"time"

	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/condition"
	"github.com/navefleet/nave/shared/manifest"
	"github.com/navefleet/nave/shared/wording"
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
