package plan

import (
	"context"

	"github.com/navefleet/nave/hub/internal/artifact"
	"github.com/navefleet/nave/hub/internal/plan/graph"
	"github.com/navefleet/nave/hub/internal/store"
	"github.com/navefleet/nave/shared/manifest"
)

// mendApplications deletes the damaged Applications of the last plan if there is a Repair: the walk makes the missing
// ones anew.
func (p *Planner) mendApplications(ctx context.Context, w *walked) error {
	if !w.damaged {
		return nil
	}
	_, err := store.DeleteDamaged(ctx, p.store.Blobs(), func(yield func(manifest.Digest) bool) {
		for _, e := range w.last.Applications {
			if !yield(e.Digest) {
				return
			}
		}
	})
	return err
}

// render renders an object with the remote bases that it needs. If there is a Repair and the store has lost a blob of
// the render, render renders anew.
func (p *Planner) render(ctx context.Context, w *walked, work graph.Work, a *artifact.Artifact) (basedRender, error) {
	r, err := p.renderNow(ctx, w, work, a)
	if err != nil || !w.damaged {
		return r, err
	}
	lost, err := p.renders.Mend(ctx, r.Rendering)
	if err != nil || !lost {
		return r, err
	}
	return p.renderNow(ctx, w, work, a)
}
