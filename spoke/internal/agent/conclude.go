package agent

import (
	"time"

	"github.com/navefleet/nave/shared/condition"
)

// conclude returns the actions that follow from an input: it judges the nodes, starts those that are due, acknowledges
// the stage of the bundle, reports changes, and arms the timer.
func (m *model) conclude() []action {
	m.judgeAll()
	out := m.rememberAll()
	out = append(out, m.startAll()...)
	out = append(out, m.checkAll()...)
	m.judgeAll() // a node that started has another condition
	out = append(out, m.acknowledge()...)
	out = append(out, m.reportAll()...)
	return append(out, m.armTimer()...)
}

// rememberAll stores the marks that changed, with the digests that are healthy now. If a healthy digest was replaced,
// its blobs may be unneeded, and rememberAll sweeps.
func (m *model) rememberAll() []action {
	var out []action
	replaced := false
	for _, name := range m.names {
		n := m.nodes[name]
		if n.isReady(m.now) {
			replaced = n.becomeHealthy() || replaced
		}
		if n.unsaved {
			n.unsaved = false
			out = append(out, remember{name, n.mark})
		}
	}
	if replaced {
		out = append(out, sweep{})
	}
	return out
}

// becomeHealthy notes that the applied digest is healthy, and reports whether it replaced another healthy digest.
func (n *node) becomeHealthy() (replaced bool) {
	was := n.mark.HealthyDigest
	n.mark.HealthyDigest, n.mark.HealthyRevision = n.mark.Digest, n.mark.Revision
	if was == n.mark.Digest {
		return false
	}
	n.unsaved = true
	return !was.IsZero()
}

// armTimer asks for a tick at the next time when work is due.
func (m *model) armTimer() []action {
	var next time.Time
	soonest := func(at time.Time) {
		if at.After(m.now) && (next.IsZero() || at.Before(next)) {
			next = at
		}
	}
	soonest(m.retryAt)
	for _, n := range m.nodes {
		if n.work == idle && n.dirty {
			soonest(n.retryAt)
		}
		if n.standing != listed || n.entry.Suspended {
			continue
		}
		soonest(n.verifyAt)
		soonest(n.driftAt)
		if n.awaitsChecks() && !n.checking {
			soonest(n.checkAt)
		}
		if n.ready.Reason == condition.Progressing && n.isApplied() {
			soonest(n.healthDeadline())
		}
	}
	if next.Equal(m.armed) {
		return nil
	}
	m.armed = next
	return []action{arm{next}}
}
