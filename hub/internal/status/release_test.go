package status

import (
	"encoding/json"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/store"
	spokev1 "github.com/navefleet/nave/proto/nave/spoke/v1"
)

// TestReleaseDetails has Flux's fields of a HelmRelease, and the columns of lists that are made of them.
func TestReleaseDetails(t *testing.T) {
	moment := timestamppb.New(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC))
	first := timestamppb.New(time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC))
	f := Facts{Report: &spokev1.ApplicationReport{Since: moment, Release: &spokev1.ReleaseReport{
		Name: "web", Namespace: "shop", StorageNamespace: "apps", Attempted: "upgrade", UpgradeFailures: 2,
		HandledForce: "then", Action: "rollback", Step: "hooks", Deadline: moment,
		Conditions: []*spokev1.ReleaseCondition{{Type: "Released", Status: "False", Reason: "UpgradeFailed", Message: "no"}},
		History: []*spokev1.RevisionReport{
			{Revision: 3, Status: "failed", Chart: "web", ChartVersion: "2.0.0", AppVersion: "9", WrittenAt: moment},
			{Revision: 2, Status: "deployed"},
			{Revision: 1, Status: "superseded", WrittenAt: moment, Description: "Install complete", FirstDeployed: first,
				LastDeployed: first},
			{Revision: 1, Status: "superseded", WrittenAt: moment},
		},
	}}, Resource: store.Resource{Key: api.Key{Kind: "HelmRelease"}}}
	c, got := &conditions{}, fields{}
	f.releaseDetails(c, got)
	text, err := json.MarshalIndent(got, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	const want = `{
 "failures": 2,
 "history": [
  {
   "appVersion": "9",
   "chartName": "web",
   "chartVersion": "2.0.0",
   "lastDeployed": "2026-01-02T03:04:05Z",
   "name": "web",
   "namespace": "shop",
   "status": "failed",
   "version": 3
  },
  {
   "name": "web",
   "namespace": "shop",
   "status": "deployed",
   "version": 2
  },
  {
   "description": "Install complete",
   "firstDeployed": "2025-01-01T00:00:00Z",
   "lastDeployed": "2025-01-01T00:00:00Z",
   "name": "web",
   "namespace": "shop",
   "status": "superseded",
   "version": 1
  },
  {
   "name": "web",
   "namespace": "shop",
   "status": "superseded",
   "version": 1
  }
 ],
 "lastAttemptedReleaseAction": "upgrade",
 "lastHandledForceAt": "then",
 "running": {
  "action": "rollback",
  "deadline": "2026-01-02T03:04:05Z",
  "step": "hooks"
 },
 "storageNamespace": "apps",
 "upgradeFailures": 2
}`
	if string(text) != want {
		t.Errorf("%s, want %s", text, want)
	}
	if len(c.list) != 1 || c.list[0].Type != "Released" || c.list[0].Reason != "UpgradeFailed" {
		t.Errorf("conditions %v", c.list)
	}
	kind, err := api.FindKind("hr")
	if err != nil {
		t.Fatal(err)
	}
	columns := map[string]string{"CHART": "web", "VERSION": "2.0.0", "REVISION": "3", "STATUS": "failed"}
	for _, column := range kind.Columns {
		want, is := columns[column.Name]
		if cell := column.Value(map[string]any{"status": map[string]any(got)}); is && cell != want {
			t.Errorf("%s is %q, want %q", column.Name, cell, want)
		}
	}
}
