package agent

import (
	"slices"

	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/condition"
	"github.com/navefleet/nave/shared/manifest"
	"github.com/navefleet/nave/spoke/internal/apply"
)

// acknowledge acknowledges a stage that the bundle has newly reached.
func (m *model) acknowledge() []action {
	if m.stage < bundle.Received {
		return nil
	}
	reached := bundle.Healthy
	for _, name := range m.names {
		reached = min(reached, m.nodes[name].reached())
	}
	if reached <= m.stage {
		return nil
	}
	m.stage = reached
	return []action{ack{id: m.bundle, stage: reached}}
}

func (n *node) reached() bundle.Stage {
	switch {
	case n.standing == pending, n.standing == unlisted:
		return bundle.Applied // nothing is to be done for it, but it is not as it should be
	case n.standing != listed, n.failure.reason != "":
		return bundle.Received
	case n.entry.Suspended:
		return bundle.Healthy
	case n.blockedBy != bundle.ApplicationName{}:
		return bundle.Applied
	case n.mark.Digest != n.entry.Digest:
		return bundle.Received
	case n.ready.Status != condition.True:
		return bundle.Applied
	}
	return bundle.Healthy
}

// reportAll reports the applications whose report changed.
func (m *model) reportAll() []action {
	if m.stage == bundle.NoStage {
		return nil // without a bundle there is nothing to hold them against
	}
	var out []action
	for _, name := range m.names {
		n := m.nodes[name]
		r := Report{
			Application: name, Entry: n.entry, Applied: n.lastApplied(), Healthy: n.lastHealthy(), Ready: n.ready,
			Health: n.health, Refused: n.failure.objects, Held: n.failure.held, Drift: n.repaired,
		}
		if sameReport(n.reported, r) && !n.reportAgain {
			continue
		}
		n.reportAgain = false
		out = append(out, tell{r})
		out = append(out, turn(n.reported.Ready, r)...)
		n.reported = r
	}
	return out
}

func (n *node) lastApplied() LastApplied {
	return LastApplied{Digest: n.mark.Digest, Revision: n.mark.Revision, HandledRequest: n.mark.HandledRequest,
		At: n.mark.At}
}

func (n *node) lastHealthy() LastHealthy {
	return LastHealthy{Digest: n.mark.HealthyDigest, Revision: n.mark.HealthyRevision}
}

// turn is the event of health that turned bad, or good again.
func turn(was Condition, r Report) []action {
	switch reason := r.Ready.Reason; {
	case reason == was.Reason:
	case reason == condition.RemovalHeld, reason == condition.HealthCheckFailed:
		return []action{event{name: r.Application, warning: true, reason: reason, message: r.Ready.Message}}
	case was.Reason == condition.HealthCheckFailed && r.Ready.Status == condition.True:
		return []action{event{name: r.Application, reason: condition.HealthCheckSucceeded, message: "healthy again"}}
	}
	return nil
}

func sameReport(a, b Report) bool {
	return a.Application == b.Application && a.Entry == b.Entry && a.Applied == b.Applied && a.Healthy == b.Healthy &&
		a.Ready == b.Ready && a.Drift == b.Drift && slices.Equal(a.Refused, b.Refused) &&
		heldDigest(a.Held) == heldDigest(b.Held) && sameSummary(a.Health, b.Health)
}

// heldDigest is the digest of a held prune; zero for none.
func heldDigest(held *apply.GuardError) manifest.Digest {
	if held == nil {
		return manifest.Digest{}
	}
	return held.Digest
}
