package agent

import (
	"slices"
	"time"

	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/health"
	"github.com/navefleet/nave/spoke/internal/release"
	"github.com/navefleet/nave/spoke/internal/state"
)

const (
	checkSoon = 2 * time.Second  // between checks of spec.healthChecks, until they are healthy or the timeout has passed
	checkLate = 30 * time.Second // after that
)

// startAll starts the nodes that are due, at most maxRunning at a time. Repairs come first, because they wait for no
// dependency. Releases of Helm do not count: most of the time they wait for the cluster. They share the Agent's room.
func (m *model) startAll() []action {
	running := 0
	var due, releases []*node
	for _, name := range m.names {
		n := m.nodes[name]
		switch {
		case n.work != idle && !n.isRelease():
			running++
		case n.work != idle || !m.due(n):
		case n.isRelease():
			releases = append(releases, n)
		default:
			due = append(due, n)
		}
	}
	slices.SortStableFunc(due, func(a, b *node) int { return a.urgency() - b.urgency() })
	var out []action
	for _, n := range releases {
		out = append(out, m.start(n))
	}
	for _, n := range due[:min(len(due), max(0, maxRunning-running))] {
		out = append(out, m.start(n))
	}
	return out
}

func (n *node) urgency() int {
	if n.standing == listed && n.isApplied() && !n.requested() {
		return 0
	}
	return 1
}

func (m *model) due(n *node) bool {
	return n.dirty && !m.now.Before(n.retryAt) && (n.standing == leaving || n.standing == listed && !n.entry.Suspended) &&
		n.blockedBy == bundle.ApplicationName{} && !m.awaitsTaker(n)
}

func (m *model) start(n *node) action {
	n.run++
	n.dirty, n.moved = false, false
	if n.standing == leaving {
		n.work = deleting
		return remove{n.entry.Name, n.run, n.mark}
	}
	n.work = applying
	known := n.isApplied()
	kept := n.mark
	kept.DependsOn = union(kept.DependsOn, n.app.DependsOn) // until all objects are applied, it may need either
	kept.OtherAccount = !kept.Digest.IsZero() && n.otherAccount()
	kept.Prune, kept.DeletionPolicy = n.app.Prune, n.app.DeletionPolicy
	kept.ServiceAccount, kept.Suspended = n.app.ServiceAccount, false
	if r := n.app.Release; r != nil {
		kept.Prune = true
		kept.Release = &state.Release{Name: r.Name, Namespace: r.Namespace, StorageNamespace: r.StorageNamespace,
			Uninstall: r.Uninstall}
	}
	n.mark = kept
	n.notePin()
	var revisions []release.Revision
	if n.release != nil {
		revisions = n.release.history
	}
	return start{
		name: n.entry.Name, run: n.run, entry: n.entry, app: n.app,
		// If an operator asked and the digest changed, this run sends the changed objects only, and a second run sends all.
		// If the account changed, all objects are sent, because the new account may lack rights of the last one.
		reapply: kept.OtherAccount || n.requested() && (known || n.mark.Digest.IsZero()),
		asked:   n.requested(), confirmed: n.entry.ConfirmedPrune,
		remember: n.mark, revisions: revisions,
	}
}

// success returns the mark of an application after a run of s without failures.
func (s start) success(now time.Time) state.Mark {
	mark := s.remember
	mark.Digest, mark.Revision, mark.At = s.entry.Digest, s.entry.Revision, now
	mark.OtherAccount, mark.Pinned = false, 0
	if s.reapply || !s.asked {
		mark.HandledRequest = s.entry.RequestedAt
	}
	return mark
}

// checkAll checks the objects of spec.healthChecks of the nodes whose readiness depends on them.
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
	return n.app != nil && !n.app.Wait && len(n.objects) > 0 && n.isApplied() && !n.entry.Suspended
}

func (n *node) checkEvery(now time.Time) time.Duration {
	if n.checks != health.Current && now.Before(n.healthDeadline()) {
		return checkSoon
	}
	return checkLate
}
