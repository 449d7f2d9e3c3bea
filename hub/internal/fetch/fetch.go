package fetch

import (
	"cmp"
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/navefleet/nave/hub/internal/artifact"
	"github.com/navefleet/nave/hub/internal/dial"
	"github.com/navefleet/nave/hub/internal/loop"
	"github.com/navefleet/nave/hub/internal/source"
	"github.com/navefleet/nave/hub/internal/source/plugin"
	"github.com/navefleet/nave/hub/internal/store"
	"github.com/navefleet/nave/hub/internal/trace"
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
	mendEvery   = time.Minute      // between fetches of one source because of damage: the disk may be broken
	leastPause  = time.Second      // between two fetches of one source, whatever its interval
	sweepEvery  = 10 * time.Minute // between two removals of unused artifacts
	sweepUnused = 10 * time.Minute // an artifact is removed after so long without use: a render may still read it
	maxEvents   = 32               // objects of one source that get an event about it
)

// Config is the configuration of a Loop.
type Config struct {
	Store     *store.Store
	Vault     *store.Vault
	Artifacts *artifact.Store
	Fetcher   source.Fetcher // of every kind
	Network   dial.Policy    // the servers that fetches may dial
	// RemoteBaseHosts are the only hosts that fetches of remote bases may ask, also by a redirect.
	RemoteBaseHosts []string
	// NoCrossNamespaceRefs refuses sources that read one of another namespace.
	NoCrossNamespaceRefs bool
	// Plugins returns the credentials for a URL by the credential provider plugins; nil: there are none. anew: the server
	// refused the last ones.
	Plugins func(ctx context.Context, url string, anew bool) (source.Secret, error)
	// DockerHelpers returns the credentials for a server by a credential helper of Docker; nil: there are none.
	DockerHelpers func(ctx context.Context, name, server string) (source.DockerConfig, error)

	GitHelpers plugin.GitHelpers     // know credentials for Git, by spec.provider
	Log        *slog.Logger          // nil: slog.Default
	Metrics    prometheus.Registerer // nil: none
	Trace      *trace.Tracer         // nil: none
	Now        func() time.Time      // nil: time.Now
}

// Loop keeps the store's sources fetched. Its fields belong to the goroutine of Run.
type Loop struct {
	Config
	metrics metrics
	// sources by api.Source.FetchKey, and the key of each object's source by the object's path.
	sources  map[string]*scheduled
	keys     map[string]string
	inputs   inputs
	beside   neighbours
	gone     leftovers
	running  int
	trying   int                 // of them, unproven ones
	writing  map[repository]bool // those to which a source that is running writes
	results  chan func(context.Context) error
	looks    chan func()    // of Preview; not buffered
	previews chan struct{}  // a value for each preview under way
	underway sync.WaitGroup // fetches and a sweep
	sweepAt  time.Time
	sweeping bool
	busy     map[account]time.Time // until when a server takes no requests of an account
}

// New returns a loop that does nothing until Run.
func New(c Config) *Loop {
	c.Log = cmp.Or(c.Log, slog.Default())
	if c.Now == nil {
		c.Now = time.Now
	}
	return &Loop{
		Config:  c,
		metrics: newMetrics(c.Metrics),
		sources: map[string]*scheduled{},
		keys:    map[string]string{},
		inputs:  newInputs(),
		beside:  neighbours{},
		writing: map[repository]bool{},
		busy:    map[account]time.Time{},
		gone:    leftovers{sources: map[string]bool{}, conditions: map[string]bool{}},
		results: make(chan func(context.Context) error, Workers+2), // so that nobody waits to return a result
		looks:   make(chan func()), previews: make(chan struct{}, maxPreviews),
	}
}

// Recover verifies every artifact on disk and removes damaged ones from the store: a power cut may have damaged what
// was written last. Artifacts of older hubs get today's form. Call it before anything reads artifacts.
func (l *Loop) Recover(ctx context.Context) error {
	if err := l.migrate(ctx); err != nil {
		return err
	}
	rows := map[string]store.Fetched{}
	err := l.Store.Update(ctx, func(tx *store.Tx) error {
		clear(rows)
		return store.Sources.ScanApart(tx, "", func(key string, row store.Fetched) error {
			rows[key] = row
			return nil
		}, func(key string, err error) error {
			l.Log.Error("the row of a source cannot be read: the source is fetched again", telemetry.Err(err))
			return store.Sources.Delete(tx, key)
		})
	})
	if err != nil {
		return err
	}
	for key, row := range rows {
		changed := l.recover(ctx, &row.Artifact)
		if changed = l.recover(ctx, &row.Own) || changed; !changed {
			continue
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := l.Store.Update(ctx, func(tx *store.Tx) error { return store.Sources.Put(tx, key, row) }); err != nil {
			return err
		}
	}
	return nil
}

// recover converts the artifact of an older hub, and sets an artifact to nil if it cannot be used. recover reports
// whether it changed the artifact.
func (l *Loop) recover(ctx context.Context, a **artifact.Artifact) bool {
	if *a == nil {
		return false
	}
	now, err := l.Artifacts.Convert(ctx, **a)
	if err == nil && l.Artifacts.Usable(ctx, now) {
		changed := now != **a
		*a = &now
		return changed
	}
	if ctx.Err() == nil {
		l.Log.Warn("artifact is damaged or gone and will be fetched again", telemetry.Revision((*a).Revision))
	}
	*a = nil
	return true
}

// Run fetches until ctx ends, and then waits until the fetches under way have ended, too. If the store is closed
// before, Run returns store.ErrClosed.
func (l *Loop) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer l.underway.Wait()
	defer cancel()
	l.sweepAt = time.Now().Add(sweepEvery)
	l.underway.Go(func() { l.listen(ctx) })
	return loop.Loop{
		Name: "fetch", Store: l.Store, Tables: []string{store.Resources.Name(), store.Secrets.Name()}, Log: l.Log,
		Load: l.load, Note: l.learn, Work: l.start, Results: l.results,
	}.Run(ctx)
}

// listen has the sources of artifacts that somebody found damaged fetched soon, and lets previews look at the sources.
// At most one of its functions waits for the loop.
func (l *Loop) listen(ctx context.Context) {
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case a := <-l.Artifacts.Doubts():
			l.inLoop(ctx, func() { l.mendSources(a) })
		case look := <-l.looks:
			l.inLoop(ctx, look)
		}
	}
}

// inLoop has the loop call a function, and waits for that.
func (l *Loop) inLoop(ctx context.Context, do func()) {
	done := make(chan struct{})
	l.results <- func(context.Context) error {
		do()
		close(done)
		return nil
	}
	select {
	case <-ctx.Done():
	case <-done:
	}
}

// mendSources makes the sources of an artifact due.
func (l *Loop) mendSources(a artifact.Artifact) {
	for _, s := range l.sources {
		for _, its := range []*artifact.Artifact{s.row.Artifact, s.row.Own} {
			if its != nil && its.Dir == a.Dir {
				s.mend()
			}
		}
	}
}

// start starts the fetches that are due, as far as workers are free, and returns the time until the next one.
func (l *Loop) start(ctx context.Context) (time.Duration, error) {
	now := time.Now()
	due := l.due(now)
	read := l.readBy(due)
	for _, s := range due {
		if l.mustWait(s) || s.view.Writes && read[s.repository] || l.postpone(s, now) {
			continue
		}
		l.running++
		if s.unproven() {
			l.trying++
		}
		l.launch(ctx, s)
	}
	if !l.sweeping && !now.Before(l.sweepAt) {
		l.sweep(ctx)
	}
	return time.Until(l.next()), nil
}

// mustWait reports whether a source has to wait for a worker. Unproven sources do not get all workers, so that slow
// servers do not keep the other sources waiting. Neither do those of a repository to which one of them writes: they
// would wait for each other in the workers.
func (l *Loop) mustWait(s *scheduled) bool {
	return l.running == Workers || s.unproven() && l.trying == unproven || l.writing[s.repository]
}

// readBy returns the repositories that sources which are due and can start would read. They come before those that
// write to the repository: of these there may be many, and each takes long.
func (l *Loop) readBy(due []*scheduled) map[repository]bool {
	read := map[repository]bool{}
	for _, s := range due {
		if !s.view.Writes && !l.mustWait(s) {
			read[s.repository] = true
		}
	}
	return read
}

// sweep removes unused artifacts in a goroutine of its own.
func (l *Loop) sweep(ctx context.Context) {
	used := map[string]bool{}
	for _, s := range l.sources {
		for _, a := range []*artifact.Artifact{s.row.Artifact, s.row.Own} {
			if a != nil {
				used[a.Dir] = true
			}
		}
	}
	l.sweeping = true
	l.underway.Go(func() {
		err := l.Artifacts.Sweep(ctx, func(dir string) bool { return used[dir] }, sweepUnused)
		if err != nil && ctx.Err() == nil {
			l.Log.Warn("unused artifacts could not be removed", telemetry.Err(err))
		}
		l.results <- func(context.Context) error {
			l.sweeping, l.sweepAt = false, time.Now().Add(sweepEvery)
			return nil
		}
	})
}
