package agent

import (
	"slices"

	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/condition"
	"github.com/navefleet/nave/shared/manifest"
	"github.com/navefleet/nave/spoke/internal/apply"
	"github.com/navefleet/nave/spoke/internal/inventory"
	"github.com/navefleet/nave/spoke/internal/state"
)

// acknowledge acknowledges the stage of the bundle if the bundle has reached a new one.
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

// reached returns the stage that the bundle has reached for this node.
func (n *node) reached() bundle.Stage {
	switch {
	case n.standing == pending, n.standing == unlisted, n.failure.reason == condition.Pinned && n.standing == listed:
		return bundle.Applied // there is no work for the node, but it is not as it should be
	case n.standing != listed, n.failure.reason != "":
		return bundle.Received
	case n.entry.Suspended:
		return bundle.Healthy
	case n.blockedBy != bundle.ApplicationName{}:
		return bundle.Applied
	case !n.isApplied():
		return bundle.Received
	case n.ready.Status != condition.True:
		return bundle.Applied
	}
	return bundle.Healthy
}

// reportAll reports the applications whose report changed.
func (m *model) reportAll() []action {
	if m.stage == bundle.NoStage {
		return nil // without a bundle there are no entries to compare them with
	}
	var out []action
	for _, name := range m.names {
		n := m.nodes[name]
		t := tell{n.entry, n.mark, n.shown(), n.health, n.failure.objects, n.failure.held, n.repaired, n.keys, n.drifts,
			n.release}
		if t.equal(n.reported) && !n.reportAgain {
			continue
		}
		n.reportAgain = false
		out = append(append(out, t), n.turn(t)...)
		n.reported = t
	}
	return out
}

// turn returns the event if health turned bad or good, also for the first time after an apply.
func (n *node) turn(t tell) []action {
	was, first := n.reported.ready, n.readyEventDue && t.ready.Status == condition.True
	if first {
		n.readyEventDue = false
	}
	switch reason := t.ready.Reason; {
	case reason == was.Reason:
	case reason == condition.RemovalHeld, reason == condition.HealthCheckFailed:
		return []action{event{name: t.entry.Name, warning: true, reason: reason, message: t.ready.Message}}
	case was.Reason == condition.HealthCheckFailed && t.ready.Status == condition.True:
		return []action{event{name: t.entry.Name, reason: condition.HealthCheckSucceeded, message: "healthy again"}}
	case first:
		return []action{event{name: t.entry.Name, reason: reason, message: "healthy at revision " + t.mark.Revision}}
	}
	return nil
}

// equal reports whether both reports are the same for the hub.
func (t tell) equal(o tell) bool {
	return t.entry == o.entry && t.ready == o.ready && t.drift == o.drift && t.keys == o.keys &&
		sameMark(t.mark, o.mark) && slices.Equal(t.refused, o.refused) && heldDigest(t.held) == heldDigest(o.held) &&
		slices.EqualFunc(t.drifts, o.drifts, drift.equal) && sameSummary(t.health, o.health) &&
		t.release.equal(o.release)
}

// sameMark reports whether two marks have the same applied revision and the same last healthy revision.
func sameMark(a, b state.Mark) bool {
	return a.Digest == b.Digest && a.Pinned == b.Pinned && a.Revision == b.Revision &&
		a.HandledRequest == b.HandledRequest && a.At == b.At && a.HealthyDigest == b.HealthyDigest &&
		a.HealthyRevision == b.HealthyRevision
}

// heldDigest returns the digest of a held prune. If no prune is held, it returns the zero digest.
func heldDigest(held *apply.GuardError) manifest.Digest {
	if held == nil {
		return manifest.Digest{}
	}
	return held.Digest
}

func sameSummary(a, b inventory.Summary) bool {
	return a.Status == b.Status && a.Current == b.Current && a.InProgress == b.InProgress && a.Failed == b.Failed &&
		slices.Equal(a.Unhealthy, b.Unhealthy)
}
