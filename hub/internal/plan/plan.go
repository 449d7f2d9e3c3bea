package plan

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/artifact"
	"github.com/navefleet/nave/hub/internal/loop"
	"github.com/navefleet/nave/hub/internal/lru"
	"github.com/navefleet/nave/hub/internal/plan/graph"
	"github.com/navefleet/nave/hub/internal/render"
	"github.com/navefleet/nave/hub/internal/render/cache"
	"github.com/navefleet/nave/hub/internal/store"
	"github.com/navefleet/nave/hub/internal/trace"
	"github.com/navefleet/nave/shared/manifest"
	"github.com/navefleet/nave/shared/telemetry"
)

// Config configures a Planner.
type Config struct {
	Store     *store.Store
	Artifacts *artifact.Store
	Renderer  render.Renderer
	// NoCrossNamespaceRefs refuses sources of another namespace, as Flux's flag does.
	NoCrossNamespaceRefs bool
	// LenientSubstitution replaces undefined variables by the empty string.
	LenientSubstitution bool
	// RemoteBases decides which remote bases are fetched.
	RemoteBases RemoteBases
	// Guard limits how much one change removes unconfirmed; zero: graph.DefaultGuard.
	Guard graph.Guard

	Log     *slog.Logger          // nil: slog.Default
	Metrics prometheus.Registerer // nil: none
	Trace   *trace.Tracer         // nil: none
	Now     func() time.Time      // nil: time.Now
}

// Planner keeps the plans of all clusters up to date. Its fields belong to the goroutine of Run.
type Planner struct {
	store   *store.Store
	log     *slog.Logger
	now     func() time.Time
	trace   *trace.Tracer
	metrics *metrics
	renders *cache.Cache
	objects *lru.Cache[manifest.Digest, *manifest.Object] // that renderables read
	strict  bool                                          // Config.NoCrossNamespaceRefs
	lenient bool                                          // Config.LenientSubstitution
	guard   graph.Guard
	bases   RemoteBases
	salt    []byte // of placeholders
	// capabilities returns what charts can know of the cluster of a walk; served has those of the store.
	capabilities func(context.Context, *walked) (api.Capabilities, error)
	served       *lru.Cache[manifest.Digest, api.Capabilities]

	hub     *hub                     // the hub's own objects
	sources map[string]store.Fetched // by Source.FetchKey
	scopes  map[string]*scope        // facts about each graph, by cluster; "" is the hub's
	dirty   map[string]bool          // graphs to walk, by cluster
	again   map[string]time.Time     // when to walk a graph again that failed, or whose confirmation expires
	fails   map[string]int           // how often in a row a graph failed
	touched time.Time                // when the renders in use were last marked as used
	// slow are the graphs that wait for a slow render, by the channel that is closed at its end, and ended carries the
	// ends to the loop.
	slow  map[<-chan struct{}]map[string]bool
	ended chan func(context.Context) error
}

// New returns a planner. Run starts it.
func New(c Config) *Planner {
	c.Log = cmp.Or(c.Log, slog.Default())
	if c.Now == nil {
		c.Now = time.Now
	}
	p := &Planner{
		store: c.Store, log: c.Log, now: c.Now, metrics: newMetrics(c.Metrics), trace: c.Trace,
		renders: cache.New(cache.Config{
			Store: c.Store, Artifacts: c.Artifacts, Renderer: c.Renderer, Metrics: c.Metrics,
		}),
		objects: lru.New[manifest.Digest, *manifest.Object](objectsSize),
		strict:  c.NoCrossNamespaceRefs,
		lenient: c.LenientSubstitution,
		guard:   c.Guard,
		bases:   c.RemoteBases,
		salt:    cache.Salt(c.Store.Epoch()),
		hub:     newHub(), sources: map[string]store.Fetched{}, scopes: map[string]*scope{},
		dirty: map[string]bool{}, again: map[string]time.Time{}, fails: map[string]int{},
		served: lru.New[manifest.Digest, api.Capabilities](maxCapabilities),
		slow:   map[<-chan struct{}]map[string]bool{}, ended: make(chan func(context.Context) error),
	}
	p.capabilities = p.readFacts
	return p
}

// Times between attempts.
const (
	// graphRetry is how long to wait after a graph could not be read or written. It doubles with each failure in a row, up
	// to 32 times.
	graphRetry = 5 * time.Second
	// renderRetry is the same after a render with a temporary failure.
	renderRetry = 30 * time.Second
)

// watched are the tables that a plan is made of.
var watched = []string{
	store.Resources.Name(), store.Sources.Name(), store.Repairs.Name(), store.Confirmations.Name(), store.Spokes.Name(),
	store.Shapes.Name(),
}

// Run plans until ctx ends or the store is closed.
func (p *Planner) Run(ctx context.Context) error {
	return loop.Loop{
		Name: "plan", Store: p.store, Tables: watched, Log: p.log, Load: p.load, Note: p.note, Work: p.work,
		Results: p.ended,
	}.Run(ctx)
}

// work plans the marked graphs, and returns how long the planner can wait if no row changes.
func (p *Planner) work(ctx context.Context) (time.Duration, error) {
	p.due()
	err := p.round(ctx)
	return p.pause(), err
}

// pause returns how long the planner can wait if no row changes.
func (p *Planner) pause() time.Duration {
	now := p.now()
	pause := cache.TouchEvery
	for _, at := range p.again {
		pause = min(pause, at.Sub(now))
	}
	return max(pause, 0)
}

// due marks the graphs whose time to be walked again has come.
func (p *Planner) due() {
	now := p.now()
	for cluster, at := range p.again {
		if !at.After(now) {
			p.dirty[cluster] = true
			delete(p.again, cluster)
		}
	}
}

// fail puts off a graph that could not be read or written. If only a swept render has to be done again, the graph is
// walked again at once.
func (p *Planner) fail(ctx context.Context, cluster string, err error) {
	if errors.Is(err, cache.ErrSwept) {
		p.postpone(cluster, 0)
		return
	}
	p.postpone(cluster, graphRetry)
	p.log.ErrorContext(ctx, "a graph cannot be planned and will be tried again", telemetry.Cluster(cluster),
		telemetry.Err(err))
}

// postpone schedules a graph to be walked again. The delay doubles with each failure in a row.
func (p *Planner) postpone(cluster string, retry time.Duration) {
	delete(p.dirty, cluster)
	p.again[cluster] = p.now().Add(retry << min(p.fails[cluster], 5))
	p.fails[cluster]++
}

// awaitRender has a graph walked again at the end of a slow render.
func (p *Planner) awaitRender(ctx context.Context, cluster string, done <-chan struct{}) {
	if graphs, awaited := p.slow[done]; awaited {
		graphs[cluster] = true
		return
	}
	p.slow[done] = map[string]bool{cluster: true}
	wake := func(context.Context) error {
		for cluster := range p.slow[done] {
			p.dirty[cluster] = true
		}
		delete(p.slow, done)
		return nil
	}
	go func() {
		select {
		case <-done:
		case <-ctx.Done():
		}
		select {
		case p.ended <- wake:
		case <-ctx.Done():
		}
	}()
}
