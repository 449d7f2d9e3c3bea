package plan

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/plan/graph"
	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/condition"
)

// input returns the Input of a walk without Render.
func (v *Preview) input(ctx context.Context, w *walked) graph.Input {
	in := v.planner.input(ctx, w)
	in.Shape = func(q bundle.ShapeQuestion) (graph.Shape, bool, error) { return v.shape(ctx, w, q) }
	in.Joined, in.Unapplied = nil, v.config.Unapplied // the removal of a Cluster is not held: nobody can confirm it
	in.Last = nil                                     // what is suspended counts as ready
	if in.Resumed = v.config.Resumed; in.Resumed {
		clear(in.Suspended)
		return in
	}
	for key, suspended := range v.config.Suspended {
		if key.Cluster == w.cluster {
			in.Suspended[key] = suspended
		}
	}
	return in
}

// renderAll renders a level of a graph, but for renderables of suspended sources, which it adds to sources.
func (v *Preview) renderAll(ctx context.Context, w *walked, works []graph.Work, sources map[api.Key]api.Key,
) []graph.Result {
	for _, work := range works {
		delete(sources, work.Key)
		if source, suspended := v.suspendedSource(work); suspended {
			sources[work.Key] = source
		}
	}
	return renderLevel(works, func(work graph.Work) graph.Result {
		if source, suspended := sources[work.Key]; suspended {
			return graph.Result{Reason: condition.Suspended, Err: fmt.Errorf("%s is suspended", source)}
		}
		return v.renderOne(ctx, w, work)
	})
}

// suspendedSource returns the source of a work, or a source that it is made of, if it is suspended.
func (v *Preview) suspendedSource(work graph.Work) (found api.Key, suspended bool) {
	if !v.config.HoldSources || v.config.Resumed {
		return found, false
	}
	sources := []api.Given{{Key: work.FoundAt, Object: work.Source}}
	for _, key := range slices.SortedFunc(maps.Keys(work.Parts), api.Key.Compare) {
		sources = append(sources, work.Parts[key]...)
	}
	for _, source := range sources {
		if v.config.Suspended[source.Key] || source.Object.Suspended() {
			return source.Key, true
		}
	}
	return found, false
}

// holderOf returns what keeps a renderable of a graph as it is: the renderable, its Fleet or its source.
func holderOf(key api.Key, in graph.Input, g *graph.Graph, sources map[api.Key]api.Key) api.Key {
	if in.Suspended[key] || g.Nodes[key].Object.Suspended() {
		return key
	}
	fleet, ok := api.FleetAbove(key, func(at api.Key) *api.Key { return g.Nodes[at].GivenBy() })
	if ok && in.Suspended[fleet] {
		return fleet
	}
	return sources[key]
}

// Suspends reports whether an object of the hub other than a Cluster, or an object of a walk by the Preview of Resume,
// is suspended.
func (v *Preview) Suspends(resumed *Previewed) bool {
	if v.suspends {
		return true
	}
	for key, suspended := range v.config.Suspended {
		if suspended && key.Cluster == resumed.Cluster {
			return true
		}
	}
	for _, n := range resumed.Nodes {
		if n.Object.Suspended() {
			return true
		}
	}
	return false
}

// hubSuspends reports whether an object of the hub other than a Cluster is suspended.
func (v *Preview) hubSuspends() bool {
	for key, row := range v.planner.hub.rows {
		if key.Role() != api.ClusterRole && row.IsSuspended() {
			return true
		}
	}
	return false
}

// OwnerOf returns the renderable that gives an object of the hub; nil if an operator does.
func (v *Preview) OwnerOf(key api.Key) *api.Key { return v.planner.hub.rows[key].GivenBy() }

// Frozen reports whether a Cluster is suspended. If there is no such Cluster, known is false.
func (v *Preview) Frozen(cluster string) (suspended, known bool) {
	c := v.planner.hub.clusters[cluster]
	return c != nil && c.Spec.Suspend, c != nil
}
