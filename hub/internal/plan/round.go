package plan

import (
	"context"
	"maps"
	"runtime"
	"slices"

	"golang.org/x/sync/errgroup"

	"github.com/navefleet/nave/hub/internal/render/cache"
	"github.com/navefleet/nave/hub/internal/store"
)

// round walks what is dirty and writes what comes of it. What could not be written stays dirty.
func (p *Planner) round(ctx context.Context) error {
	start := p.now()
	if err := p.hubRound(ctx); err != nil {
		return err
	}
	clusters := slices.DeleteFunc(names(p.dirty), func(cluster string) bool { return cluster == "" })
	results, err := p.walkAll(ctx, clusters)
	if err != nil {
		return err
	}
	if err := p.commit(ctx, results, start); err != nil {
		return err
	}
	if err := p.touch(ctx); err != nil {
		return err
	}
	if len(results) > 0 {
		p.metrics.rounds.Observe(p.now().Sub(start).Seconds())
	}
	return nil
}

// hubRound walks the hub's own root, if it has to be, and makes what comes of it part of the hub.
func (p *Planner) hubRound(ctx context.Context) error {
	if !p.dirty[""] {
		return nil
	}
	results, err := p.walkAll(ctx, []string{""})
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

// walkAll walks graphs, as many at a time as there are CPUs.
func (p *Planner) walkAll(ctx context.Context, clusters []string) ([]*walked, error) {
	results := make([]*walked, len(clusters))
	apps := newCompiler()
	group, walking := errgroup.WithContext(ctx)
	group.SetLimit(runtime.GOMAXPROCS(0))
	for i, cluster := range clusters {
		group.Go(func() (err error) {
			results[i], err = p.walk(walking, cluster, apps)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	p.metrics.walks.Add(float64(len(results)))
	return results, ctx.Err()
}

// touch marks the renders in use as used, now and then, so that the sweep leaves them.
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
		p.touched = now
	}
	return err
}
