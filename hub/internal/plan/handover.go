package plan

import (
	"context"
	"slices"

	"github.com/navefleet/nave/hub/internal/plan/graph"
	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/manifest"
)

// handovers returns the objects that an Application of the last plan had, that none has now, and that a kept renderable
// is going to have. A handover stays in the plan until the new owner has the object or is not going to have it.
func (p *Planner) handovers(ctx context.Context, w *walked) (all []bundle.Handover) {
	if len(w.graph.Expected) == 0 {
		return nil
	}
	given := map[manifest.ID]bool{}
	for _, app := range w.graph.Applications {
		for _, id := range p.idsOf(ctx, w, app) {
			given[id] = true
		}
	}
	had := map[manifest.ID]bool{}
	for _, h := range w.last.Handovers {
		had[h.Object] = true
	}
	for _, e := range w.last.Applications {
		ids, err := p.contents(ctx, w, e.Digest)
		for _, id := range ids {
			had[id] = err == nil
		}
	}
	for id, to := range w.graph.Expected {
		if had[id] && !given[id] {
			all = append(all, bundle.Handover{Object: id, To: to.Application()})
		}
	}
	slices.SortFunc(all, bundle.CompareHandovers)
	return all
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
