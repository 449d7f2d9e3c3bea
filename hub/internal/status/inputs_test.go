package status

import (
	"testing"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/store"
	"github.com/navefleet/nave/shared/condition"
)

// TestExplain_input tells of the source that a source of a cluster reads, and of no other one that has the same name.
func TestExplain_input(t *testing.T) {
	source := func(key api.Key, spec, ready, reason, message string) Facts {
		return Facts{Resource: store.Resource{Key: key, Object: api.StoredObject(key, []byte(spec))},
			Condition: &store.Condition{Ready: ready, Reason: reason, Message: message}}
	}
	hub := api.Key{Kind: api.HelmRepositoryKind, Namespace: "flux-system", Name: "charts"}
	chart := api.Key{Cluster: "east", Kind: api.HelmChartKind, Namespace: "flux-system", Name: "web"}
	waiting := source(chart, `{"metadata":{"namespace":"flux-system"},"spec":{"chart":"web","sourceRef":{"kind":"HelmRepository","name":"charts"}}}`,
		condition.False, condition.SourceNotReady, "not fetched yet")
	failing := source(hub, `{"spec":{"url":"https://example.com"}}`, condition.False, condition.FetchFailed, "no route")
	own := source(hub.In("east"), `{"spec":{"url":"https://example.com"}}`, condition.True, condition.Succeeded, "")
	for want, facts := range map[string][]Facts{
		`HelmRepository/charts FetchFailed "no route" affects HelmChart/web` + "\n": {waiting, failing},
		`HelmChart/web SourceNotReady "not fetched yet"` + "\n":                     {waiting, failing, own},
	} {
		if got := lines(Explain(newWorld(facts...), api.Key{Kind: chart.Kind})); got != want {
			t.Errorf("got\n%swant\n%s", got, want)
		}
	}
}
