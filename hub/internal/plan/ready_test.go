package plan

import (
	"encoding/json"
	"testing"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/plan/graph"
)

// TestReadyExpressions shows expressions the spec of a dependency only if the dependency is given by their equals, or
// below them.
func TestReadyExpressions(t *testing.T) {
	const whole = `{"apiVersion":"v1","kind":"Kustomization","metadata":{"annotations":{"a":"secret"},` +
		`"labels":{"v":"1"},"name":"dep","namespace":"ns"},"spec":{"postBuild":{"substitute":{"a":"secret"}}}}`
	const named = `{"apiVersion":"v1","kind":"Kustomization","metadata":{"labels":{"v":"1"},"name":"dep","namespace":"ns"}}`
	tenant := &api.Confinement{Namespace: "ns", Account: "tenant"}
	other := &api.Confinement{Namespace: "ns", Account: "other"}
	below := &api.Confinement{Namespace: "ns", Account: "part", Outer: tenant}
	for _, c := range []struct {
		name      string
		self, dep *api.Confinement
		want      string
	}{
		{"operators", nil, nil, whole},
		{"operator_of_tenant", nil, tenant, whole},
		{"tenant_of_operator", tenant, nil, named},
		{"tenant_of_itself", tenant, &api.Confinement{Namespace: "ns", Account: "tenant"}, whole},
		{"tenant_of_its_part", tenant, below, whole},
		{"part_of_tenant", below, tenant, named},
		{"tenant_of_another", tenant, other, named},
	} {
		t.Run(c.name, func(t *testing.T) {
			self, dep := api.Key{Cluster: "c", Kind: "Kustomization", Name: "self"}, api.Key{Kind: "Kustomization", Name: "dep"}
			w := &walked{graph: &graph.Graph{Nodes: map[api.Key]graph.Node{
				self:        {Key: self, Confined: c.self},
				dep.In("c"): {Key: dep.In("c"), Confined: c.dep, Object: &api.Object{JSON: json.RawMessage(whole)}},
			}}}
			got := w.readyExpressions(graph.Application{Key: self, Object: &api.Object{JSON: json.RawMessage("{}")},
				Renderable: &api.Renderable{ReadyExpressions: []api.ReadyExpression{{Dependency: dep, Text: "true"}}}})
			if len(got) != 1 || string(got[0].Dep) != c.want {
				t.Errorf("%s, want %s", got, c.want)
			}
		})
	}
}
