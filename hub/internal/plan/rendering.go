package plan

import (
	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/plan/graph"
	"github.com/navefleet/nave/hub/internal/render/cache"
	"github.com/navefleet/nave/shared/manifest"
)

// admitting has the rules by which a graph admits the objects of a render.
type admitting struct {
	scope     api.Scope
	admission api.Admission
}

// renderedIn returns the objects of a render as a graph admits them.
func renderedIn(how admitting, r *cache.Rendering) *graph.Rendered {
	return cache.View(r, how, func() *graph.Rendered {
		g := &graph.Rendered{Sealed: r.Sealed(), Substitution: r.Substitution()}
		for o := range r.Objects() {
			switch {
			case o.Flux && !how.admission.KeepFlux:
				g.LeftOut++
			case o.Known != nil && !how.admission.PassThrough.Has(o.Known):
				g.Children = append(g.Children, child(o.Known, how.scope))
			default:
				g.Payload = append(g.Payload, o.Reference)
			}
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
