package release

import (
	"fmt"

	"github.com/navefleet/nave/shared/condition"
)

// Condition is a condition of a release, as Flux has it.
type Condition struct{ Type, Status, Reason, Message string }

// Conditions returns what is known about the release: Released, TestSuccess and Remediated.
func (s Situation) Conditions(d Desired) (all []Condition) {
	newest, exists := s.newest()
	current := exists && newest.Digest == d.Digest && newest.Status == Deployed
	all = append(all, s.released(d, current)...)
	switch {
	case !current && !(newest.Digest == d.Digest && s.Tests == TestsFailed):
	case s.Tests == TestsPassed:
		all = append(all, Condition{condition.TestSuccess, condition.True, condition.TestSucceeded,
			"Helm test succeeded for " + s.describe(d)})
	case s.Tests == TestsFailed:
		all = append(all, Condition{condition.TestSuccess, condition.False, condition.TestFailed,
			because("Helm test failed for "+s.describe(d), s.Journal.Cause)})
	}
	return append(all, s.remediated(d)...)
}

// released returns the condition Released; none if nothing was attempted.
func (s Situation) released(d Desired, current bool) []Condition {
	j := s.Journal
	installs := j.Attempted == Install || j.Attempted == NoAction && len(s.History) == 1
	word, done, failed := "upgrade", condition.UpgradeSucceeded, condition.UpgradeFailed
	if installs {
		word, done, failed = "install", condition.InstallSucceeded, condition.InstallFailed
	}
	switch {
	case current:
		return []Condition{{condition.Released, condition.True, done,
			fmt.Sprintf("Helm %s succeeded for %s", word, s.describe(d))}}
	case j.InstallFailures+j.UpgradeFailures > 0:
		return []Condition{{condition.Released, condition.False, failed,
			because(fmt.Sprintf("Helm %s failed for release %s with chart %s", word, identityOf(d.Release),
				desiredChart(d.Release)), j.Cause)}}
	}
	return nil
}

// remediated returns the condition Remediated; none if nothing was remediated.
func (s Situation) remediated(d Desired) []Condition {
	switch {
	case s.Journal.Failed == Rollback:
		return []Condition{{condition.Remediated, condition.False, condition.RollbackFailed,
			because("Helm rollback failed for "+s.describe(d), s.Journal.NotRemedied)}}
	case s.Journal.Failed == Uninstall:
		return []Condition{{condition.Remediated, condition.False, condition.UninstallFailed,
			because("Helm uninstall failed for "+s.describe(d), s.Journal.NotRemedied)}}
	case s.Journal.InstallFailures+s.Journal.UpgradeFailures == 0:
	case s.Journal.Remedied == Rollback:
		return []Condition{{condition.Remediated, condition.True, condition.RollbackSucceeded,
			"Helm rollback succeeded for " + s.describe(d)}}
	case s.Journal.Remedied == Uninstall:
		return []Condition{{condition.Remediated, condition.True, condition.UninstallSucceeded,
			"Helm uninstall succeeded for release " + identityOf(d.Release).String()}}
	}
	return nil
}

// describe names the newest revision and its chart.
func (s Situation) describe(d Desired) string {
	newest, exists := s.newest()
	if !exists {
		return "release " + s.Journal.Subject(d).String()
	}
	return fmt.Sprintf("release %s.v%d with chart %s", s.Journal.Subject(d), newest.Version, newest.Chart)
}

func because(what, cause string) string {
	if cause == "" {
		return what
	}
	return what + ": " + cause
}
