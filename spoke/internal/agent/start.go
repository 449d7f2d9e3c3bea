package agent

import (
	"slices"
	"time"

	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/health"
	"github.com/navefleet/nave/spoke/internal/state"
)

const (
	checkSoon = 2 * time.Second  // between looks at spec.healthChecks while they are awaited
	checkLate = 30 * time.Second // and after that
)

// startAll starts what can: repairs first, for they wait for nobody.
func (m *model) startAll() []action {
	running := 0
	var due []*node
	for _, name := range m.names {
		n := m.nodes[name]
		if n.work != idle {
			running++
		} else if m.due(n) {
			due = append(due, n)
		}
	}
	slices.SortStableFunc(due, func(a, b *node) int { return a.urgency() - b.urgency() })
	var out []action
	for _, n := range due[:min(len(due), max(0, maxRunning-running))] {
		out = append(out, m.start(n))
	}
	return out
}

func (n *node) urgency() int {
	if n.standing == listed && n.mark.Digest == n.entry.Digest && !n.requested() {
		return 0
	}
	return 1
}

func (m *model) due(n *node) bool {
	return n.dirty && !m.now.Before(n.retryAt) && (n.standing == leaving || n.standing == listed && !n.entry.Suspended) &&
		n.blockedBy == bundle.ApplicationName{}
}

func (m *model) start(n *node) action {
	n.run++
	n.dirty, n.moved = false, false
	if n.standing == leaving {
		n.work = deleting
		return remove{n.entry.Name, n.run, n.mark}
	}
	n.work = applying
	known := n.mark.Digest == n.entry.Digest
	kept := n.mark
	kept.DependsOn = union(kept.DependsOn, n.app.DependsOn) // until all of it is applied, it may need either
	kept.OtherAccount = !kept.Digest.IsZero() && n.otherAccount()
	kept.Prune, kept.DeletionPolicy = n.app.Prune, n.app.DeletionPolicy
	kept.ServiceAccount, kept.Suspended = n.app.ServiceAccount, false
	n.mark = kept
	return start{
		name: n.entry.Name, run: n.run, entry: n.entry, app: n.app,
		// What changed goes first, alone; everything else that an operator asked for in a second run. Another account may not
		// be allowed what the last one applied: all of it is sent.
		reapply: kept.OtherAccount || n.requested() && (known || n.mark.Digest.IsZero()),
		asked:   n.requested(), confirmed: n.entry.ConfirmedPrune,
		remember: kept,
	}
}

// success is the mark of an application after a run of s that went well.
func (s start) success(now time.Time) state.Mark {
	mark := s.remember
	mark.Digest, mark.Revision, mark.At = s.entry.Digest, s.entry.Revision, now
	mark.OtherAccount = false
	if s.reapply || !s.asked {
		mark.HandledRequest = s.entry.RequestedAt
	}
	return mark
}

// checkAll looks at the objects of spec.healthChecks where readiness depends on them.
func (m *model) checkAll() []action {
	var out []action
	for _, name := range m.names {
		n := m.nodes[name]
		if n.awaitsChecks() && !n.checking && !m.now.Before(n.checkAt) {
			n.checking = true
			out = append(out, check{name, n.app.ServiceAccount, n.objects})
		}
	}
	return out
}

func (n *node) awaitsChecks() bool {
	return n.app != nil && !n.app.Wait && len(n.objects) > 0 && n.mark.Digest == n.entry.Digest && !n.entry.Suspended
}

func (n *node) checkEvery(now time.Time) time.Duration {
	if n.checks != health.Current && now.Before(n.healthDeadline()) {
		return checkSoon
	}
	return checkLate
}
