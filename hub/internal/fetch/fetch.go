package fetch

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/navefleet/nave/hub/internal/artifact"
	"github.com/navefleet/nave/hub/internal/dial"
	"github.com/navefleet/nave/hub/internal/source"
	"github.com/navefleet/nave/hub/internal/store"
	"github.com/navefleet/nave/shared/telemetry"
)

// Workers is how many fetches run at a time; of them at most unproven are of sources that failed the last time or were
// never fetched.
const (
	Workers  = 6
	unproven = 4
)

const (
	firstRetry  = time.Second      // after a failure; doubles up to the interval
	leastPause  = time.Second      // between two fetches of one source, whatever its interval
	sweepEvery  = 10 * time.Minute // how often unused artifacts are looked for
	sweepUnused = 10 * time.Minute // for how long an artifact is unused before it goes: a render may still read it
	maxTold     = 32               // resources of one source that get an event about it
)

// Config is what a Loop is made of.
type Config struct {
	Store     *store.Store
	Vault     *store.Vault
	Artifacts *artifact.Store
	Fetcher   source.Fetcher        // of every kind
	Network   dial.Policy           // the servers that fetches may dial
	Log       *slog.Logger          // nil: slog.Default
	Metrics   prometheus.Registerer // nil: none
}

// Loop keeps the store's sources fetched. Its fields belong to the goroutine of Run.
type Loop struct {
	Config
	metrics metrics
	// sources by api.SourceKey, and the key of each resource's source by the resource's path.
	sources map[string]*scheduled
	keys    map[string]string
	gone    leftovers
	running int
	trying  int // of them, unproven ones
	results chan result
	sweepAt time.Time
	swept   chan struct{} // not nil while a sweep runs
}

// New returns a loop that does nothing until Run.
func New(c Config) *Loop {
	if c.Log == nil {
		c.Log = slog.Default()
	}
	return &Loop{
		Config:  c,
		metrics: newMetrics(c.Metrics),
		sources: map[string]*scheduled{},
		keys:    map[string]string{},
		gone:    leftovers{sources: map[string]bool{}, outcomes: map[string]bool{}},
		results: make(chan result, Workers),
	}
}

// Recover takes the artifacts out of the store that did not survive the end of the last process whole: a power cut may
// spoil what was written last. Call it before anything reads artifacts. It reads every artifact once.
func (l *Loop) Recover(ctx context.Context) error {
	rows := map[string]store.Fetched{}
	err := l.Store.View(ctx, func(tx *store.Tx) error {
		clear(rows)
		return store.Sources.Scan(tx, "", func(key string, row store.Fetched) error {
			rows[key] = row
			return nil
		})
	})
	if err != nil {
		return err
	}
	for key, row := range rows {
		if row.Artifact == nil || l.Artifacts.Usable(ctx, *row.Artifact) {
			continue
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		l.Log.Warn("artifact is damaged or gone and will be fetched again", telemetry.Revision(row.Artifact.Revision))
		row.Artifact = nil
		if err := l.Store.Update(ctx, func(tx *store.Tx) error { return store.Sources.Put(tx, key, row) }); err != nil {
			return err
		}
	}
	return nil
}

// Run fetches until ctx ends, and then waits for the fetches under way to end, too. It returns the error of the store,
// if that is what ended it.
func (l *Loop) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer l.drain()
	defer cancel()
	watcher := l.Store.Watch(ctx, store.Resources.Name(), store.Secrets.Name())
	defer watcher.Close()
	if err := l.load(ctx); err != nil {
		return unlessEnded(ctx, err)
	}
	l.sweepAt = time.Now().Add(sweepEvery)
	for {
		l.start(ctx)
		if err := l.wait(ctx, watcher); err != nil || ctx.Err() != nil {
			return unlessEnded(ctx, err)
		}
	}
}

// unlessEnded returns err, or nil if ctx has ended.
func unlessEnded(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// wait waits for the next thing to happen, and does what it asks for.
func (l *Loop) wait(ctx context.Context, watcher *store.Watcher) error {
	timer := time.NewTimer(time.Until(l.next()))
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return nil
	case <-timer.C:
		return nil
	case <-l.swept:
		l.swept, l.sweepAt = nil, time.Now().Add(sweepEvery)
		return nil
	case r := <-l.results:
		l.ended(r)
		return l.finish(ctx, r)
	case _, open := <-watcher.C():
		if !open {
			return store.ErrClosed
		}
		return l.learn(ctx, watcher.Take())
	}
}

// start starts what is due, as far as there are workers.
func (l *Loop) start(ctx context.Context) {
	now := time.Now()
	for _, s := range l.due(now) {
		if l.mustWait(s) {
			continue
		}
		l.running++
		if s.unproven() {
			l.trying++
		}
		l.launch(ctx, s)
	}
	if l.swept == nil && !now.Before(l.sweepAt) {
		l.sweep(ctx)
	}
}

// mustWait reports whether a source has to wait for a worker. Unproven sources, whose server may be slow, do not get
// all workers: the other sources need not wait for them.
func (l *Loop) mustWait(s *scheduled) bool {
	return l.running == Workers || s.unproven() && l.trying == unproven
}

// ended takes a fetch off those that run.
func (l *Loop) ended(r result) {
	l.running--
	if r.unproven {
		l.trying--
	}
}

// drain waits for the workers.
func (l *Loop) drain() {
	for l.running > 0 {
		l.ended(<-l.results)
	}
	if l.swept != nil {
		<-l.swept
	}
}

// sweep removes unused artifacts, beside the loop.
func (l *Loop) sweep(ctx context.Context) {
	used := map[string]bool{}
	for _, s := range l.sources {
		if a := s.row.Artifact; a != nil {
			used[a.Dir] = true
		}
	}
	done := make(chan struct{})
	l.swept = done
	go func() {
		defer close(done)
		err := l.Artifacts.Sweep(ctx, func(dir string) bool { return used[dir] }, sweepUnused)
		if err != nil && ctx.Err() == nil {
			l.Log.Warn("unused artifacts could not be removed", telemetry.Err(err))
		}
	}()
}

// broken reports whether an error of the store means that there is no use in going on. A full disk is not one: the same
// write is tried again.
func broken(err error) bool {
	return errors.Is(err, store.ErrClosed) || errors.Is(err, store.ErrDamaged)
}
