package agent

import (
	"testing"
	"time"

	"github.com/navefleet/nave/shared/bundle"
	sharedhealth "github.com/navefleet/nave/shared/health"
	"github.com/navefleet/nave/shared/manifest"
	"github.com/navefleet/nave/spoke/internal/inventory"
)

// TestWithHealth gives the result of an apply the health that the index has when the loop handles the result, and
// leaves other results as they are.
func TestWithHealth(t *testing.T) {
	x, name := inventory.NewIndex(), appNamed("a")
	a := &Agent{Config: Config{Index: x}}
	note := func(object string, status sharedhealth.Status) manifest.ID {
		id := manifest.ID{Kind: "ConfigMap", Namespace: "n", Name: object}
		x.Begin(name, id)
		x.Commit(name, id, inventory.Item{Version: "v1", UID: object, ResourceVersion: "1"})
		x.SetHealth(id, "1", status, "", "", time.Unix(1, 0))
		return id
	}
	note("well", sharedhealth.Current)
	changes := note("changes", sharedhealth.InProgress)
	result := applied{name: name, run: 7, health: x.Summarize(name, 10)} // as of the end of the apply
	x.SetHealth(changes, "2", sharedhealth.Failed, "Broken", "", time.Unix(2, 0))

	got, ok := a.withHealth(finished{input: result, name: name}).input.(applied)
	if h := got.health; !ok || got.run != 7 || h.Status != sharedhealth.Failed || h.Current != 1 || h.Failed != 1 ||
		len(h.Unhealthy) != 1 || h.Unhealthy[0].ID != changes || h.Unhealthy[0].Reason != "Broken" {
		t.Errorf("%+v", got)
	}
	other := applied{name: appNamed("b"), health: inventory.Summary{Failed: 3}}
	if got := a.withHealth(finished{input: other}).input.(applied); got.health.Objects() != 0 {
		t.Errorf("an application without objects has %+v", got.health)
	}
	gone := removed{name: name, failure: failure{reason: "PruneFailed"}}
	if got, ok := a.withHealth(finished{input: gone, name: bundle.ApplicationName{}}).input.(removed); !ok ||
		got.name != name || got.failure.reason != "PruneFailed" {
		t.Errorf("%+v", got)
	}
}
