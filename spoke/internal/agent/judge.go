package agent

import (
	"cmp"
	"fmt"
	"time"

	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/condition"
	"github.com/navefleet/nave/shared/health"
	"github.com/navefleet/nave/shared/manifest"
	"github.com/navefleet/nave/shared/wording"
)

// judgeAll judges all nodes until no condition changes any more, because a condition may depend on that of another
// node. After the first round the others come first that a condition depends on, so that a chain needs one more round.
// A circle of dependent conditions is cut after as many rounds as a chain of all nodes takes.
func (m *model) judgeAll() {
	m.dependents, m.above = m.dependentsOfGone(), map[bundle.ApplicationName]*node{}
	names := m.names
	for changed, round := true, 0; changed && round <= len(m.names); round++ {
		if round == 1 {
			names = m.dependenciesFirst()
		}
		changed = false
		for _, name := range names {
			changed = m.judge(m.nodes[name]) || changed
		}
	}
}

// judge sets the Ready condition of a node, and the applications that the node waits for. It reports whether the
// condition changed.
func (m *model) judge(n *node) (changed bool) {
	n.blockedBy, n.blockedWhy = bundle.ApplicationName{}, ""
	if n.app != nil && !n.isApplied() && n.entry.PinnedRevision == 0 {
		n.blockedBy, n.blockedWhy = m.blocker(n)
	}
	if n.standing == leaving && n.work == idle {
		n.blockedBy = m.dependent(n)
	}
	n.peer = m.awaitedPeer(n)
	n.peerAtWork = m.isPeerAtWork(n)
	c := n.condition(m.now)
	if c.Since = n.ready.Since; c.Status != n.ready.Status {
		c.Since = m.now
	}
	changed = c.Status != n.ready.Status || c.Reason != n.ready.Reason
	n.ready = c
	return changed
}

// awaitedPeer returns the first application of this bundle that is named in the node's health checks and is not ready.
func (m *model) awaitedPeer(n *node) bundle.ApplicationName {
	for _, name := range n.peers {
		if d := m.nodes[name]; d == nil || d.standing != listed || !d.isApplied() ||
			d.ready.Status != condition.True {
			return name
		}
	}
	return bundle.ApplicationName{}
}

// isPeerAtWork reports whether the application that the node waits for, or one that this one waits for, is being
// changed by the spoke, or has time left to become healthy. One that was never applied does not count.
func (m *model) isPeerAtWork(n *node) bool {
	for range m.names { // a circle ends
		if n = m.nodes[n.peer]; n == nil || n.standing != listed || n.mark.Digest.IsZero() ||
			n.ready.Reason != condition.Progressing {
			return false
		}
		if n.isRepairing() || n.isApplied() && m.now.Before(n.healthDeadline()) {
			return true
		}
	}
	return false
}

// blocker returns the first dependency that is not ready at the digest of this bundle, and the reason. If all are
// ready, both are empty. A node that was never applied waits for the dependencies of its parents, too.
func (m *model) blocker(n *node) (dependency bundle.ApplicationName, why string) {
	for _, name := range n.app.DependsOn {
		if why := m.unready(n, name); why != "" {
			return name, why
		}
	}
	if !n.mark.Digest.IsZero() {
		return bundle.ApplicationName{}, ""
	}
	return m.blockerAbove(n)
}

func (m *model) isReady(name bundle.ApplicationName) bool {
	n := m.nodes[name]
	return n != nil && n.isReady(m.now)
}

// isReady reports whether a node is ready at the digest of this bundle.
func (n *node) isReady(now time.Time) bool {
	return n.standing == listed && n.isApplied() && n.condition(now).Status == condition.True
}

// condition returns the Ready condition of a node, without Since.
func (n *node) condition(now time.Time) Condition {
	switch {
	case n.standing == leaving:
		return n.leavingCondition()
	case n.standing != listed:
		return n.kept
	case n.entry.Suspended && n.ready.Status != "" && n.ready.Reason != condition.Progressing:
		return n.ready // a suspended application stays as it was
	case n.entry.Suspended && !n.isApplied():
		return unknown(condition.Suspended, "suspended before it was applied")
	case n.failure.reason == condition.Pinned:
		return unknown(condition.Pinned, n.failure.message)
	case n.failure.reason != "":
		return notReady(n.failure.reason, n.failure.message)
	case n.entry.PinnedRevision != 0 && !n.isApplied():
		return n.pinCondition()
	case n.blockedBy != bundle.ApplicationName{}:
		return notReady(condition.DependencyNotReady, "dependency "+n.blockedBy.String()+" "+n.blockedWhy)
	case n.mark.Pinned != 0:
		return n.pinCondition()
	case !n.isApplied():
		return unknown(condition.Progressing, cmp.Or(n.release.progress(), "applying revision "+n.entry.Revision))
	}
	return n.healthCondition(now)
}

func notReady(reason, message string) Condition {
	return Condition{Status: condition.False, Reason: reason, Message: message}
}

func unknown(reason, message string) Condition {
	return Condition{Status: condition.Unknown, Reason: reason, Message: message}
}

// leavingCondition returns the condition of a node that must be deleted.
func (n *node) leavingCondition() Condition {
	switch {
	case n.failure.reason != "":
		return notReady(n.failure.reason, n.failure.message)
	case n.blockedBy != bundle.ApplicationName{}:
		return unknown(condition.Progressing,
			"removed from the bundle; deleted after "+n.blockedBy.String()+", which depends on it")
	}
	return unknown(condition.Progressing, "removed from the bundle; its objects are being deleted")
}

// healthCondition returns the condition of a node that is applied.
func (n *node) healthCondition(now time.Time) Condition {
	status, text := n.awaited()
	switch {
	case status == health.Current:
		return Condition{Status: condition.True, Reason: condition.ReconciliationSucceeded,
			Message: "Applied revision: " + n.mark.Revision}
	case status == health.Failed: // its controller gave up: more time does not help
		return notReady(condition.HealthCheckFailed, "health check failed: "+text)
	case now.Before(n.healthDeadline()), n.isRepairing(), n.peerAtWork:
		return unknown(condition.Progressing, "waiting for health: "+text)
	case n.mark.HealthyDigest == n.mark.Digest: // the timeout is for what was never healthy
		return notReady(condition.HealthCheckFailed, "no longer healthy: "+text)
	}
	return notReady(condition.HealthCheckFailed, fmt.Sprintf("not healthy after %s: %s", n.timeout(), text))
}

func (n *node) healthDeadline() time.Time { return n.appliedAt.Add(n.timeout()) }

// mayBeAwaited reports whether the timeout of health may begin anew. A change of one object says nothing about another
// one that was unhealthy before, and changes that follow each other keep nobody waiting for more than two timeouts.
func (n *node) mayBeAwaited(now time.Time) bool {
	switch n.ready.Reason {
	case condition.HealthCheckFailed:
		return false
	case condition.Progressing:
		return now.Before(n.ready.Since.Add(n.timeout()))
	}
	return true
}

// isRepairing reports whether an apply that is due or running may change objects, so that their health is awaited. What
// was unhealthy before the apply stays so until it is healthy.
func (n *node) isRepairing() bool {
	return (n.work == applying || n.dirty && !n.entry.Suspended) && n.ready.Reason != condition.HealthCheckFailed
}

// awaited returns the health that readiness depends on, and the reason. If readiness depends on no health, awaited
// returns Current.
func (n *node) awaited() (health.Status, string) {
	switch {
	case n.app == nil:
		return health.Current, ""
	case n.app.Wait && n.health.Status != health.Current && !n.isEmpty():
		return n.health.Status, listUnhealthy(n)
	case !n.app.Wait && len(n.objects) > 0 && n.checks == "":
		return health.Unknown, "not observed yet"
	case !n.app.Wait && len(n.objects) > 0 && n.checks != health.Current:
		return n.checks, n.checkText
	case n.peer != bundle.ApplicationName{}:
		return health.InProgress, n.peer.String() + " is not ready"
	}
	return health.Current, ""
}

// isEmpty reports whether the application has no objects, so that no watch ever tells their health after a restart.
func (n *node) isEmpty() bool { return len(n.app.Objects) == 0 && n.health.Objects() == 0 }

// listUnhealthy names the worst objects in a line.
func listUnhealthy(n *node) string {
	const most = 3
	var texts []string
	for _, o := range n.health.Unhealthy[:min(len(n.health.Unhealthy), most)] {
		texts = append(texts, healthText(o.ID, o.Status, o.Reason))
	}
	if len(texts) == 0 {
		return "not observed yet"
	}
	return wording.List(texts, n.health.InProgress+n.health.Failed, most)
}

// healthText returns the health of an object as text; reason may be empty.
func healthText(id manifest.ID, status health.Status, reason string) string {
	if reason == "" {
		return fmt.Sprintf("%s is %s", id, status)
	}
	return fmt.Sprintf("%s is %s (%s)", id, status, reason)
}
