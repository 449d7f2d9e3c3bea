package plan

import (
	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/plan/graph"
	"github.com/navefleet/nave/hub/internal/render/cache"
	"github.com/navefleet/nave/shared/manifest"
)

// renderedIn returns the objects of a render as a graph of the scope admits them.
func renderedIn(scope api.Scope, r *cache.Rendering) *graph.Rendered {
	return cache.View(r, scope, func() *graph.Rendered {
		g := &graph.Rendered{Payload: r.Payload(), Sealed: r.Sealed()}
		for _, o := range r.Known() {
			g.Children = append(g.Children, child(o, scope))
		}
		return g
	})
}

// child admits one object to a graph.
func child(o *manifest.Object, scope api.Scope) graph.Child {
	admitted, err := api.Admit(o, scope)
	if err != nil {
		return graph.Child{Key: api.KeyOf(o), Err: err}
	}
	return graph.Child{Key: admitted.Key, Object: admitted}
}
