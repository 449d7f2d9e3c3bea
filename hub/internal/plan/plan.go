package plan

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/navefleet/nave/hub/internal/render"
	"github.com/navefleet/nave/hub/internal/store"
)

// Config is what a Planner is made of.
type Config struct {
	Store    *store.Store
	Renderer render.Renderer
	Log      *slog.Logger          // nil: slog.Default
	Metrics  prometheus.Registerer // nil: none
	Now      func() time.Time      // nil: time.Now
}

// Planner keeps the plans of all clusters true. Its fields belong to the goroutine of Run.
type Planner struct {
	store   *store.Store
	log     *slog.Logger
	now     func() time.Time
	metrics *metrics
	memo    *memo

	hub     *hub                     // the hub's own objects
	sources map[string]store.Fetched // by api.SourceKey
	scopes  map[string]*scope        // what is known of each graph, by cluster; "" is the hub's
	dirty   map[string]bool          // graphs to walk, by cluster
	retryAt time.Time                // when to walk again what failed for a passing reason; zero: never
	again   map[string]bool          // the graphs of retryAt
	touched time.Time                // when the memo's rows were last marked as used
}

// New returns a planner that does nothing until Run.
func New(c Config) *Planner {
	if c.Log == nil {
		c.Log = slog.Default()
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	m := newMetrics(c.Metrics)
	return &Planner{
		store: c.Store, log: c.Log, now: c.Now, metrics: m,
		memo:    newMemo(c.Store, c.Renderer, m),
		sources: map[string]store.Fetched{}, scopes: map[string]*scope{},
		dirty: map[string]bool{}, again: map[string]bool{},
	}
}

// Times between attempts.
const (
	// commitRetry is how long to wait after the store refused a transaction, a full disk for one.
	commitRetry = 5 * time.Second
	// renderRetry is how long to wait after a render failed for a reason that may pass.
	renderRetry = 30 * time.Second
	// touchEvery is how often the rows of renders in use are marked as used; the sweep removes those unused for much longer.
	touchEvery = 12 * time.Hour
)

// Run plans until ctx ends or the store is closed.
func (p *Planner) Run(ctx context.Context) error {
	watcher := p.store.Watch(store.Resources.Name(), store.Sources.Name())
	defer watcher.Close()
	if err := p.load(); err != nil {
		return err
	}
	for ctx.Err() == nil {
		if err := p.round(ctx); err != nil && ctx.Err() == nil {
			if errors.Is(err, store.ErrClosed) {
				return err
			}
			p.log.ErrorContext(ctx, "planning failed and will be tried again", "err", err)
			p.retry(commitRetry)
		}
		if err := p.wait(ctx, watcher); err != nil {
			return err
		}
	}
	return nil
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
		return p.note(watcher.Take())
	}
}

// pause is how long nothing has to be done without a change.
func (p *Planner) pause() time.Duration {
	pause := touchEvery
	if !p.retryAt.IsZero() {
		pause = min(pause, max(p.retryAt.Sub(p.now()), 0))
	}
	return pause
}

// due takes up again what was put off.
func (p *Planner) due() {
	if p.retryAt.IsZero() || p.now().Before(p.retryAt) {
		return
	}
	for name := range p.again {
		p.dirty[name] = true
	}
	clear(p.again)
	p.retryAt = time.Time{}
}

// retry walks what is dirty, and what is in again, after a while.
func (p *Planner) retry(after time.Duration) {
	at := p.now().Add(after)
	if p.retryAt.IsZero() || at.Before(p.retryAt) {
		p.retryAt = at
	}
}
