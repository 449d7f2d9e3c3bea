// Package statemetrics exports Prometheus metrics about the objects in the store: how they are, and when certificates
// and bundles expire.
//
// A Collector keeps a summary of each object. A scrape asks its loop to compute again what the rows that changed since
// the last scrape affect, and then serves the summaries. A scrape of an unchanged hub reads no row, and a hub that
// nobody scrapes computes none.
package statemetrics

import (
	"cmp"
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/navefleet/nave/hub/internal/loop"
	"github.com/navefleet/nave/hub/internal/store"
)

// DefaultLimit is the default of Config.Limit.
const DefaultLimit = 5000

const (
	patience = 3 * time.Second // how long a scrape waits for new summaries before it serves the last ones
	// The loop rests after a refresh for rest times as long as the refresh took, so that frequent scrapes of a busy fleet
	// do not take the processor from it. A scrape meanwhile serves the last summaries, unless the rest is nearly over.
	rest      = 10
	longest   = 15 * time.Second // that the loop rests
	nearlyEnd = 200 * time.Millisecond
)

// Config configures a Collector.
type Config struct {
	Store *store.Store
	// Limit is how many objects of the graphs of clusters have series of their own; 0: DefaultLimit. If there are more,
	// none has. If there are more Clusters, only those that are not ready or suspended are described.
	Limit   int
	Log     *slog.Logger          // nil: slog.Default
	Metrics prometheus.Registerer // nil: none
	Now     func() time.Time      // nil: time.Now
}

// Collector keeps the summaries and is a prometheus.Collector.
type Collector struct {
	Config
	asked   chan func(context.Context) error
	pending []chan struct{} // of the scrapes that wait; of the loop
	stale   stale           // of the loop
	groups  groups          // of the loop
	rests   time.Time       // of the loop: until when it rests
	rest    time.Duration   // how many times as long as a refresh

	mu      sync.Mutex // guards state, which only the loop changes
	state   *state
	current bool      // state is complete
	at      time.Time // of the last refresh
}

// New returns a Collector that serves nothing until Run.
func New(c Config) *Collector {
	c.Limit, c.Log = cmp.Or(c.Limit, DefaultLimit), cmp.Or(c.Log, slog.Default())
	if c.Now == nil {
		c.Now = time.Now
	}
	s := &Collector{Config: c, asked: make(chan func(context.Context) error), groups: groups{},
		stale: newStale(), state: newState(c.Limit), rest: rest}
	if c.Metrics != nil {
		c.Metrics.MustRegister(s)
	}
	return s
}

// watched are the tables that a summary may come from.
var watched = []string{
	store.Resources.Name(), store.Conditions.Name(), store.Reports.Name(), store.Plans.Name(), store.Pins.Name(),
	store.Refusals.Name(), store.Spokes.Name(), store.SignedBundles.Name(), store.Sources.Name(), store.History.Name(),
}

// Run keeps the summaries until ctx ends. If the store is closed before, Run returns store.ErrClosed.
func (c *Collector) Run(ctx context.Context) error {
	return loop.Loop{
		Name: "metrics", Store: c.Store, Tables: watched, Log: c.Log, Note: c.note, Work: c.work, Results: c.asked,
	}.Run(ctx)
}

// note marks what changed rows affect.
func (c *Collector) note(_ context.Context, changes []store.Change) error {
	for _, change := range changes {
		c.stale.note(change, c.groups)
	}
	return nil
}

// work refreshes the summaries if a scrape waits for them, unless the loop rests.
func (c *Collector) work(ctx context.Context) (time.Duration, error) {
	began := time.Now()
	left := c.rests.Sub(began)
	switch {
	case len(c.pending) == 0, left > nearlyEnd:
	case left > 0:
		return left, nil
	default:
		if err := c.refresh(ctx); err != nil {
			return 0, err
		}
		c.rests = time.Now().Add(min(c.rest*time.Since(began), longest))
	}
	for _, done := range c.pending {
		close(done)
	}
	c.pending = nil
	return time.Hour, nil
}

// ask waits until the summaries are refreshed, but not longer than patience.
func (c *Collector) ask() {
	done, late := make(chan struct{}), time.NewTimer(patience)
	defer late.Stop()
	select {
	case c.asked <- func(context.Context) error { c.pending = append(c.pending, done); return nil }:
	case <-late.C:
		return
	}
	select {
	case <-done:
	case <-late.C:
	}
}
