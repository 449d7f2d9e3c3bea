package agent

import (
	"fmt"
	"slices"
	"time"

	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/condition"
	"github.com/navefleet/nave/shared/health"
	"github.com/navefleet/nave/shared/manifest"
	"github.com/navefleet/nave/spoke/internal/apply"
	"github.com/navefleet/nave/spoke/internal/state"
)

const (
	checkSoon = 2 * time.Second  // between looks at spec.healthChecks while they are awaited
	checkLate = 30 * time.Second // and after that
)

// conclude draws the consequences after an input: who is ready, who can start, how far the bundle has come, what to
// report, and when to look again.
func (m *model) conclude() []action {
	m.judgeAll()
	out := m.rememberAll()
	out = append(out, m.startAll()...)
	out = append(out, m.checkAll()...)
	m.judgeAll() // what started reads differently
	out = append(out, m.acknowledge()...)
	out = append(out, m.reportAll()...)
	return append(out, m.armTimer()...)
}

// judgeAll judges until nothing changes any more: an application's word may hang on another's. A circle of them, which
// would not end, is cut after as many rounds as a chain of all of them takes.
func (m *model) judgeAll() {
	m.dependents = m.dependentsOfGone()
	for changed, round := true, 0; changed && round <= len(m.names); round++ {
		changed = false
		for _, name := range m.names {
			changed = m.judge(m.nodes[name]) || changed
		}
	}
}

// judge sets the Ready condition of a node, and what it waits for. It reports whether the condition changed.
func (m *model) judge(n *node) (changed bool) {
	n.blockedBy = bundle.ApplicationName{}
	if n.app != nil && n.mark.Digest != n.entry.Digest {
		n.blockedBy = m.blocker(n)
	}
	if n.standing == leaving && n.work == idle {
		n.blockedBy = m.dependent(n)
	}
	n.peer = m.awaitedPeer(n)
	c := n.condition(m.now)
	c.Since = n.ready.Since
	if changed = c.Status != n.ready.Status || c.Reason != n.ready.Reason; changed {
		c.Since = m.now
	}
	n.ready = c
	return changed
}

// rememberAll puts the marks that changed on disk, with what is healthy now. A digest that was healthy and is replaced
// leaves blobs that nothing needs.
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

// becomeHealthy notes that what is applied is ready, and reports whether another digest was that before.
func (n *node) becomeHealthy() (replaced bool) {
	was := n.mark.HealthyDigest
	n.mark.HealthyDigest, n.mark.HealthyRevision = n.mark.Digest, n.mark.Revision
	if was == n.mark.Digest {
		return false
	}
	n.unsaved = true
	return !was.IsZero()
}

// awaitedPeer returns the first application of this bundle that is named in the node's health checks and is not ready.
func (m *model) awaitedPeer(n *node) bundle.ApplicationName {
	for _, name := range n.peers {
		if d := m.nodes[name]; d == nil || d.standing != listed || d.mark.Digest != d.entry.Digest ||
			d.ready.Status != condition.True {
			return name
		}
	}
	return bundle.ApplicationName{}
}

// blocker returns the first dependency that is not ready at the digest of this bundle. What was never applied waits for
// the dependencies of those that give it, too.
func (m *model) blocker(n *node) bundle.ApplicationName {
	for _, name := range n.app.DependsOn {
		if !m.isReady(name) {
			return name
		}
	}
	if !n.mark.Digest.IsZero() {
		return bundle.ApplicationName{}
	}
	return m.blockerAbove(n)
}

func (m *model) isReady(name bundle.ApplicationName) bool {
	n := m.nodes[name]
	return n != nil && n.isReady(m.now)
}

// isReady reports whether a node is ready at the digest of this bundle.
func (n *node) isReady(now time.Time) bool {
	return n.standing == listed && n.mark.Digest == n.entry.Digest && n.condition(now).Status == condition.True
}

func (n *node) condition(now time.Time) Condition {
	switch {
	case n.standing != listed && n.standing != leaving:
		return n.kept
	case n.standing == leaving && n.failure.reason != "":
		return Condition{Status: condition.False, Reason: n.failure.reason, Message: n.failure.message}
	case n.standing == leaving && n.blockedBy != bundle.ApplicationName{}:
		return Condition{Status: condition.Unknown, Reason: condition.Progressing,
			Message: "left the bundle, is deleted after " + n.blockedBy.String() + ", which depends on it"}
	case n.standing == leaving:
		return Condition{Status: condition.Unknown, Reason: condition.Progressing,
			Message: "left the bundle, is being deleted"}
	case n.entry.Suspended && n.ready.Status != "" && n.ready.Reason != condition.Progressing:
		return n.ready // a suspended application stays as it was
	case n.entry.Suspended && n.mark.Digest != n.entry.Digest:
		return Condition{Status: condition.Unknown, Reason: condition.Suspended, Message: "suspended before it was applied"}
	case n.failure.reason != "":
		return Condition{Status: condition.False, Reason: n.failure.reason, Message: n.failure.message}
	case n.blockedBy != bundle.ApplicationName{}:
		return Condition{Status: condition.False, Reason: condition.DependencyNotReady, Message: "waits for " +
			n.blockedBy.String()}
	case n.mark.Digest != n.entry.Digest:
		return Condition{Status: condition.Unknown, Reason: condition.Progressing, Message: "applies " + n.entry.Revision}
	}
	return n.healthCondition(now)
}

// healthCondition is the condition of a node that is applied.
func (n *node) healthCondition(now time.Time) Condition {
	status, text := n.awaited()
	switch {
	case status == health.Current:
		return Condition{Status: condition.True, Reason: condition.ReconciliationSucceeded, Message: "Applied revision: " +
			n.mark.Revision}
	case now.Before(n.healthDeadline()):
		return Condition{Status: condition.Unknown, Reason: condition.Progressing, Message: "waits for health: " + text}
	}
	return Condition{Status: condition.False, Reason: condition.HealthCheckFailed,
		Message: fmt.Sprintf("not healthy after %s: %s", n.timeout(), text)}
}

func (n *node) healthDeadline() time.Time { return n.appliedAt.Add(n.timeout()) }

// awaited returns the health that readiness depends on; Current when it depends on none.
func (n *node) awaited() (health.Status, string) {
	switch {
	case n.app == nil:
		return health.Current, ""
	case n.app.Wait && n.health.Status != health.Current:
		return n.health.Status, listUnhealthy(n)
	case !n.app.Wait && len(n.objects) > 0 && n.checks == "":
		return health.Unknown, "not looked at yet"
	case !n.app.Wait && len(n.objects) > 0 && n.checks != health.Current:
		return n.checks, n.checkText
	case n.peer != bundle.ApplicationName{}:
		return health.InProgress, n.peer.String() + " is not ready"
	}
	return health.Current, ""
}

// listUnhealthy names the worst objects in a line.
func listUnhealthy(n *node) string {
	const most = 3
	text := ""
	for i, o := range n.health.Unhealthy {
		if i == most {
			return text + fmt.Sprintf(", and %d more", n.health.InProgress+n.health.Failed-most)
		}
		if i > 0 {
			text += ", "
		}
		text += fmt.Sprintf("%s is %s", o.ID, o.Status)
	}
	if text == "" {
		return "not looked at yet"
	}
	return text
}

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
	n.dirty = false
	if n.standing == leaving {
		n.work = deleting
		return remove{n.entry.Name, n.run, n.mark}
	}
	n.work = applying
	known := n.mark.Digest == n.entry.Digest
	kept := n.mark
	kept.DependsOn = union(kept.DependsOn, n.app.DependsOn) // until all of it is applied, it may need either
	kept.OtherAccount = !kept.Digest.IsZero() && n.otherAccount()
	kept.Prune, kept.DeletionPolicy, kept.ServiceAccount, kept.Suspended = n.app.Prune, n.app.DeletionPolicy, n.app.ServiceAccount, false
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

// acknowledge tells the hub when the bundle has come further.
func (m *model) acknowledge() []action {
	if m.stage < Received {
		return nil
	}
	reached := Healthy
	for _, name := range m.names {
		reached = min(reached, m.nodes[name].reached())
	}
	if reached <= m.stage {
		return nil
	}
	m.stage = reached
	return []action{ack{id: m.bundle, stage: reached}}
}

func (n *node) reached() Stage {
	switch {
	case n.standing == pending, n.standing == unlisted:
		return Applied // nothing is to be done for it, but it is not as it should be
	case n.standing != listed, n.failure.reason != "":
		return Received
	case n.entry.Suspended:
		return Healthy
	case n.blockedBy != bundle.ApplicationName{}:
		return Applied
	case n.mark.Digest != n.entry.Digest:
		return Received
	case n.ready.Status != condition.True:
		return Applied
	}
	return Healthy
}

// reportAll tells what changed since it was last told.
func (m *model) reportAll() []action {
	if m.stage == None {
		return nil // without a bundle there is nothing to hold them against
	}
	var out []action
	for _, name := range m.names {
		n := m.nodes[name]
		r := Report{Application: name, Entry: n.entry, Applied: n.lastApplied(), Healthy: n.lastHealthy(), Ready: n.ready, Health: n.health,
			Refused: n.failure.objects, Held: n.failure.held, Drift: n.repaired}
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
	switch {
	case r.Ready.Reason == was.Reason:
	case r.Ready.Reason == condition.RemovalHeld:
		return []action{event{name: r.Application, warning: true, reason: condition.RemovalHeld, message: r.Ready.Message}}
	case r.Ready.Reason == condition.HealthCheckFailed:
		return []action{event{name: r.Application, warning: true, reason: condition.HealthCheckFailed, message: r.Ready.Message}}
	case was.Reason == condition.HealthCheckFailed && r.Ready.Status == condition.True:
		return []action{event{name: r.Application, reason: condition.HealthCheckSucceeded, message: "healthy again"}}
	}
	return nil
}

func sameReport(a, b Report) bool {
	return a.Application == b.Application && a.Entry == b.Entry && a.Applied == b.Applied && a.Healthy == b.Healthy && a.Ready == b.Ready &&
		a.Drift == b.Drift &&
		slices.Equal(a.Refused, b.Refused) && heldDigest(a.Held) == heldDigest(b.Held) && sameSummary(a.Health, b.Health)
}

// heldDigest is the digest of a held prune; zero for none.
func heldDigest(held *apply.GuardError) manifest.Digest {
	if held == nil {
		return manifest.Digest{}
	}
	return held.Digest
}

// armTimer asks for a tick at the next time when something is due.
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
		if n.awaitsChecks() && !n.checking {
			soonest(n.checkAt)
		}
		if n.ready.Reason == condition.Progressing && n.mark.Digest == n.entry.Digest {
			soonest(n.healthDeadline())
		}
	}
	if next.Equal(m.armed) {
		return nil
	}
	m.armed = next
	return []action{arm{next}}
}
