package release

import (
	"fmt"
	"slices"
	"time"

	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/condition"
	"github.com/navefleet/nave/shared/manifest"
)

// Action is one thing that the spoke does to a release. Actions run one at a time.
type Action string

// The actions.
const (
	NoAction  Action = ""
	Install   Action = "install"
	Upgrade   Action = "upgrade"
	Rollback  Action = "rollback"
	Uninstall Action = "uninstall"
	Test      Action = "test"
	Unlock    Action = "unlock" // mark a pending revision as failed
)

// State is how a release is, compared with how it should be.
type State string

// The states.
const (
	StateAbsent    State = "Absent"          // no revision, or an uninstalled one
	StateUnmanaged State = "Unmanaged"       // the newest revision is of another program
	StateOutOfSync State = "OutOfSync"       // the newest revision is of something else
	StatePending   State = condition.Pending // an action began and did not end
	StateFailed    State = "Failed"          // the newest revision failed, or its tests did
	StateUntested  State = "Untested"
	StateInSync    State = "InSync"
	StatePinned    State = condition.Pinned // it stays at a revision, or returns there, whatever is desired
)

// Desired is a release as it should be.
type Desired struct {
	*bundle.Release
	Digest        manifest.Digest // of what a revision is made of; with inputs that the spoke reads
	HasTests      bool            // there are hooks to test with
	Forced        string          // the last request for one more install or upgrade; empty: none
	Reset         string          // the last request to forget failures; empty: none
	Tested        string          // the last request to test; empty: none
	Removed       bool            // the release should be uninstalled
	Pinned        int             // the revision that the release returns to and stays at; 0: none
	RetryInterval time.Duration   // after a failure that nothing else follows
	// Guarded is why the release is not uninstalled for another name or chart; nil: it may be.
	Guarded error
}

// Situation is a release as it is. If the release moved to another name or namespace, History is that of the old one:
// Journal.Subject says of which.
type Situation struct {
	History     []Revision      // the oldest first
	Fingerprint manifest.Digest // of the newest revision, if it has no digest
	Chart       string          // the name of the chart of the newest revision; empty: unknown
	Tests       TestResult      // of the newest revision
	Journal     Journal
	// FirstDeployed is when the release was first installed; zero: unknown.
	FirstDeployed time.Time
}

// TestResult is how the tests of a revision ended.
type TestResult string

// The results.
const (
	NotTested   TestResult = ""
	TestsPassed TestResult = "passed"
	TestsFailed TestResult = "failed"
)

// Decision is what is done next. With NoAction nothing is done before something changes.
type Decision struct {
	State  State
	Action Action
	// Version is the revision that a Rollback returns to, that Unlock marks, or that a resumed action continues.
	Version   int
	Resume    bool      // the action goes on where the journal left it
	NotBefore time.Time // the action waits until then; zero: it does not wait
	Stalled   Stall     // not empty: there is no action, although the release is not as it should be
	Why       string    // the cause, for messages
}

// Stall is why a release that is not as it should be is left so.
type Stall string

// The stalls. A change of the release ends each. A request ends those of failures.
const (
	RetriesExceeded       Stall = condition.RetriesExceeded
	MissingRollbackTarget Stall = condition.MissingRollbackTarget
	Guarded               Stall = condition.PruneHeld   // the uninstall for another name or chart must be confirmed
	Foreign               Stall = condition.ReleaseHeld // another program installed the release, of another chart
)

// Decide returns what is done next.
func (s Situation) Decide(d Desired, now time.Time) Decision {
	s.Journal = s.Journal.renewed(d)
	if d.Pinned > 0 && !d.Removed {
		return s.pinned(d, now)
	}
	state, why := s.state(d)
	n := Decision{State: state, Why: why}
	switch {
	case d.Removed:
		return s.remove(d, n, now)
	case s.Journal.moved(d):
		n.Why = fmt.Sprintf("the release is to be %s, and was %s", identityOf(d.Release), s.Journal.Release)
		return s.remove(d, n, now).guarded(d, s.Journal)
	case state == StatePending:
		return s.pending(d, n, now)
	case state == StateUnmanaged && s.otherChart(d) && !s.wasOwn():
		n.Stalled, n.Why = Foreign, fmt.Sprintf("release %s exists and is of chart %s, not %s: give the HelmRelease another "+
			"spec.releaseName, uninstall the release with helm, or set spec.upgrade.chartNameChangeStrategy to InPlaceUpdate",
			identityOf(d.Release), s.Chart, desiredChart(d.Release).Name)
		return n
	case state != StateAbsent && state != StateUnmanaged && s.otherChart(d):
		n.Why = fmt.Sprintf("the chart is to be %s, and was %s", desiredChart(d.Release).Name, s.Chart)
		return s.resumed(d, n, Uninstall, now).guarded(d, s.Journal)
	}
	return s.next(d, n, now)
}

// next returns the decision about a release that stays what it is: its state tells what follows.
func (s Situation) next(d Desired, n Decision, now time.Time) Decision {
	switch n.State {
	case StateAbsent:
		return s.attempt(d, n, Install)
	case StateUnmanaged, StateOutOfSync:
		return s.attempt(d, n, Upgrade)
	case StateFailed:
		return s.failed(d, n, now)
	case StateUntested:
		return s.resumed(d, n, Test, now)
	}
	return s.requested(d, n, now)
}

// requested returns the decision about a release that is as it should be: what an operator asked for. An action that
// was asked for and began before the spoke was killed begins again, or goes on.
func (s Situation) requested(d Desired, n Decision, now time.Time) Decision {
	newest, _ := s.newest()
	running := s.Journal.Running
	if s.Journal.isForced(d) || running.Action == Upgrade && running.Version > newest.Version {
		n.Action, n.Why = Upgrade, "an upgrade was requested"
		return n
	}
	return s.testRequested(d, n, now)
}

// testRequested returns the decision with the tests that an operator asked for.
func (s Situation) testRequested(d Desired, n Decision, now time.Time) Decision {
	if d.HasTests && (d.Tested != "" && d.Tested != s.Journal.HandledTest || s.Journal.Running.Action == Test) {
		n.Why = "tests were requested"
		n = s.resumed(d, n, Test, now)
		n.NotBefore = time.Time{}
	}
	return n
}

// state returns the state of the release, and its cause.
func (s Situation) state(d Desired) (State, string) {
	newest, exists := s.newest()
	switch {
	case !exists:
		return StateAbsent, "there is no revision"
	case newest.Status.IsPending():
		return StatePending, fmt.Sprintf("revision %d is %s", newest.Version, newest.Status)
	case newest.Status == Uninstalled:
		return StateAbsent, fmt.Sprintf("revision %d is uninstalled", newest.Version)
	case newest.Digest.IsZero():
		return StateUnmanaged, fmt.Sprintf("revision %d is not of this spoke", newest.Version)
	case newest.Status == Failed:
		return StateFailed, fmt.Sprintf("revision %d failed", newest.Version)
	case newest.Status != Deployed:
		return StateOutOfSync, fmt.Sprintf("revision %d is %s", newest.Version, newest.Status)
	case newest.Digest != d.Digest:
		return StateOutOfSync, fmt.Sprintf("revision %d is of something else", newest.Version)
	case s.Tests == TestsFailed && d.Test.Enable && s.testsCount(d):
		return StateFailed, fmt.Sprintf("the tests of revision %d failed", newest.Version)
	case s.Tests == NotTested && d.Test.Enable && d.HasTests:
		return StateUntested, fmt.Sprintf("revision %d is not tested", newest.Version)
	}
	return StateInSync, ""
}

// newest returns the newest revision. If another program wrote its record and did not change what the revision is, as
// helm test does, its digest is that of the journal.
func (s Situation) newest() (Revision, bool) {
	if len(s.History) == 0 {
		return Revision{}, false
	}
	newest := s.History[len(s.History)-1]
	known := s.Journal.Wrote
	if newest.Digest.IsZero() && newest.Version == known.Version && !known.Fingerprint.IsZero() &&
		known.Fingerprint == s.Fingerprint {
		newest.Digest = known.Digest
	}
	return newest, true
}

// testsCount reports whether failed tests are a failure of the release.
func (s Situation) testsCount(d Desired) bool {
	policy, _ := s.Journal.remediation(d)
	return policy != nil && !policy.IgnoreTestFailures
}

func (s Situation) otherChart(d Desired) bool {
	return s.Chart != "" && s.Chart != desiredChart(d.Release).Name && !d.KeepOtherChart
}

// wasOwn reports whether the spoke made a revision of the release.
func (s Situation) wasOwn() bool {
	return s.Journal.Release != (Identity{}) ||
		slices.ContainsFunc(s.History, func(r Revision) bool { return !r.Digest.IsZero() })
}

// guarded stalls an uninstall that must be confirmed, unless it has begun.
func (n Decision) guarded(d Desired, j Journal) Decision {
	if n.Action != Uninstall || d.Guarded == nil || j.Running.Action == Uninstall {
		return n
	}
	return Decision{State: n.State, Stalled: Guarded, Why: fmt.Sprintf("%s: %s", n.Why, d.Guarded)}
}

// remove uninstalls a release, also if there is no revision and the spoke installed it: its objects may be left. A
// release that the spoke never changed stays.
func (s Situation) remove(d Desired, n Decision, now time.Time) Decision {
	if (n.State == StateAbsent || n.State == StateUnmanaged) && s.Journal.Release == (Identity{}) {
		return n
	}
	return s.resumed(d, n, Uninstall, now)
}

// resumed returns the decision for an action on the newest revision, which goes on where it was interrupted.
func (s Situation) resumed(d Desired, n Decision, a Action, now time.Time) Decision {
	newest, _ := s.newest()
	running := s.Journal.Running
	if running.Action != a || running.Version != newest.Version || !now.Before(running.Deadline) {
		return s.paced(d, n, a)
	}
	n.Action, n.Version, n.Resume = a, newest.Version, true
	return n
}

// pending finishes what an action left. What the spoke began goes on until its deadline. What another program began is
// marked as failed after the time that the action may take.
func (s Situation) pending(d Desired, n Decision, now time.Time) Decision {
	newest, _ := s.newest()
	running := s.Journal.Running
	if newest.Status == Uninstalling {
		return s.resumed(d, n, Uninstall, now)
	}
	n.Action, n.Version = Unlock, newest.Version
	switch {
	case running.Version == newest.Version && running.Action != NoAction:
		if s.wantsOn(d, running) && now.Before(running.Deadline) {
			n.Action, n.Resume = running.Action, true
			n.Why += "; it goes on"
		}
	case newest.Digest.IsZero():
		n.NotBefore = newest.WrittenAt.Add(max(d.Install.Timeout, d.Upgrade.Timeout, d.Rollback.Timeout))
		n.Why += " by another program"
	}
	if again := s.paced(d, n, Unlock); n.Action == Unlock && again.NotBefore.After(n.NotBefore) {
		return again
	}
	return n
}

// wantsOn reports whether an action that was interrupted is still wanted.
func (s Situation) wantsOn(d Desired, running Running) bool {
	if d.Pinned > 0 {
		return running.Action == Rollback && running.From == s.pinTarget(d.Pinned)
	}
	return running.Action == Rollback || running.Digest == d.Digest
}

// attempt installs or upgrades unless no retry is left.
func (s Situation) attempt(d Desired, n Decision, a Action) Decision {
	policy, failures := &d.Install.Remediation, s.Journal.InstallFailures
	if a == Upgrade {
		policy, failures = &d.Upgrade.Remediation, s.Journal.UpgradeFailures
	}
	if exhausted(policy, failures) && !s.Journal.isForced(d) {
		n.Stalled, n.Why = RetriesExceeded, fmt.Sprintf("%s; %s failed %d times", n.Why, a, failures)
		return n
	}
	return s.paced(d, n, a)
}

// failed decides what follows a failed revision.
func (s Situation) failed(d Desired, n Decision, now time.Time) Decision {
	policy, failures := s.Journal.remediation(d)
	switch {
	case policy == nil || failures == 0 || s.Journal.isForced(d) || policy.Strategy == bundle.RetryInPlace:
		return s.paced(d, n, Upgrade)
	case exhausted(policy, failures) && !policy.RemediateLastFailure:
		n.Stalled, n.Why = RetriesExceeded, fmt.Sprintf("%s; %s failed %d times", n.Why, s.Journal.Attempted, failures)
		return n
	case policy.Strategy == bundle.UninstallOnFailure:
		return s.resumed(d, n, Uninstall, now)
	}
	if n.Version = s.rollbackTarget(); n.Version == 0 {
		n.Stalled, n.Why = MissingRollbackTarget, n.Why+"; there is no earlier revision that was deployed"
		return n
	}
	return s.paced(d, n, Rollback)
}

// rollbackTarget returns the newest revision before the newest one that was deployed and whose tests did not fail, or
// 0.
func (s Situation) rollbackTarget() int {
	for _, r := range slices.Backward(s.History[:len(s.History)-1]) {
		if r.wasDeployed() && r.Tests != TestsFailed {
			return r.Version
		}
	}
	return 0
}

// paced returns the decision for an action. If the same action failed last, it waits.
func (s Situation) paced(d Desired, n Decision, a Action) Decision {
	n.Action = a
	j := s.Journal
	if j.Failed == NoAction || kindOf(j.Failed) != kindOf(a) || j.isForced(d) && kindOf(a) == Upgrade {
		return n
	}
	interval := d.RetryInterval
	if policy, _ := j.remediation(d); policy != nil && policy.Strategy == bundle.RetryInPlace && kindOf(a) == Upgrade {
		interval = policy.RetryInterval
	}
	n.NotBefore = j.FailedAt.Add(interval)
	return n
}

// kindOf returns an action for which another one is the next try: an upgrade follows a failed install.
func kindOf(a Action) Action {
	if a == Install {
		return Upgrade
	}
	return a
}

// exhausted reports whether no retry is left.
func exhausted(p *bundle.Remediation, failures int) bool {
	return p.Strategy != bundle.RetryInPlace && p.Retries >= 0 && failures > p.Retries
}
