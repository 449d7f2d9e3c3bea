package plan

import (
	"context"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/plan/graph"
	"github.com/navefleet/nave/hub/internal/store"
	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/manifest"
)

// addTakeovers adds the objects to handovers that the last plan gave the cluster for a controller there, and whose
// releases the spoke carries out from now on (spec.passThrough). A spoke from before takeovers would delete such an
// object, and the controller would uninstall the release: it must not get the bundle. A takeover stays in the plan
// until the spoke has applied it.
func (p *Planner) addTakeovers(ctx context.Context, w *walked, handovers map[manifest.ID]bundle.Handover) {
	for _, h := range w.last.Handovers {
		if _, here := w.graph.Nodes[w.keyOf(h.To)]; h.IsTakeover() && here && !w.takenOver[h] {
			handovers[h.Object] = h
		}
	}
	fresh := w.freshReleases()
	if len(fresh) == 0 {
		return
	}
	for _, e := range w.last.Applications {
		app, err := p.planned(ctx, w, e.Digest)
		if err != nil {
			continue // as in handovers
		}
		for _, o := range app.Objects {
			if h, is := fresh[o.ID()]; is {
				handovers[h.Object] = h
			}
		}
	}
}

// freshReleases returns the takeovers of all releases that the last plan did not have.
func (w *walked) freshReleases() map[manifest.ID]bundle.Handover {
	known := map[bundle.ApplicationName]bool{}
	for _, e := range w.last.Applications {
		known[e.Name] = true
	}
	for _, name := range w.last.Pending {
		known[name] = true
	}
	fresh := map[manifest.ID]bundle.Handover{}
	for key := range w.graph.Nodes {
		if known[key.Application()] {
			continue
		}
		id, is := graph.ObjectOf(key)
		if kind, _ := api.KindByName(key.Kind); is && kind.IsRelease() {
			fresh[id] = bundle.Handover{Object: id, To: key.Application()}
		}
	}
	return fresh
}

// takenOver returns the handovers of a plan that the spoke has carried out. It has if it acknowledged the newest bundle
// as applied.
func takenOver(tx *store.Tx, cluster string, plan store.Plan) (map[bundle.Handover]bool, error) {
	if len(plan.Handovers) == 0 {
		return nil, nil
	}
	if _, applied, err := newestApplied(tx, cluster); err != nil || !applied {
		return nil, err
	}
	release, _, err := store.Releases.GetIntact(tx, cluster)
	done := map[bundle.Handover]bool{}
	for _, h := range release.Handovers {
		done[h] = true
	}
	return done, err
}
