package plan

import (
	"context"
	"maps"
	"slices"

	"github.com/navefleet/nave/hub/internal/plan/graph"
	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/manifest"
)

// handovers returns the objects that Applications of the last plan had and that are not to be deleted although none has
// them now, because another renderable is going to have the object or stands for it. A handover stays in the plan until
// the new owner has the object or is not going to have it.
func (p *Planner) handovers(ctx context.Context, w *walked) []bundle.Handover {
	all := map[manifest.ID]bundle.Handover{}
	p.addTakeovers(ctx, w, all)
	p.addExpected(ctx, w, all)
	return slices.SortedFunc(maps.Values(all), bundle.CompareHandovers)
}

// addExpected adds the objects to handovers that an Application of the last plan had, that none has now, and that a
// kept renderable is going to have.
func (p *Planner) addExpected(ctx context.Context, w *walked, handovers map[manifest.ID]bundle.Handover) {
	if len(w.graph.Expected) == 0 {
		return
	}
	given := map[manifest.ID]bool{}
	for _, app := range w.graph.Applications {
		for _, id := range p.idsOf(ctx, w, app) {
			given[id] = true
		}
	}
	last := map[manifest.ID]bundle.Handover{}
	for _, h := range w.last.Handovers {
		last[h.Object] = h
	}
	had := map[manifest.ID]*bundle.Application{}
	for _, e := range w.last.Applications {
		if app, err := p.planned(ctx, w, e.Digest); err == nil {
			for _, o := range app.Objects {
				had[o.ID()] = app
			}
		}
	}
	for id, e := range w.graph.Expected {
		h := bundle.Handover{Object: id, To: e.By.Application()}
		if !given[id] && (last[id] == h || had[id] != nil && mayTakeOver(had[id], e)) {
			handovers[id] = h
		}
	}
}

// mayTakeOver reports whether a renderable may keep the objects of an Application from being deleted. One with a
// service account may not, unless the Application has the same account: a tenant must not keep what operators take
// away.
func mayTakeOver(last *bundle.Application, e graph.Expectation) bool {
	return e.ServiceAccount == "" || e.ServiceAccount == last.ServiceAccount && e.By.Namespace == last.Name.Namespace
}

// idsOf returns the objects of an Application of the walk; none if it is kept and cannot be read.
func (p *Planner) idsOf(ctx context.Context, w *walked, app graph.Application) (ids []manifest.ID) {
	if app.Rendered == nil {
		ids, _ = p.contents(ctx, w, app.Last.Digest) // as package graph does
		return ids
	}
	for _, o := range app.Rendered.Payload {
		ids = append(ids, o.ID())
	}
	return ids
}
