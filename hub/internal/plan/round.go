package plan

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"runtime"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/navefleet/nave/hub/internal/render/cache"
	"github.com/navefleet/nave/hub/internal/store"
)

// round walks the marked graphs and writes the results. A graph that could not be written stays marked.
func (p *Planner) round(ctx context.Context) error {
	start := p.now()
	if len(p.dirty) == 0 { // a spoke's row changed, and no chart asks for that
		return p.touch(ctx)
	}
	if err := p.hubRound(ctx); err != nil {
		return err
	}
	clusters := slices.DeleteFunc(names(p.dirty), func(cluster string) bool { return cluster == "" })
	if err := p.clustersRound(ctx, clusters, start); err != nil {
		return err
	}
	if err := p.touch(ctx); err != nil {
		return err
	}
	if len(clusters) > 0 {
		p.metrics.rounds.Observe(p.now().Sub(start).Seconds())
	}
	return nil
}

// clustersRound walks and writes the graphs of clusters, and then writes the conditions of the Fleets.
func (p *Planner) clustersRound(ctx context.Context, clusters []string, start time.Time) error {
	apps := newCompiler()
	for chunk := range slices.Chunk(clusters, maxGraphs) {
		results, err := p.walkAll(ctx, chunk, apps)
		if err != nil {
			return err
		}
		if err := p.commit(ctx, results, start); err != nil {
			return err
		}
	}
	_, err := p.update(ctx, start, (*writer).fleets)
	return err
}

// hubRound walks the hub's own graph if it is marked, and updates p.hub with the Clusters, Fleets and sources that the
// graph gives.
func (p *Planner) hubRound(ctx context.Context) error {
	if !p.dirty[""] {
		return nil
	}
	results, err := p.walkAll(ctx, []string{""}, newCompiler())
	if err != nil {
		return err
	}
	before := p.hubIncomplete()
	if err := p.commit(ctx, results, p.now()); err != nil {
		return err
	}
	if p.hubIncomplete() != before {
		for name := range p.hub.clusters {
			p.dirty[name] = true
		}
	}
	for _, w := range results {
		if !w.committed {
			continue
		}
		for key, row := range w.written {
			if row == nil {
				p.changeHub(store.Resource{Key: key}, false)
			} else {
				p.changeHub(asRead(*row, p.hub.rows[key]), true)
			}
		}
	}
	return nil
}

// walkAll walks graphs, as many at a time as there are CPUs. A graph that cannot be read is put off. The error is that
// of ctx, or store.ErrClosed.
func (p *Planner) walkAll(ctx context.Context, clusters []string, apps *compiler) ([]*walked, error) {
	results, errs := make([]*walked, len(clusters)), make([]error, len(clusters))
	var group errgroup.Group
	group.SetLimit(runtime.GOMAXPROCS(0))
	for i, cluster := range clusters {
		group.Go(func() error {
			results[i], errs[i] = p.walk(ctx, cluster, apps)
			return nil
		})
	}
	_ = group.Wait()
	for i, err := range errs {
		if ctx.Err() != nil || errors.Is(err, store.ErrClosed) {
			return nil, cmp.Or(ctx.Err(), err)
		}
		if err != nil {
			p.fail(ctx, clusters[i], err)
		}
	}
	results = slices.DeleteFunc(results, func(w *walked) bool { return w == nil })
	p.metrics.walks.Add(float64(len(results)))
	return results, nil
}

// touch marks the renders in use as used, every cache.TouchEvery, so that the sweep keeps them.
func (p *Planner) touch(ctx context.Context) error {
	now := p.now()
	if now.Sub(p.touched) < cache.TouchEvery {
		return nil
	}
	keys := map[string]bool{}
	for _, s := range p.scopes {
		maps.Copy(keys, s.renders)
	}
	err := p.renders.Touch(ctx, keys, now)
	if err == nil {
		err = p.forgetShapes(ctx, now)
	}
	if err == nil {
		p.touched = now
	}
	return err
}
