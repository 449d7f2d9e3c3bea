package release

import (
	"cmp"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/manifest"
	"github.com/navefleet/nave/shared/telemetry"
)

// Journal is what the spoke remembers of a release between actions, and between the steps of an action. It is on disk
// before a step begins. Without a journal a release goes on, too: the record tells enough.
type Journal struct {
	Release         Identity        `json:"release,omitzero"`   // that was installed; zero: none
	Of              manifest.Digest `json:"of,omitzero"`        // see Desired.subject: what the failures belong to
	Attempted       Action          `json:"attempted,omitzero"` // the last install or upgrade
	InstallFailures int             `json:"installFailures,omitzero"`
	UpgradeFailures int             `json:"upgradeFailures,omitzero"`
	Failed          Action          `json:"failed,omitzero"` // the last action, if it failed
	FailedAt        time.Time       `json:"failedAt,omitzero"`
	HandledForce    string          `json:"handledForce,omitzero"`
	HandledReset    string          `json:"handledReset,omitzero"`
	HandledTest     string          `json:"handledTest,omitzero"`
	// Cause is why the last install, upgrade or test failed, and NotRemedied why the rollback or uninstall after it did.
	Cause       string  `json:"cause,omitzero"`
	NotRemedied string  `json:"notRemedied,omitzero"`
	Remedied    Action  `json:"remedied,omitzero"` // the rollback or uninstall that followed and succeeded
	Wrote       Written `json:"wrote,omitzero"`    // the last revision that the spoke wrote
	Running     Running `json:"running,omitzero"`  // zero: no action runs
}

// Identity names a release.
type Identity struct {
	Name             string `json:"name"`
	Namespace        string `json:"namespace"`
	StorageNamespace string `json:"storageNamespace"`
}

// String returns "namespace/name".
func (i Identity) String() string { return i.Namespace + "/" + i.Name }

func identityOf(r *bundle.Release) Identity { return Identity{r.Name, r.Namespace, r.StorageNamespace} }

// Written is a revision that the spoke wrote.
type Written struct {
	Version     int             `json:"version"`
	Digest      manifest.Digest `json:"digest"`
	Fingerprint manifest.Digest `json:"fingerprint"`
}

// Running is an action that has begun.
type Running struct {
	Action   Action          `json:"action"`
	Version  int             `json:"version"` // the revision that the action makes or changes
	From     int             `json:"from,omitzero"`
	Digest   manifest.Digest `json:"digest,omitzero"`
	Step     int             `json:"step"` // index of the step that may have begun
	Hook     int             `json:"hook"` // index of the hook of the step that may have begun
	Deadline time.Time       `json:"deadline"`
	// Interrupted is, of an Unlock, the action of the spoke that did not end.
	Interrupted Action `json:"interrupted,omitzero"`
}

// Step returns the name of the step that runs; empty if no action runs.
func (j Journal) Step() string {
	all := steps[j.Running.Action]
	if i := j.Running.Step; i >= 0 && i < len(all) {
		return all[i].name
	}
	return ""
}

// Subject returns the release that a Situation is of: the one that was installed, until it is uninstalled.
func (j Journal) Subject(d Desired) Identity {
	if j.Release != (Identity{}) {
		return j.Release
	}
	return identityOf(d.Release)
}

// Begin returns the journal of a decision that is carried out from now on. version is the revision that the action
// makes or changes.
func (j Journal) Begin(d Desired, n Decision, version int, now time.Time) Journal {
	j = j.renewed(d)
	if n.Resume {
		return j
	}
	interrupted := j.Running
	j.Running = Running{Action: n.Action, Version: version, Digest: d.Digest, Deadline: now.Add(timeoutOf(n.Action, d))}
	switch n.Action {
	case Install, Upgrade:
		j.Attempted, j.Release = n.Action, identityOf(d.Release)
		j.HandledForce, j.Remedied = d.Forced, NoAction
	case Rollback:
		j.Running.From = n.Version
	case Test:
		j.HandledTest = d.Tested
	case Unlock:
		if interrupted.Version == version && interrupted.Digest == d.Digest && d.Pinned == 0 {
			j.Running.Interrupted = interrupted.Action
		}
	}
	return j
}

// End returns the journal after an action. err is why the action failed; nil: it succeeded.
func (j Journal) End(d Desired, err error, now time.Time) Journal {
	ended := j.Running
	j.Running = Running{}
	switch {
	case err != nil:
		return j.fail(d, ended.Action, err, now)
	case ended.Action == Unlock:
		return j.fail(d, ended.Interrupted, errInterrupted, now)
	}
	j.Failed, j.FailedAt, j.NotRemedied = NoAction, time.Time{}, ""
	switch ended.Action {
	case Uninstall:
		if j.moved(d) || d.Removed {
			j = Journal{HandledForce: j.HandledForce, HandledReset: j.HandledReset, HandledTest: j.HandledTest}
		}
		j.Release, j.Wrote, j.Remedied = Identity{}, Written{}, Uninstall
	case Rollback:
		j.Remedied = Rollback
	case Install, Upgrade:
		if !d.Test.Enable || !d.HasTests {
			j = j.forgiven()
		}
	case Test:
		j = j.forgiven()
	}
	return j
}

// errInterrupted is why an action failed that did not end before its deadline, or before the release changed.
var errInterrupted = errors.New("it was interrupted")

// forgiven returns the journal without failures.
func (j Journal) forgiven() Journal {
	j.InstallFailures, j.UpgradeFailures, j.Cause, j.NotRemedied, j.Remedied = 0, 0, "", "", NoAction
	return j
}

// lineOf returns the text of an error in one line. Joined errors, which have a line each, are separated by semicolons.
func lineOf(err error) string {
	lines := slices.DeleteFunc(strings.Split(err.Error(), "\n"), func(s string) bool { return strings.TrimSpace(s) == "" })
	return telemetry.Line(strings.Join(lines, "; "), maxDescription)
}

// fail counts a failure. Failed tests count as failures of the last install or upgrade.
func (j Journal) fail(d Desired, a Action, err error, now time.Time) Journal {
	j.Failed, j.FailedAt = a, now
	cause := lineOf(err)
	switch a {
	case Install, Upgrade, Test:
		j.Cause = cause
	case Rollback, Uninstall:
		j.NotRemedied = cause
	}
	counts := a == Install || a == Upgrade // if the release is pinned, there is neither
	if policy, _ := j.remediation(d); a == Test && policy != nil {
		counts = d.Test.Enable && d.Pinned == 0 && !policy.IgnoreTestFailures
	}
	switch {
	case !counts:
	case j.Attempted == Install:
		j.InstallFailures++
	case j.Attempted == Upgrade:
		j.UpgradeFailures++
	}
	return j
}

// renewed returns the journal without failures that do not count any more: the desired release changed, or an operator
// asked.
func (j Journal) renewed(d Desired) Journal {
	if j.Of == d.subject() && (d.Reset == "" || d.Reset == j.HandledReset) {
		return j
	}
	j.Of, j.HandledReset = d.subject(), d.Reset
	j.Failed, j.FailedAt = NoAction, time.Time{}
	return j.forgiven()
}

// remediation returns what follows when the last install or upgrade fails, and how often it failed; nil if the spoke
// did neither.
func (j Journal) remediation(d Desired) (*bundle.Remediation, int) {
	switch j.Attempted {
	case Install:
		return &d.Install.Remediation, j.InstallFailures
	case Upgrade:
		return &d.Upgrade.Remediation, j.UpgradeFailures
	}
	return nil, 0
}

func (j Journal) isForced(d Desired) bool { return d.Forced != "" && d.Forced != j.HandledForce }

// moved reports whether the release was installed under another name or in other namespaces.
func (j Journal) moved(d Desired) bool {
	return j.Release != (Identity{}) && j.Release != identityOf(d.Release)
}

// timeoutOf returns how long an action may take.
func timeoutOf(a Action, d Desired) time.Duration {
	switch a {
	case Install:
		return d.Install.Timeout
	case Upgrade:
		return d.Upgrade.Timeout
	case Rollback:
		return d.Rollback.Timeout
	case Uninstall:
		return d.Uninstall.Timeout
	case Test:
		return cmp.Or(d.Test.Timeout, d.Upgrade.Timeout)
	}
	return time.Minute // one record is written
}

// desiredChart returns the chart of a valid release.
func desiredChart(r *bundle.Release) (c Chart) {
	_ = json.Unmarshal(r.Chart, &c)
	return c
}
