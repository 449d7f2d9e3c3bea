package main

import (
	"errors"
	"strings"
	"testing"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/plan"
	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/condition"
)

// TestStage_noteProblems tells what failed from what only waits for the cluster.
func TestStage_noteProblems(t *testing.T) {
	problem := func(name, reason string) plan.Problem {
		return plan.Problem{Key: api.Key{Kind: "HelmRelease", Namespace: "apps", Name: name}, Reason: reason, Message: "m"}
	}
	named := problem("named", condition.BuildFailed)
	named.Message = "HelmRelease apps/named: spec.chart: missing"
	c := &comparison{kept: map[string][]string{}, problems: map[string][]string{}}
	stage{comparison: c, walk: &plan.Previewed{Cluster: "east", Problems: []plan.Problem{
		problem("waits", condition.InputNotReady), problem("fails", condition.BuildFailed),
		problem("unmapped", condition.ArtifactFailed), named}}}.noteProblems()
	kept, failed := strings.Join(byClusters(c.kept), "\n"), strings.Join(byClusters(c.problems), "\n")
	if kept != "on east: HelmRelease apps/waits is not compared: m" || failed !=
		"on east: HelmRelease apps/fails: m\non east: HelmRelease apps/named: spec.chart: missing" {
		t.Errorf("kept %q, failed %q", kept, failed)
	}
}

// TestStage_selected_waits checks that a diff of one release which only the cluster can tell about is no success, and
// that a diff of another does not name it.
func TestStage_selected_waits(t *testing.T) {
	problems := []plan.Problem{{Key: api.Key{Kind: "HelmRelease", Namespace: "apps", Name: "waits"},
		Reason: condition.InputNotReady, Message: "m"}}
	for name, want := range map[string]bool{"waits": true, "other": false} {
		c := &comparison{kept: map[string][]string{}, clusters: 1,
			chosen: selection{application: bundle.ApplicationName{Kind: "HelmRelease", Namespace: "apps", Name: name}}}
		stage{comparison: c, keeper: &keeper{}, walk: &plan.Previewed{Cluster: "east", Problems: problems}}.noteProblems()
		if err := c.err(); (err != nil) != want || (len(c.kept) > 0) != want || errors.Is(err, errDifferent) {
			t.Errorf("%s: %v, notes %v", name, err, c.kept)
		}
	}
}
