package release_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/navefleet/nave/shared/manifest"
	"github.com/navefleet/nave/spoke/internal/release"
)

// madeOf notes that the newest revision is the rollback to another one.
func madeOf(version int, history []release.Revision) []release.Revision {
	newest := &history[len(history)-1]
	newest.Events.Description, newest.Digest = fmt.Sprintf("Rollback to %d", version), other
	return history
}

// TestDecide_pinned decides about a release that an operator rolled back to revision 2.
func TestDecide_pinned(t *testing.T) {
	const d, s, f, u = release.Deployed, release.Superseded, release.Failed, release.Uninstalled
	running := func(a release.Action, version, from int) release.Journal {
		return release.Journal{Running: release.Running{Action: a, Version: version, From: from, Digest: wanted,
			Deadline: noon.Add(time.Minute)}}
	}
	pending := release.PendingRollback
	for name, test := range map[string]struct {
		history []release.Revision
		journal release.Journal
		change  func(*release.Desired)
		want    string
	}{
		"begins":            {history: history(s, s, d), want: "Pinned: rollback 2"},
		"after_failure":     {history: history(s, d, f), want: "Pinned: rollback 2"},
		"at_once":           {history: of(other, history(s, d)), want: "Pinned: nothing"},
		"there":             {history: madeOf(2, history(s, s, s, d)), want: "Pinned: nothing"},
		"there_as_desired":  {history: history(s, d), want: "InSync: nothing"},
		"elsewhere":         {history: madeOf(1, history(s, s, s, d)), want: "Pinned: rollback 2"},
		"changed_by_helm":   {history: of(manifest.Digest{}, madeOf(2, history(s, s, s, s, d))), want: "Pinned: rollback 2"},
		"of_helm":           {history: of(manifest.Digest{}, history(s, d)), want: "Pinned: rollback 2"},
		"uninstalled":       {history: history(s, s, u), want: "Pinned: rollback 2"},
		"rolled_back_once":  {history: history(s, s, s, s, d), want: "Pinned: rollback 2"},
		"deleted":           {history: history(s, d)[:1], want: "Pinned: MissingRollbackTarget"},
		"never_deployed":    {history: history(s, f, d), want: "Pinned: MissingRollbackTarget"},
		"no_history":        {want: "Pinned: MissingRollbackTarget"},
		"forced":            {history: madeOf(2, history(s, s, s, d)), change: func(d *release.Desired) { d.Forced = "now" }, want: "Pinned: nothing"},
		"tested":            {history: madeOf(2, history(s, s, s, d)), change: func(d *release.Desired) { d.Tested = "now" }, want: "Pinned: test"},
		"tests_on":          {history: madeOf(2, history(s, s, s, d)), change: func(d *release.Desired) { d.Test.Enable = true }, want: "Pinned: nothing"},
		"moved":             {history: madeOf(2, history(s, s, s, d)), journal: release.Journal{Release: release.Identity{Name: "old"}}, want: "Pinned: nothing"},
		"removed":           {history: history(s, d), change: func(d *release.Desired) { d.Removed = true }, want: "InSync: uninstall"},
		"during_an_upgrade": {history: history(s, d, release.PendingUpgrade), journal: running(release.Upgrade, 3, 0), want: "Pending: unlock 3"},
		"goes_on":           {history: history(s, s, d, pending), journal: running(release.Rollback, 4, 2), want: "Pending: rollback goes on 4"},
		"other_rollback":    {history: history(s, s, d, pending), journal: running(release.Rollback, 4, 1), want: "Pending: unlock 4"},
		"upgrade_not_begun": {history: of(other, history(s, d)), journal: running(release.Upgrade, 3, 0), want: "Pinned: nothing"},
	} {
		t.Run(name, func(t *testing.T) {
			d := desired()
			d.Pinned = 2
			if test.change != nil {
				test.change(&d)
			}
			n := release.Situation{History: test.history, Journal: test.journal}.Decide(d, noon)
			if got := show(n, noon); got != test.want {
				t.Errorf("%s (%s), want %s", got, n.Why, test.want)
			}
		})
	}
	deleted := release.Situation{History: madeOf(2, history(s, s, s, d))[2:]}
	deleted.History = append(deleted.History, release.Revision{Version: 5, Status: release.Deployed, Digest: other})
	pinned := desired()
	if pinned.Pinned = 2; show(deleted.Decide(pinned, noon), noon) != "Pinned: rollback 4" {
		t.Error("a deleted revision: ", show(deleted.Decide(pinned, noon), noon))
	}
}

// TestDecide_pinned_course plays lives with a pin to revision 1 that ends.
func TestDecide_pinned_course(t *testing.T) {
	for name, test := range map[string]struct{ outcomes, want string }{
		"ok":     {"ok", "rollback nothing; upgrade nothing"},
		"fails":  {"fails ok", "rollback! rollback nothing; upgrade nothing"},
		"killed": {"killed ok", "rollback~ rollback nothing; upgrade nothing"},
		"lost":   {"lost ok", "rollback~ unlock rollback nothing; upgrade nothing"},
	} {
		t.Run(name, func(t *testing.T) {
			w := &world{Desired: desired(), now: noon, Situation: release.Situation{
				History: history(release.Superseded, release.Deployed)}}
			w.Pinned = 1
			for _, outcome := range strings.Fields(test.outcomes) {
				w.act(outcome)
			}
			for w.act("ok") {
			}
			w.done[len(w.done)-1] += ";"
			w.Pinned = 0
			for w.act("ok") {
			}
			if got := strings.Join(w.done, " "); got != test.want {
				t.Errorf("%s, want %s", got, test.want)
			}
		})
	}
}

// TestDecide_pin_failures forgets failures with a pin, and with its end. Nothing that happens meanwhile counts.
func TestDecide_pin_failures(t *testing.T) {
	w := &world{Desired: desired(), now: noon,
		Situation: release.Situation{History: of(other, history(release.Deployed)), Journal: failedOnce(release.Upgrade)}}
	if w.act("ok"); w.done[0] != "RetriesExceeded" {
		t.Fatal(w.done)
	}
	w.Pinned, w.Tested = 1, "now"
	for w.act("fails") && len(w.done) < 3 {
	}
	if got := strings.Join(w.done, " "); got != "RetriesExceeded test! nothing" || len(w.Conditions(w.Desired)) > 1 {
		t.Error(got, w.Conditions(w.Desired))
	}
	if j := w.Journal.End(w.Desired, errors.New("no"), noon); j.UpgradeFailures != 0 {
		t.Error(j)
	}
	w.Pinned = 0
	w.act("ok")
	if got := w.done[len(w.done)-1]; got != "upgrade" {
		t.Error(got)
	}
}
