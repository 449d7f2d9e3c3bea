package main

import (
	"strings"
	"testing"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/plan"
	"github.com/navefleet/nave/shared/condition"
)

// TestStage_noteProblems tells what failed from what only waits for the cluster.
func TestStage_noteProblems(t *testing.T) {
	problem := func(name, reason string) plan.Problem {
		return plan.Problem{Key: api.Key{Kind: "HelmRelease", Namespace: "apps", Name: name}, Reason: reason, Message: "m"}
	}
	c := &comparison{kept: map[string][]string{}, problems: map[string][]string{}}
	stage{comparison: c, walk: &plan.Previewed{Cluster: "east", Problems: []plan.Problem{
		problem("waits", condition.InputNotReady), problem("fails", condition.BuildFailed),
		problem("unmapped", condition.ArtifactFailed)}}}.noteProblems()
	kept, failed := strings.Join(byClusters(c.kept), "\n"), strings.Join(byClusters(c.problems), "\n")
	if kept != "on east: HelmRelease apps/waits is not compared: m" || failed != "on east: HelmRelease apps/fails: m" {
		t.Errorf("kept %q, failed %q", kept, failed)
	}
}
