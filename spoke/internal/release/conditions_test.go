package release_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/navefleet/nave/spoke/internal/release"
)

// TestConditions has the conditions of Flux after each way that a release can go.
func TestConditions(t *testing.T) {
	const d, s, f = release.Deployed, release.Superseded, release.Failed
	failed := func(a release.Action, change func(*release.Journal)) release.Journal {
		j := failedOnce(a)
		j.Cause = "health: it is ill"
		if change != nil {
			change(&j)
		}
		return j
	}
	tests := map[string]struct {
		history []release.Revision
		journal release.Journal
		tests   release.TestResult
		want    string
	}{
		"nothing":   {},
		"installed": {history: history(d), want: "Released=True InstallSucceeded: Helm install succeeded for release shop/web.v1 with chart web@2"},
		"upgraded":  {history: history(s, d), want: "Released=True UpgradeSucceeded: Helm upgrade succeeded for release shop/web.v2 with chart web@2"},
		"forced_once": {history: history(d), journal: release.Journal{Attempted: release.Upgrade},
			want: "Released=True UpgradeSucceeded: Helm upgrade succeeded for release shop/web.v1 with chart web@2"},
		"install_failed": {history: history(f), journal: failed(release.Install, nil),
			want: "Released=False InstallFailed: Helm install failed for release shop/web with chart web@1.0.0: " +
				"health: it is ill"},
		"rolled_back": {history: of(other, history(s, f, d)),
			journal: failed(release.Upgrade, func(j *release.Journal) { j.Failed, j.Remedied = "", release.Rollback }),
			want: "Released=False UpgradeFailed: Helm upgrade failed for release shop/web with chart web@1.0.0: " +
				"health: it is ill\n" +
				"Remediated=True RollbackSucceeded: Helm rollback succeeded for release shop/web.v3 with chart web@2"},
		"rollback_failed": {history: of(other, history(s, f, f)),
			journal: failed(release.Upgrade, func(j *release.Journal) { j.Failed, j.NotRemedied = release.Rollback, "refused" }),
			want: "Released=False UpgradeFailed: Helm upgrade failed for release shop/web with chart web@1.0.0: " +
				"health: it is ill\n" +
				"Remediated=False RollbackFailed: Helm rollback failed for release shop/web.v3 with chart web@2: refused"},
		"uninstalled": {
			journal: failed(release.Install, func(j *release.Journal) { j.Failed, j.Remedied = "", release.Uninstall }),
			want: "Released=False InstallFailed: Helm install failed for release shop/web with chart web@1.0.0: " +
				"health: it is ill\n" +
				"Remediated=True UninstallSucceeded: Helm uninstall succeeded for release shop/web"},
		"tested": {history: history(d), tests: release.TestsPassed,
			want: "Released=True InstallSucceeded: Helm install succeeded for release shop/web.v1 with chart web@2\n" +
				"TestSuccess=True TestSucceeded: Helm test succeeded for release shop/web.v1 with chart web@2"},
		"tests_failed": {history: history(d), tests: release.TestsFailed, journal: failed(release.Install, nil),
			want: "Released=True InstallSucceeded: Helm install succeeded for release shop/web.v1 with chart web@2\n" +
				"TestSuccess=False TestFailed: Helm test failed for release shop/web.v1 with chart web@2: health: it is ill"},
		"tests_of_before": {history: of(other, history(d)), tests: release.TestsFailed},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			for i := range test.history {
				test.history[i].Chart = release.Chart{Name: "web", Version: "2"}
			}
			found := release.Situation{History: test.history, Journal: test.journal, Tests: test.tests}
			var lines []string
			for _, c := range found.Conditions(desired()) {
				lines = append(lines, fmt.Sprintf("%s=%s %s: %s", c.Type, c.Status, c.Reason, c.Message))
			}
			if got := strings.Join(lines, "\n"); got != test.want {
				t.Errorf("got:\n%s\nwant:\n%s", got, test.want)
			}
		})
	}
}
