package plan

import (
	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/plan/graph"
	"github.com/navefleet/nave/hub/internal/render/cache"
	"github.com/navefleet/nave/shared/bundle"
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
			if o.Flux && !how.admission.KeepFlux {
				g.LeftOut++
				continue
			}
			extends, applied := uses(o.Known, how.admission)
			if extends {
				g.Children = append(g.Children, child(o, how.scope))
			}
			if applied {
				g.Payload = append(g.Payload, o.Reference)
			}
		}
		if release := r.Release(); release != nil {
			g.HubGenerates = release.Asked.Cluster
			g.Hooks, g.Release = release.Hooks, &bundle.Release{Chart: release.Chart.Metadata, Values: release.Values,
				Notes: release.Notes, CRDs: release.CRDs, Generated: release.Generated, Defaults: release.Chart.Defaults,
				Recipes: release.Recipes}
		}
		return g
	})
}

// uses reports whether an object extends the graph, and whether it is applied to the cluster. A source that is passed
// through does both: the hub reads it for its Kustomizations, and a controller in the cluster for its own objects. One
// without manifests is for the objects of the controller only.
func uses(known *manifest.Object, a api.Admission) (extends, applied bool) {
	switch {
	case known == nil:
		return false, true
	case !a.PassThrough.Has(known):
		return true, false
	}
	kind, _ := api.KindOf(known)
	return kind.Role == api.SourceRole && !kind.NoManifests, true
}

// child admits one object to a graph.
func child(o cache.Object, scope api.Scope) graph.Child {
	admitted, err := api.Admit(o.Known, scope)
	if err != nil {
		return graph.Child{Key: api.KeyOf(o.Known), Err: o.Place.Explain(err)}
	}
	return graph.Child{Key: admitted.Key, Object: admitted}
}
