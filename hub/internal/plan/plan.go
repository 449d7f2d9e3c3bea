package plan

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/navefleet/nave/hub/internal/plan/graph"
	"github.com/navefleet/nave/hub/internal/render"
	"github.com/navefleet/nave/hub/internal/render/cache"
	"github.com/navefleet/nave/hub/internal/store"
)

// Config is what a Planner is made of.
type Config struct {
	Store    *store.Store
	Renderer render.Renderer
	// NoCrossNamespaceRefs refuses sources of another namespace, as Flux's flag does.
	NoCrossNamespaceRefs bool
	// Guard is what one change may remove unconfirmed; zero: graph.DefaultGuard.
	Guard graph.Guard

	Log     *slog.Logger          // nil: slog.Default
	Metrics prometheus.Registerer // nil: none
	Now     func() time.Time      // nil: time.Now
}

// Planner keeps the plans of all clusters true. Its fields belong to the goroutine of Run.
type Planner struct {
	store   *store.Store
	log     *slog.Logger
	now     func() time.Time
	metrics *metrics
	renders *cache.Cache
	strict  bool // Config.NoCrossNamespaceRefs
	guard   graph.Guard

	hub     *hub                     // the hub's own objects
	sources map[string]store.Fetched // by api.SourceKey
	scopes  map[string]*scope        // what is known of each graph, by cluster; "" is the hub's
	dirty   map[string]bool          // graphs to walk, by cluster
	again   map[string]time.Time     // when to walk a graph again that failed for a reason that may pass
	fails   map[string]int           // how often in a row it did
	writeAt time.Time                // when to try again to write; zero: nothing to write
	touched time.Time                // when the renders in use were last marked as used
}

// New returns a planner that does nothing until Run.
func New(c Config) *Planner {
	if c.Log == nil {
		c.Log = slog.Default()
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	return &Planner{
		store: c.Store, log: c.Log, now: c.Now, metrics: newMetrics(c.Metrics),
		renders: cache.New(cache.Config{Store: c.Store, Renderer: c.Renderer, Metrics: c.Metrics}),
		strict:  c.NoCrossNamespaceRefs,
		guard:   c.Guard,
		sources: map[string]store.Fetched{}, scopes: map[string]*scope{},
		dirty: map[string]bool{}, again: map[string]time.Time{}, fails: map[string]int{},
	}
}

// Times between attempts.
const (
	// commitRetry is how long to wait after the store refused a transaction, a full disk for one.
	commitRetry = 5 * time.Second
	// renderRetry is how long to wait after a render failed for a reason that may pass; it doubles with each failure in a
	// row, up to 32 times.
	renderRetry = 30 * time.Second
)

// watched are the tables that a plan is made of.
var watched = []string{
	store.Resources.Name(), store.Sources.Name(), store.Repairs.Name(), store.Confirmations.Name(),
}

// Run plans until ctx ends or the store is closed.
func (p *Planner) Run(ctx context.Context) error {
	watcher := p.store.Watch(ctx, watched...)
	defer watcher.Close()
	if err := p.load(ctx); err != nil {
		return unlessEnded(ctx, err)
	}
	for ctx.Err() == nil {
		if err := p.round(ctx); err != nil && ctx.Err() == nil {
			if errors.Is(err, store.ErrClosed) {
				return err
			}
			p.log.ErrorContext(ctx, "planning failed and will be tried again", "err", err)
			p.writeAt = p.now().Add(commitRetry)
		}
		if err := p.wait(ctx, watcher); err != nil {
			return unlessEnded(ctx, err)
		}
	}
	return nil
}

// unlessEnded returns err, or nil if ctx has ended.
func unlessEnded(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// wait returns when there may be something to do.
func (p *Planner) wait(ctx context.Context, watcher *store.Watcher) error {
	timer := time.NewTimer(p.pause())
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return nil
	case <-timer.C:
		p.due()
		return nil
	case <-watcher.C():
		return p.note(ctx, watcher.Take())
	}
}

// pause is how long nothing has to be done without a change.
func (p *Planner) pause() time.Duration {
	now := p.now()
	pause := cache.TouchEvery
	if !p.writeAt.IsZero() {
		pause = min(pause, p.writeAt.Sub(now))
	}
	for _, at := range p.again {
		pause = min(pause, at.Sub(now))
	}
	return max(pause, 0)
}

// due takes up again what was put off.
func (p *Planner) due() {
	now := p.now()
	if !p.writeAt.After(now) {
		p.writeAt = time.Time{}
	}
	for cluster, at := range p.again {
		if !at.After(now) {
			p.dirty[cluster] = true
			delete(p.again, cluster)
		}
	}
}

// putOff walks a graph again after a while if a render of it failed for a reason that may pass.
func (p *Planner) putOff(w *walked) {
	if !w.passing {
		delete(p.fails, w.cluster)
		delete(p.again, w.cluster)
		return
	}
	p.again[w.cluster] = p.now().Add(renderRetry << min(p.fails[w.cluster], 5))
	p.fails[w.cluster]++
}
