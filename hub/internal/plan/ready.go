package plan

import (
	"github.com/navefleet/nave/hub/internal/plan/graph"
	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/manifest"
)

// readyExpressions returns the expressions of an Application for the readiness of its dependencies, with the objects
// that they evaluate. It leaves out a dependency that is not in the graph: that holds the Application in any case.
func (w *walked) readyExpressions(app graph.Application) (all []bundle.ReadyExpression) {
	for _, e := range app.Renderable.ReadyExpressions {
		dependency := w.graph.Nodes[e.Dependency.In(app.Key.Cluster)].Object
		if dependency == nil {
			continue
		}
		all = append(all, bundle.ReadyExpression{Dependency: e.Dependency.Application(), Expression: e.Text,
			Dep: dependency.JSON, Self: app.Object.JSON})
	}
	return all
}

// digestOf returns the digest of the objects of ready expressions. If there are none, digestOf returns zero.
func digestOf(ready []bundle.ReadyExpression) (d manifest.Digest) {
	for _, e := range ready {
		d = manifest.DigestOf(append(d[:], e.Dep...))
	}
	return d
}
