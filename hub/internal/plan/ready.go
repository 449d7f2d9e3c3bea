package plan

import (
	"encoding/json"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/plan/graph"
	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/manifest"
)

// readyExpressions returns the expressions of an Application for the readiness of its dependencies, with the objects
// that they evaluate. It leaves out a dependency that is not in the graph: that holds the Application in any case.
func (w *walked) readyExpressions(app graph.Application) (all []bundle.ReadyExpression) {
	mine := w.graph.Nodes[app.Key].Confined
	for _, e := range app.Renderable.ReadyExpressions {
		dependency := w.graph.Nodes[e.Dependency.In(app.Key.Cluster)]
		if dependency.Object == nil {
			continue
		}
		dep := dependency.Object.JSON
		if !mine.Covers(dependency.Confined) {
			dep = outline(dependency.Object)
		}
		all = append(all, bundle.ReadyExpression{Dependency: e.Dependency.Application(), Expression: e.Text,
			Dep: dep, Self: app.Object.JSON})
	}
	return all
}

// outline returns an object as expressions of a tenant may see it if the object is not the tenant's: its name and
// labels.
func outline(o *api.Object) json.RawMessage {
	var all struct {
		APIVersion string `json:"apiVersion"`
		Kind       string `json:"kind"`
		Metadata   struct {
			Labels    map[string]string `json:"labels,omitempty"`
			Name      string            `json:"name"`
			Namespace string            `json:"namespace"`
		} `json:"metadata"`
	}
	if json.Unmarshal(o.JSON, &all) != nil {
		return json.RawMessage("{}")
	}
	data, _ := json.Marshal(all) // texts alone, which always can be written
	return data
}

// digestOf returns the digest of the objects of ready expressions. If there are none, digestOf returns zero.
func digestOf(ready []bundle.ReadyExpression) (d manifest.Digest) {
	for _, e := range ready {
		d = manifest.DigestOf(append(d[:], e.Dep...))
	}
	return d
}
