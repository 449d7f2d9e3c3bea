package release_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/manifest"
	"github.com/navefleet/nave/spoke/internal/release"
)

var wanted, other = manifest.DigestOf([]byte("wanted")), manifest.DigestOf([]byte("other"))

// desired is a release with Flux's defaults.
func desired() release.Desired {
	action := bundle.ReleaseAction{Timeout: 5 * time.Minute}
	install, upgrade := action, action
	install.Remediation = bundle.Remediation{Strategy: bundle.UninstallOnFailure}
	upgrade.Remediation = bundle.Remediation{Strategy: bundle.RollbackOnFailure}
	return release.Desired{Digest: wanted, HasTests: true, RetryInterval: time.Minute, Release: &bundle.Release{
		Name: "web", Namespace: "shop", StorageNamespace: "shop", Chart: []byte(`{"name":"web","version":"1.0.0"}`),
		Install: install, Upgrade: upgrade, Rollback: action, Uninstall: action,
		Test: bundle.ReleaseTest{Timeout: time.Minute}}}
}

// history is revisions 1, 2, … of the digest other, but the last, which is of the wanted one.
func history(statuses ...release.Status) (all []release.Revision) {
	for i, status := range statuses {
		all = append(all, release.Revision{Version: i + 1, Status: status, Digest: other})
	}
	all[len(all)-1].Digest = wanted
	return all
}

func of(digest manifest.Digest, history []release.Revision) []release.Revision {
	history[len(history)-1].Digest = digest
	return history
}

// show writes a decision as one line.
func show(n release.Decision, now time.Time) string {
	text := string(n.State) + ": " + string(n.Action)
	switch {
	case n.Stalled != "":
		text += string(n.Stalled)
	case n.Action == release.NoAction:
		text += "nothing"
	case n.Resume:
		text += " goes on"
	}
	if n.Version != 0 {
		text += fmt.Sprintf(" %d", n.Version)
	}
	if n.NotBefore.After(now) {
		text += " in " + n.NotBefore.Sub(now).String()
	}
	return text
}

// failedOnce is the journal after an action failed 30 seconds ago.
func failedOnce(a release.Action) release.Journal {
	j := release.Journal{Of: wanted, Attempted: a, Failed: a, FailedAt: noon.Add(-30 * time.Second)}
	if a == release.Install {
		j.InstallFailures = 1
	} else {
		j.UpgradeFailures = 1
	}
	return j
}

func TestDecide(t *testing.T) {
	const d, s, f, u = release.Deployed, release.Superseded, release.Failed, release.Uninstalled
	running := func(a release.Action, version int, digest manifest.Digest, left time.Duration) release.Journal {
		return release.Journal{Of: wanted, Attempted: release.Upgrade, Running: release.Running{Action: a, Version: version,
			Digest: digest, Deadline: noon.Add(left)}}
	}
	tests := map[string]struct {
		history []release.Revision
		journal release.Journal
		change  func(*release.Desired, *release.Situation)
		want    string
	}{
		"nothing_there":        {want: "Absent: install"},
		"uninstalled":          {history: history(u), want: "Absent: install"},
		"in_sync":              {history: history(s, d), want: "InSync: nothing"},
		"out_of_sync":          {history: of(other, history(d)), want: "OutOfSync: upgrade"},
		"superseded":           {history: history(s), want: "OutOfSync: upgrade"},
		"unmanaged":            {history: of(manifest.Digest{}, history(d)), want: "Unmanaged: upgrade"},
		"unmanaged_and_failed": {history: of(manifest.Digest{}, history(f)), want: "Unmanaged: upgrade"},
		"record_without_digest": { // helm test wrote the record, and changed only the results of hooks
			history: of(manifest.Digest{}, history(d)), journal: release.Journal{Of: wanted, Wrote: release.Written{
				Version: 1, Digest: wanted, Fingerprint: other}},
			change: func(_ *release.Desired, s *release.Situation) { s.Fingerprint = other }, want: "InSync: nothing"},
		"record_of_another": {history: of(manifest.Digest{}, history(d)), journal: release.Journal{Of: wanted,
			Wrote: release.Written{Version: 1, Digest: wanted, Fingerprint: other}},
			change: func(_ *release.Desired, s *release.Situation) { s.Fingerprint = wanted }, want: "Unmanaged: upgrade"},

		"interrupted":          {history: history(d, release.PendingUpgrade), journal: running(release.Upgrade, 2, wanted, time.Minute), want: "Pending: upgrade goes on 2"},
		"interrupted_too_long": {history: history(d, release.PendingUpgrade), journal: running(release.Upgrade, 2, wanted, -time.Second), want: "Pending: unlock 2"},
		"interrupted_and_changed": {history: of(other, history(d, release.PendingUpgrade)),
			journal: running(release.Upgrade, 2, other, time.Minute), want: "Pending: unlock 2"},
		"interrupted_rollback": {history: of(other, history(d, f, release.PendingRollback)),
			journal: running(release.Rollback, 3, wanted, time.Minute), want: "Pending: rollback goes on 3"},
		"pending_without_journal": {history: history(release.PendingInstall), want: "Pending: unlock 1"},
		"helm_at_work": {history: of(manifest.Digest{}, history(d, release.PendingUpgrade)),
			change: func(_ *release.Desired, s *release.Situation) { s.History[1].WrittenAt = noon.Add(-time.Minute) },
			want:   "Pending: unlock 2 in 4m0s"},
		"helm_killed":  {history: of(manifest.Digest{}, history(release.PendingInstall)), want: "Pending: unlock 1"},
		"uninstalling": {history: history(release.Uninstalling), want: "Pending: uninstall"},

		"failed_without_journal": {history: history(d, f), want: "Failed: upgrade"},
		"install_failed":         {history: history(f), journal: failedOnce(release.Install), want: "Failed: RetriesExceeded"},
		"install_failed_retries": {history: history(f), journal: failedOnce(release.Install),
			change: func(d *release.Desired, _ *release.Situation) { d.Install.Remediation.Retries = 1 },
			want:   "Failed: uninstall"},
		"install_failed_last": {history: history(f), journal: failedOnce(release.Install),
			change: func(d *release.Desired, _ *release.Situation) { d.Install.Remediation.RemediateLastFailure = true },
			want:   "Failed: uninstall"},
		"install_retried_in_place": {history: history(f), journal: failedOnce(release.Install),
			change: func(d *release.Desired, _ *release.Situation) {
				d.Install.Remediation = bundle.Remediation{Strategy: bundle.RetryInPlace, RetryInterval: 5 * time.Minute}
			}, want: "Failed: upgrade in 4m30s"},
		"install_without_record": {journal: failedOnce(release.Install),
			change: func(d *release.Desired, _ *release.Situation) { d.Install.Remediation.Retries = -1 },
			want:   "Absent: install in 30s"},
		"install_exhausted": {journal: failedOnce(release.Install), want: "Absent: RetriesExceeded"},
		"upgrade_failed":    {history: history(d, f), journal: failedOnce(release.Upgrade), want: "Failed: RetriesExceeded"},
		"upgrade_failed_retries": {history: history(s, d, f), journal: failedOnce(release.Upgrade),
			change: func(d *release.Desired, _ *release.Situation) { d.Upgrade.Remediation.Retries = 1 },
			want:   "Failed: rollback 2"},
		"upgrade_failed_tests": {history: history(s, d, f), journal: failedOnce(release.Upgrade),
			change: func(d *release.Desired, s *release.Situation) {
				d.Upgrade.Remediation.Retries, s.History[1].Tests = 1, release.TestsFailed
			}, want: "Failed: rollback 1"},
		"upgrade_failed_no_target": {history: history(f, f), journal: failedOnce(release.Upgrade),
			change: func(d *release.Desired, _ *release.Situation) { d.Upgrade.Remediation.Retries = 1 },
			want:   "Failed: MissingRollbackTarget"},
		"upgrade_failed_uninstall": {history: history(d, f), journal: failedOnce(release.Upgrade),
			change: func(d *release.Desired, _ *release.Situation) {
				d.Upgrade.Remediation = bundle.Remediation{Strategy: bundle.UninstallOnFailure, RemediateLastFailure: true}
			}, want: "Failed: uninstall"},
		"upgrade_retried_in_place": {history: history(d, f), journal: failedOnce(release.Upgrade),
			change: func(d *release.Desired, _ *release.Situation) {
				d.Upgrade.Remediation = bundle.Remediation{Strategy: bundle.RetryInPlace, RetryInterval: time.Minute}
			}, want: "Failed: upgrade in 30s"},
		"upgrade_exhausted": {history: of(other, history(d)), journal: failedOnce(release.Upgrade),
			want: "OutOfSync: RetriesExceeded"},
		"upgrade_changed": {history: of(other, history(d, f)), journal: func() release.Journal {
			j := failedOnce(release.Upgrade)
			j.Of = other
			return j
		}(), want: "Failed: upgrade"},
		"rollback_failed": {history: history(d, s, f), journal: func() release.Journal {
			j := failedOnce(release.Upgrade)
			j.Failed = release.Rollback
			return j
		}(), change: func(d *release.Desired, _ *release.Situation) { d.Upgrade.Remediation.RemediateLastFailure = true },
			want: "Failed: rollback 2 in 30s"},

		"forced": {history: history(d), change: func(d *release.Desired, _ *release.Situation) { d.Forced = "now" },
			want: "InSync: upgrade"},
		"forced_before": {history: history(d), journal: release.Journal{Of: wanted, HandledForce: "now"},
			change: func(d *release.Desired, _ *release.Situation) { d.Forced = "now" }, want: "InSync: nothing"},
		"forced_failed": {history: history(d, f), journal: failedOnce(release.Upgrade),
			change: func(d *release.Desired, _ *release.Situation) { d.Forced = "now" }, want: "Failed: upgrade"},
		"forced_exhausted": {journal: failedOnce(release.Install),
			change: func(d *release.Desired, _ *release.Situation) { d.Forced = "now" }, want: "Absent: install"},
		"reset": {history: history(d, f), journal: failedOnce(release.Upgrade),
			change: func(d *release.Desired, _ *release.Situation) { d.Reset = "now" }, want: "Failed: upgrade"},
		"reset_before": {history: history(d, f), journal: func() release.Journal {
			j := failedOnce(release.Upgrade)
			j.HandledReset = "now"
			return j
		}(), change: func(d *release.Desired, _ *release.Situation) { d.Reset = "now" }, want: "Failed: RetriesExceeded"},

		"untested": {history: history(d), change: func(d *release.Desired, _ *release.Situation) { d.Test.Enable = true },
			want: "Untested: test"},
		"without_tests": {history: history(d), change: func(d *release.Desired, _ *release.Situation) {
			d.Test.Enable, d.HasTests = true, false
		}, want: "InSync: nothing"},
		"tests_passed": {history: history(d), change: func(d *release.Desired, s *release.Situation) {
			d.Test.Enable, s.Tests = true, release.TestsPassed
		}, want: "InSync: nothing"},
		"tests_failed": {history: history(s, d), journal: failedOnce(release.Upgrade),
			change: func(d *release.Desired, s *release.Situation) {
				d.Test.Enable, s.Tests, d.Upgrade.Remediation.Retries = true, release.TestsFailed, 3
			}, want: "Failed: rollback 1"},
		"tests_failed_ignored": {history: history(s, d), journal: release.Journal{Of: wanted, Attempted: release.Upgrade},
			change: func(d *release.Desired, s *release.Situation) {
				d.Test.Enable, s.Tests, d.Upgrade.Remediation.IgnoreTestFailures = true, release.TestsFailed, true
			}, want: "InSync: nothing"},

		"test_requested": {history: history(d), change: func(d *release.Desired, _ *release.Situation) { d.Tested = "now" },
			want: "InSync: test"},
		"test_requested_before": {history: history(d), journal: release.Journal{Of: wanted, HandledTest: "now"},
			change: func(d *release.Desired, _ *release.Situation) { d.Tested = "now" }, want: "InSync: nothing"},
		"test_requested_after_failure": {history: history(d), journal: release.Journal{Of: wanted, HandledTest: "before",
			Failed: release.Test, FailedAt: noon}, want: "InSync: test",
			change: func(d *release.Desired, _ *release.Situation) { d.Tested = "now" }},
		"test_requested_and_killed": {history: history(d), journal: release.Journal{Of: wanted, HandledTest: "now",
			Running: release.Running{Action: release.Test, Version: 1, Deadline: noon.Add(time.Minute)}},
			want:   "InSync: test goes on 1",
			change: func(d *release.Desired, _ *release.Situation) { d.Tested = "now" }},
		"forced_and_killed": {history: history(d), journal: release.Journal{Of: wanted, HandledForce: "now",
			Running: release.Running{Action: release.Upgrade, Version: 2, Deadline: noon.Add(time.Minute)}},
			want:   "InSync: upgrade",
			change: func(d *release.Desired, _ *release.Situation) { d.Forced = "now" }},
		"test_requested_of_none": {history: history(d), change: func(d *release.Desired, _ *release.Situation) {
			d.Tested, d.HasTests = "now", false
		}, want: "InSync: nothing"},
		"test_requested_too_early": {history: of(other, history(d)),
			change: func(d *release.Desired, _ *release.Situation) { d.Tested = "now" }, want: "OutOfSync: upgrade"},

		"removed_unmanaged": {history: of(manifest.Digest{}, history(d)),
			change: func(d *release.Desired, _ *release.Situation) { d.Removed = true }, want: "Unmanaged: nothing"},
		"removed_changed_by_helm": {history: of(manifest.Digest{}, history(d)), journal: release.Journal{
			Release: release.Identity{Name: "web", Namespace: "shop", StorageNamespace: "shop"}},
			change: func(d *release.Desired, _ *release.Situation) { d.Removed = true }, want: "Unmanaged: uninstall"},
		"removed": {history: history(d), change: func(d *release.Desired, _ *release.Situation) { d.Removed = true },
			want: "InSync: uninstall"},
		"removed_pending": {history: history(release.PendingUpgrade),
			change: func(d *release.Desired, _ *release.Situation) { d.Removed = true }, want: "Pending: uninstall"},
		"removed_already": {change: func(d *release.Desired, _ *release.Situation) { d.Removed = true },
			want: "Absent: nothing"},
		"removed_failed": {history: history(d), journal: release.Journal{Of: wanted, Failed: release.Uninstall, FailedAt: noon},
			change: func(d *release.Desired, _ *release.Situation) { d.Removed = true }, want: "InSync: uninstall in 1m0s"},
		"moved": {history: history(d), journal: release.Journal{Of: wanted, Release: release.Identity{Name: "web",
			Namespace: "old", StorageNamespace: "shop"}}, want: "InSync: uninstall"},
		"other_chart": {history: of(other, history(d)),
			change: func(_ *release.Desired, s *release.Situation) { s.Chart = "shop" }, want: "OutOfSync: uninstall"},
		"other_chart_of_helm": {history: of(manifest.Digest{}, history(d)),
			change: func(_ *release.Desired, s *release.Situation) { s.Chart = "shop" }, want: "Unmanaged: ReleaseHeld"},
		"other_chart_of_helm_kept": {history: of(manifest.Digest{}, history(d)),
			change: func(d *release.Desired, s *release.Situation) { s.Chart, d.KeepOtherChart = "shop", true },
			want:   "Unmanaged: upgrade"},
		"other_chart_by_hand": {history: of(manifest.Digest{}, history(d)), journal: release.Journal{Of: wanted,
			Release: release.Identity{Name: "web", Namespace: "shop", StorageNamespace: "shop"}},
			change: func(_ *release.Desired, s *release.Situation) { s.Chart = "shop" }, want: "Unmanaged: upgrade"},
		"other_chart_guarded": {history: of(other, history(d)), change: func(d *release.Desired, s *release.Situation) {
			s.Chart, d.Guarded = "shop", errors.New("too many")
		}, want: "OutOfSync: PruneHeld"},
		"moved_guarded": {history: history(d), journal: release.Journal{Of: wanted, Release: release.Identity{Name: "web",
			Namespace: "old", StorageNamespace: "shop"}},
			change: func(d *release.Desired, _ *release.Situation) { d.Guarded = errors.New("too many") },
			want:   "InSync: PruneHeld"},
		"moved_guarded_begun": {history: history(release.Uninstalling), journal: release.Journal{Of: wanted,
			Release: release.Identity{Name: "web", Namespace: "old", StorageNamespace: "shop"},
			Running: release.Running{Action: release.Uninstall, Version: 1, Deadline: noon.Add(time.Minute)}},
			change: func(d *release.Desired, _ *release.Situation) { d.Guarded = errors.New("too many") },
			want:   "Pending: uninstall goes on 1"},
		"removed_guarded": {history: history(d), change: func(d *release.Desired, _ *release.Situation) {
			d.Removed, d.Guarded = true, errors.New("too many")
		}, want: "InSync: uninstall"},
		"other_chart_kept": {history: of(other, history(d)), change: func(d *release.Desired, s *release.Situation) {
			s.Chart, d.KeepOtherChart = "shop", true
		}, want: "OutOfSync: upgrade"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			d, s := desired(), release.Situation{History: test.history, Journal: test.journal}
			if test.change != nil {
				test.change(&d, &s)
			}
			n := s.Decide(d, noon)
			if got := show(n, noon); got != test.want {
				t.Errorf("%s (%s), want %s", got, n.Why, test.want)
			}
			if n.State != release.StateInSync && n.Why == "" {
				t.Error("no cause is given")
			}
		})
	}
}

// world is a cluster with one release, whose actions end as a script says.
type world struct {
	release.Desired
	release.Situation
	now  time.Time
	done []string
}

// act carries out the next decision: the outcome is "ok", "fails", "killed" (nothing more is written) or "lost" (the
// spoke's disk is lost, too). It returns false if there is nothing to do.
func (w *world) act(outcome string) bool {
	n := w.Decide(w.Desired, w.now)
	if n.Action == release.NoAction {
		w.done = append(w.done, strings.TrimPrefix(show(n, w.now), string(n.State)+": "))
		return false
	}
	if n.NotBefore.After(w.now) {
		w.now = n.NotBefore
	}
	w.Journal = reread(w.Journal.Begin(w.Desired, n, w.begun(n), w.now))
	w.done = append(w.done, string(n.Action)+map[string]string{"ok": "", "fails": "!"}[outcome])
	if outcome == "killed" || outcome == "lost" {
		w.done[len(w.done)-1] += "~"
		if outcome == "lost" {
			w.Journal = release.Journal{}
		}
		return true
	}
	w.end(n, outcome == "ok")
	var err error
	if outcome != "ok" {
		err = errors.New(outcome)
	}
	w.Journal = w.Journal.End(w.Desired, err, w.now)
	return true
}

// reread returns a journal as the disk has it.
func reread(j release.Journal) (again release.Journal) {
	text, err := json.Marshal(j)
	if err == nil {
		err = json.Unmarshal(text, &again)
	}
	if err != nil {
		panic(err)
	}
	return again
}

// begun writes the pending record of an action, and returns its revision.
func (w *world) begun(n release.Decision) int {
	pending := map[release.Action]release.Status{release.Install: release.PendingInstall,
		release.Upgrade: release.PendingUpgrade, release.Rollback: release.PendingRollback}
	last := len(w.History)
	switch status := pending[n.Action]; {
	case n.Resume:
		return n.Version
	case status != "":
		r := release.Revision{Version: last + 1, Status: status, Digest: w.Digest, WrittenAt: w.now}
		if n.Action == release.Rollback {
			r.Digest, r.Events.Description = w.History[n.Version-1].Digest, fmt.Sprintf("Rollback to %d", n.Version)
		}
		w.History, w.Tests = append(w.History, r), release.NotTested
		return last + 1
	case n.Action == release.Uninstall && last > 0:
		w.History[last-1].Status = release.Uninstalling
	}
	return last
}

// end writes the record of an action that ended.
func (w *world) end(n release.Decision, ok bool) {
	newest := &w.History[max(len(w.History), 1)-1]
	switch {
	case n.Action == release.Test:
		w.Tests = map[bool]release.TestResult{true: release.TestsPassed, false: release.TestsFailed}[ok]
		newest.Tests = w.Tests
	case n.Action == release.Unlock || !ok:
		newest.Status = release.Failed
	case n.Action == release.Uninstall:
		w.History = nil
	default:
		for i := range w.History {
			if w.History[i].Status == release.Deployed {
				w.History[i].Status = release.Superseded
			}
		}
		newest.Status = release.Deployed
	}
}

// TestDecide_course plays whole lives of releases. "!" is an action that fails, "~" one that is killed.
func TestDecide_course(t *testing.T) {
	tested := func(d *release.Desired) { d.Test.Enable = true }
	retries := func(d *release.Desired) {
		d.Install.Remediation.Retries, d.Upgrade.Remediation.Retries = 1, 1
		d.Upgrade.Remediation.RemediateLastFailure = true
	}
	tests := map[string]struct {
		change   func(*release.Desired)
		history  []release.Revision
		outcomes string // of the actions; the last one repeats
		want     string
	}{
		"install":        {nil, nil, "ok", "install nothing"},
		"install_tested": {tested, nil, "ok", "install test nothing"},
		"install_fails":  {nil, nil, "fails", "install! RetriesExceeded"},
		"install_fails_retries": {retries, nil, "fails ok fails",
			"install! uninstall install! RetriesExceeded"},
		"install_fails_once": {retries, nil, "fails ok ok", "install! uninstall install nothing"},
		"test_fails":         {tested, nil, "ok fails", "install test! RetriesExceeded"},
		"upgrade":            {nil, of(other, history(release.Deployed)), "ok", "upgrade nothing"},
		"upgrade_fails":      {nil, of(other, history(release.Deployed)), "fails", "upgrade! RetriesExceeded"},
		"upgrade_fails_retries": {retries, of(other, history(release.Deployed)), "fails ok fails ok",
			"upgrade! rollback upgrade! rollback RetriesExceeded"},
		"upgrade_fails_once": {retries, of(other, history(release.Deployed)), "fails ok ok",
			"upgrade! rollback upgrade nothing"},
		"rollback_fails_once": {retries, of(other, history(release.Deployed)), "fails fails ok ok",
			"upgrade! rollback! rollback upgrade nothing"},
		"upgrade_test_fails": {func(d *release.Desired) { tested(d); retries(d) }, of(other, history(release.Deployed)),
			"ok fails ok ok ok", "upgrade test! rollback upgrade test nothing"},
		"killed":           {nil, nil, "killed killed ok", "install~ install~ install nothing"},
		"killed_disk_lost": {nil, nil, "lost ok", "install~ unlock upgrade nothing"},
		"killed_upgrade":   {nil, of(other, history(release.Deployed)), "killed ok", "upgrade~ upgrade nothing"},
		"killed_rollback": {retries, of(other, history(release.Deployed)), "fails killed ok",
			"upgrade! rollback~ rollback upgrade nothing"},
		"killed_test": {tested, nil, "ok killed ok", "install test~ test nothing"},
		"in_place": {func(d *release.Desired) {
			d.Install.Remediation = bundle.Remediation{Strategy: bundle.RetryInPlace, RetryInterval: time.Minute}
			d.Upgrade.Remediation = d.Install.Remediation
		}, nil, "fails fails fails ok", "install! upgrade! upgrade! upgrade nothing"},
		"removed":             {func(d *release.Desired) { d.Removed = true }, history(release.Deployed), "ok", "uninstall nothing"},
		"removed_and_killed":  {func(d *release.Desired) { d.Removed = true }, history(release.Deployed), "killed ok", "uninstall~ uninstall nothing"},
		"removed_after_fails": {func(d *release.Desired) { d.Removed = true }, history(release.Deployed), "fails ok", "uninstall! uninstall nothing"},
		"forced":              {func(d *release.Desired) { d.Forced = "now" }, history(release.Deployed), "ok", "upgrade nothing"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			w := &world{Desired: desired(), Situation: release.Situation{History: test.history}, now: noon}
			if test.change != nil {
				test.change(&w.Desired)
			}
			outcomes := strings.Fields(test.outcomes)
			for i := 0; w.act(outcomes[min(i, len(outcomes)-1)]); i++ {
				if i == 20 {
					t.Fatal("it does not end: ", w.done)
				}
			}
			if got := strings.Join(w.done, " "); got != test.want {
				t.Errorf("%s, want %s", got, test.want)
			}
		})
	}
}

// TestDecide_interrupted gives up an action whose deadline passed while the spoke was down, and counts it as a failure.
func TestDecide_interrupted(t *testing.T) {
	w := &world{Desired: desired(), Situation: release.Situation{History: of(other, history(release.Deployed))}, now: noon}
	w.Upgrade.Remediation.Retries = 1
	w.act("killed")
	w.now = w.now.Add(time.Hour)
	for w.act("ok") {
	}
	if got := strings.Join(w.done, " "); got != "upgrade~ unlock rollback upgrade nothing" {
		t.Error(got)
	}
}

// TestDecide_moved uninstalls under the old name and installs under the new one.
func TestDecide_moved(t *testing.T) {
	w := &world{Desired: desired(), now: noon}
	w.act("ok")
	w.Namespace = "elsewhere"
	if w.Journal.Subject(w.Desired).Namespace != "shop" {
		t.Error(w.Journal.Subject(w.Desired))
	}
	w.act("ok")
	if w.Journal.Subject(w.Desired).Namespace != "elsewhere" {
		t.Error(w.Journal.Subject(w.Desired))
	}
	for w.act("ok") {
	}
	if got := strings.Join(w.done, " "); got != "install uninstall install nothing" {
		t.Error(got)
	}
}
