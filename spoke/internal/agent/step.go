package agent

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/condition"
	"github.com/navefleet/nave/shared/manifest"
	"github.com/navefleet/nave/shared/wait"
)

// firstRetry is the pause after the first failure. Each further failure doubles the pause.
const firstRetry = time.Second

// Defaults for fields that an Application does not set, and the longest pause before an offer is received again.
const (
	defaultInterval = 10 * time.Minute
	defaultTimeout  = 5 * time.Minute
	maxOfferRetry   = time.Minute
	maxServiceRetry = 30 * time.Second // before the key service is asked again that did not answer
	maxRivalRetry   = 30 * time.Second // before it is looked again whether Flux manages a release, too
)

func newModel(cluster string, jitter func() float64) *model {
	none := func(bundle.ApplicationName) []manifest.ID { return nil }
	nobody := func(manifest.ID) (bundle.ApplicationName, bool) { return bundle.ApplicationName{}, false }
	return &model{cluster: cluster, jitter: jitter, owned: none, ownerOf: nobody,
		nodes: map[bundle.ApplicationName]*node{}}
}

// step gives an input at the time now to the model, and returns the actions that follow.
func (m *model) step(now time.Time, in input) []action {
	m.now = now
	return append(in.advance(m), m.conclude()...)
}

// advance restores the state that the last process left. Only work that was not finished is done again. Without a
// bundle it is unknown which objects must be deleted, so the state waits for the first bundle.
func (in restored) advance(m *model) []action {
	m.left = in.left
	if in.bundle == nil {
		return nil
	}
	return m.adopt(in.id, in.bundle, in.apps)
}

// restoreNodes makes nodes of the state that the last process left. The bundle sets their standing later.
func (m *model) restoreNodes() {
	for name, l := range m.left {
		n := &node{entry: bundle.Entry{Name: name}, standing: unlisted, mark: l.mark, health: l.health,
			dirty: l.unclean || l.mark.Release != nil}
		if l.mark.Withheld {
			n.standing = withheld
		}
		m.nodes[name] = n
	}
	m.left = nil
}

func (in offered) advance(m *model) []action {
	if in.offer.ID == m.bundle && m.stage > bundle.NoStage {
		m.offer = nil
		return nil
	}
	m.offer, m.tries, m.reported, m.retryAt = &in.offer, 0, false, time.Time{}
	return []action{receive(in)}
}

func (in received) advance(m *model) []action {
	if m.offer == nil || m.offer.ID != in.id {
		if in.err != nil {
			return nil // of an offer that a newer one replaced
		}
	} else if in.err == nil || !in.retry {
		m.offer = nil
	}
	if in.err != nil {
		return m.rejected(in)
	}
	return append(m.adopt(in.id, in.bundle, in.apps), ack{id: in.id, stage: bundle.Received})
}

func (m *model) rejected(in received) []action {
	if in.retry {
		m.tries++
		m.retryAt = m.now.Add(m.backoff(m.tries, maxOfferRetry))
	}
	if in.quiet || in.retry && m.reported {
		return nil // the hub has the reason already, or needs no report
	}
	m.reported = true
	return []action{
		ack{id: in.id, err: in.err},
		event{warning: true, reason: condition.BundleRejected, message: in.err.Error()},
	}
}

// adopt makes a verified bundle the current one.
func (m *model) adopt(id bundle.ID, b *bundle.Bundle, apps applications) []action {
	m.restoreNodes()
	m.bundle, m.stage = id, bundle.Received
	out := []action{adopt{id, apps, b.Pending, b.Handovers, b.Questions, b.SpokeImage, b.ExpiresAt}}
	named := map[bundle.ApplicationName]bool{}
	for _, e := range b.Applications {
		named[e.Name] = true
		n := m.nodes[e.Name]
		if n == nil {
			n = &node{entry: bundle.Entry{Name: e.Name}}
			m.nodes[e.Name] = n
		}
		out = append(out, m.update(n, e, apps[e.Name])...)
	}
	m.sort()
	left := &bundle.Bundle{Removals: passOn(b, apps), Handovers: b.Handovers, Pending: b.Pending, Incomplete: b.Incomplete}
	guard := m.guard(left, apps)
	for _, name := range m.names {
		if !named[name] {
			out = append(out, m.displace(m.nodes[name], left, guard)...)
		}
	}
	for _, n := range m.nodes {
		m.divideChecks(n)
	}
	m.findTakers(apps)
	return out
}

// divideChecks divides the health checks of a node into applications of this bundle and objects of the cluster. The
// spoke itself knows the health of an application, whose resource need not be in the cluster.
func (m *model) divideChecks(n *node) {
	n.peers, n.objects = nil, nil
	if n.app == nil {
		return
	}
	for _, id := range n.app.HealthChecks {
		peer := bundle.ApplicationName{Kind: id.Kind, Namespace: id.Namespace, Name: id.Name}
		if m.nodes[peer] == nil {
			n.objects = append(n.objects, id)
		} else if peer != n.entry.Name {
			n.peers = append(n.peers, peer)
		}
	}
}

// update sets the entry of a node in a new bundle. A run for an older digest is cancelled.
func (m *model) update(n *node, e bundle.Entry, app *bundle.Application) []action {
	changed := n.entry.Digest != e.Digest || n.standing != listed
	pinChanged := n.entry.PinnedRevision != e.PinnedRevision
	var out []action
	if n.work != idle && (changed || pinChanged || // helm would find an interrupted release locked
		e.Suspended && !n.isRelease()) {
		out = n.stop()
	}
	if pinChanged || changed && n.failure.reason != condition.Pinned { // a change in Git does not end a pin
		n.failures, n.failure = 0, failure{}
	}
	if changed {
		n.appliedAt = time.Time{}
		n.checks, n.checkText, n.checkAt = "", "", time.Time{}
	}
	if n.work == deleting {
		n.mark.Digest = manifest.Digest{} // some of its objects are gone already
	}
	n.dirty = n.dirty || n.becomesDirty(e)
	if n.app == nil || changed {
		n.readyExpressions = readReadyExpressions(app)
	}
	n.entry, n.app, n.standing, n.kept = e, app, listed, Condition{}
	n.retryAt = time.Time{}
	n.dirty = n.dirty || !n.isApplied() || n.otherAccount() || n.failure.reason != "" || n.requested()
	n.current(m.now)
	if n.verifyAt.IsZero() {
		n.verifyAt = m.now.Add(m.spread(n.interval()))
	}
	if n.mark.Suspended != e.Suspended || n.mark.Withheld {
		// The mark must survive a restart, in case the application leaves the bundle.
		n.mark.Suspended, n.mark.Withheld, n.unsaved = e.Suspended, false, true
	}
	return out
}

// becomesDirty reports whether a new entry with the same digest needs a run: the application was not repaired
// meanwhile, drift that was left is to be repaired or nobody looks any more, objects that were kept are to be pruned,
// or an operator asks for a run.
func (n *node) becomesDirty(e bundle.Entry) bool {
	was := n.entry
	return n.kept.Status != "" || was.Suspended && !e.Suspended || was.Drift != e.Drift ||
		was.KeepsObjects && !e.KeepsObjects || was.PinnedRevision != e.PinnedRevision ||
		was.ForceRequestedAt != e.ForceRequestedAt || was.ResetRequestedAt != e.ResetRequestedAt ||
		was.TestRequestedAt != e.TestRequestedAt
}

// otherAccount reports whether some of the applied objects were sent with another service account.
func (n *node) otherAccount() bool {
	return n.mark.OtherAccount || n.app != nil && n.mark.ServiceAccount != n.app.ServiceAccount
}

// isApplied reports whether the digest of the entry is applied and, if the entry pins a release, whether that is the
// revision of the pin.
func (n *node) isApplied() bool {
	pin := n.entry.PinnedRevision
	return n.mark.Digest == n.entry.Digest && n.mark.Pinned == 0 && (pin == 0 || n.release.isPinnedTo(pin))
}

// current updates the mark if the digest of the entry is applied already: a commit that did not change the application
// counts as applied too, and the timeout of health begins now unless it began before.
func (n *node) current(now time.Time) {
	if !n.isApplied() {
		return
	}
	n.mark.Revision, n.mark.DependsOn = n.entry.Revision, n.app.DependsOn
	if n.appliedAt.IsZero() {
		n.appliedAt = now
	}
}

// stop cancels the run of a node.
func (n *node) stop() []action {
	if n.work == idle || n.stopped {
		return nil
	}
	n.stopped = true
	return []action{cancel{n.entry.Name}}
}

// requested reports whether an operator asked for a reconciliation that was not done yet.
func (n *node) requested() bool { return n.entry.RequestedAt != n.mark.HandledRequest }

func (in applied) advance(m *model) []action {
	n := m.nodes[in.name]
	if n == nil || n.run != in.run || n.work != applying {
		return nil
	}
	n.work, n.health = idle, in.health
	n.repaired += uint64(in.repaired)
	if (in.repaired > 0 || in.changed != "") && n.mayBeAwaited(m.now) {
		n.appliedAt = m.now // also if other objects failed
	}
	turns := n.noteRelease(in)
	if n.stopped {
		n.stopped, n.dirty = false, true
		return nil
	}
	out := append(turns, m.driftEvent(in)...)
	if n.keys.missing != "" || n.failure.reason == condition.DecryptionFailed {
		out = append(out, lookForKeys{in.name}) // they may have come meanwhile
	}
	if in.failure.reason == condition.Pinned {
		out = append(out, m.noteDrifts(n, in.drifts)...)
	}
	if in.failure.reason != "" {
		if in.changed != "" && in.repaired == 0 {
			out = append(out, event{name: in.name, reason: condition.Progressing, message: in.changed})
		}
		n.mark.HandledRequest = in.request // a failed attempt handles the request, too
		out = append(out, m.fail(n, in.failure)...)
		if !in.retryAt.IsZero() {
			n.retryAt = in.retryAt
		}
		if n.moved || n.requested() { // meanwhile
			n.retryAt = m.now
		}
		return out
	}
	return append(out, m.succeed(n, in)...)
}

// succeed notes an apply without failures.
func (m *model) succeed(n *node, in applied) []action {
	news := n.mark.Digest != in.mark.Digest
	n.failures, n.failure, n.retryAt = 0, failure{}, time.Time{}
	out := m.noteDrifts(n, in.drifts)
	in.mark.HealthyDigest, in.mark.HealthyRevision = n.mark.HealthyDigest, n.mark.HealthyRevision
	n.mark, n.unsaved = in.mark, true
	if news {
		n.appliedAt = time.Time{}
	}
	n.current(m.now)
	if news || in.changed != "" && in.repaired == 0 {
		out = append(out, n.appliedEvent(in.changed, m.now))
	}
	n.verifyAt = m.now.Add(m.spread(n.interval()))
	n.checkAt = m.now
	n.dirty = n.dirty || !n.isApplied() || n.requested()
	return out
}

// appliedEvent returns the event that a revision was applied, with the objects that changed. If the application waits
// for health, that is not its success yet: another event follows when it is ready.
func (n *node) appliedEvent(changed string, now time.Time) event {
	e := event{name: n.entry.Name, reason: condition.ReconciliationSucceeded,
		message: "Applied revision: " + n.mark.Revision}
	if changed != "" {
		e.message += ": " + changed
	}
	if n.readyEventDue = n.condition(now).Status != condition.True; n.readyEventDue {
		e.reason = condition.Progressing
	}
	return e
}

func (m *model) driftEvent(in applied) []action {
	if in.repaired == 0 {
		return nil
	}
	return []action{event{name: in.name, reason: condition.DriftRepaired,
		message: fmt.Sprintf("objects repaired: %d", in.repaired) + describeRepaired(in.drifts)}}
}

// fail plans the next attempt. If the failure is the same as before, fail returns no event.
func (m *model) fail(n *node, f failure) []action {
	news := n.failure.reason != f.reason || n.failure.message != f.message
	n.failures++
	n.failure, n.dirty = f, true
	most := n.retryInterval()
	switch f.reason {
	case condition.KeyServiceUnavailable:
		most = min(most, maxServiceRetry)
	case condition.ReleaseHeld:
		most = min(most, maxRivalRetry)
	}
	n.retryAt = m.now.Add(m.backoff(n.failures, most))
	if !news {
		return nil
	}
	warning := f.reason != condition.Pinned // which an operator wants
	return []action{event{name: n.entry.Name, warning: warning, reason: f.reason, message: f.message}}
}

func (in removed) advance(m *model) []action {
	n := m.nodes[in.name]
	if n == nil || n.run != in.run || n.work != deleting {
		return nil
	}
	n.work = idle
	if n.stopped {
		// The deletion was cancelled. If the application is listed again, all its objects are applied again.
		n.stopped, n.dirty, n.mark.Digest, n.unsaved = false, true, manifest.Digest{}, true
		return nil
	}
	if in.failure.reason != "" {
		return m.fail(n, in.failure)
	}
	delete(m.nodes, in.name)
	m.sort()
	return append([]action{forget{in.name}}, in.events()...)
}

// events returns the events about a deletion that succeeded.
func (in removed) events() []action {
	deleted := event{name: in.name, reason: condition.Deleted, message: "removed from the bundle"}
	if in.uninstalled != "" {
		return []action{event{name: in.name, reason: condition.UninstallSucceeded, message: in.uninstalled}, deleted}
	}
	if in.deleted != "" {
		deleted.message += ": " + in.deleted
	}
	return []action{deleted}
}

func (in observed) advance(m *model) []action {
	n := m.nodes[in.name]
	if n == nil {
		return nil
	}
	n.health = in.health
	n.checkAt = m.now
	n.holdDrift(in.held, m.now)
	if in.drift && n.entry.Drift != bundle.IgnoreDrift && !n.entry.Suspended && n.standing == listed {
		n.dirty = true
		if n.failure.reason == condition.Pinned {
			n.retryAt, n.moved = m.now, n.moved || n.work == applying // the next run is no attempt after a failure
		}
	}
	return nil
}

func (in checked) advance(m *model) []action {
	n := m.nodes[in.name]
	if n == nil || n.app == nil {
		return nil
	}
	n.checking = false
	n.checks, n.checkText = in.status, in.text
	n.checkAt = m.now.Add(n.checkEvery(m.now))
	return nil
}

func (in learned) advance(m *model) []action {
	if n := m.nodes[in.name]; n != nil {
		n.reportAgain = in.ok
	}
	return nil
}

// advance receives an offer again and verifies applications if they are due. Retries of applies start in conclude.
func (ticked) advance(m *model) []action {
	var out []action
	if m.offer != nil && !m.retryAt.IsZero() && !m.now.Before(m.retryAt) {
		m.retryAt = time.Time{}
		out = append(out, receive{*m.offer})
	}
	for _, name := range m.names {
		n := m.nodes[name]
		if !n.driftAt.IsZero() && !m.now.Before(n.driftAt) {
			n.driftAt, n.dirty = time.Time{}, true
		}
		if n.standing != listed || n.entry.Suspended || n.verifyAt.IsZero() || m.now.Before(n.verifyAt) {
			continue
		}
		n.verifyAt = m.now.Add(m.spread(n.interval()))
		// A watch may have missed a change, and nothing watches the records of a release.
		n.dirty = n.dirty || len(n.app.Substitution.Live()) > 0 || n.isRelease()
		if n.entry.Drift != bundle.IgnoreDrift {
			out = append(out, verify{name})
		}
		if len(n.app.SealedFiles) > 0 {
			out = append(out, lookForKeys{name})
		}
	}
	return out
}

// backoff returns the pause after a number of failures in a row.
func (m *model) backoff(failures int, most time.Duration) time.Duration {
	retry := wait.Backoff{First: firstRetry, Most: max(most, firstRetry), Spread: .5, Chance: m.jitter}
	return retry.After(failures)
}

// spread varies an interval randomly by up to 5 %, so that applications do not stay in step.
func (m *model) spread(d time.Duration) time.Duration {
	return d - d/20 + time.Duration(m.jitter()*float64(d/10))
}

func (n *node) interval() time.Duration { return intervalOf(n.app) }

// intervalOf returns the interval of an application, which may be nil.
func intervalOf(app *bundle.Application) time.Duration {
	if app == nil || app.Interval <= 0 {
		return defaultInterval
	}
	return app.Interval
}

func (n *node) retryInterval() time.Duration { return retryIntervalOf(n.app) }

// retryIntervalOf returns the retry interval of an application, which may be nil.
func retryIntervalOf(app *bundle.Application) time.Duration {
	if app != nil && app.RetryInterval > 0 {
		return app.RetryInterval
	}
	return intervalOf(app)
}

func (n *node) timeout() time.Duration {
	if n.app == nil || n.app.Timeout <= 0 {
		return defaultTimeout
	}
	return n.app.Timeout
}

func (m *model) sort() {
	m.names = slices.SortedFunc(maps.Keys(m.nodes), bundle.ApplicationName.Compare)
}
