package watch

import (
	"cmp"
	"context"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/manifest"
	"github.com/navefleet/nave/shared/wait"
	"github.com/navefleet/nave/spoke/internal/health"
	"github.com/navefleet/nave/spoke/internal/inventory"
	"github.com/navefleet/nave/spoke/internal/kube"
)

// Config has the settings and dependencies of a Watcher.
type Config struct {
	Client *kube.Client
	Index  *inventory.Index
	Health *health.Assessor // nil: no application has health expressions
	Log    *slog.Logger     // nil: slog.Default
	Now    func() time.Time // nil: time.Now
}

// Watcher watches the objects that the index holds.
type Watcher struct {
	Config
	news wait.Signal // an observation waits
	wake wait.Signal // a held observation came

	mu        sync.Mutex                  // guards everything below
	waiting   map[manifest.ID]Observation // the latest of each object since the last Drain
	followers map[schema.GroupKind]*follower
	paces     map[manifest.ID]pace
	held      map[manifest.ID]Observation // drift that must wait until its RetryAt
}

// withDefaults returns the Config with the defaults of fields that are not set.
func (c Config) withDefaults() Config {
	c.Log = cmp.Or(c.Log, slog.Default())
	if c.Now == nil {
		c.Now = time.Now
	}
	return c
}

// New returns a Watcher that watches no object before Run.
func New(c Config) *Watcher {
	return &Watcher{
		Config: c.withDefaults(), news: wait.NewSignal(), wake: wait.NewSignal(), waiting: map[manifest.ID]Observation{},
		followers: map[schema.GroupKind]*follower{}, paces: map[manifest.ID]pace{}, held: map[manifest.ID]Observation{},
	}
}

// C is signalled when Drain has something to return.
func (w *Watcher) C() <-chan struct{} { return w.news }

// Drain returns the latest observation of each object since the last Drain, in the order of apply.
func (w *Watcher) Drain() []Observation {
	w.mu.Lock()
	defer w.mu.Unlock()
	out := make([]Observation, 0, len(w.waiting))
	for _, id := range slices.SortedFunc(maps.Keys(w.waiting), manifest.Compare) {
		out = append(out, w.waiting[id])
	}
	clear(w.waiting)
	return out
}

// add replaces the waiting observation of the same object, but keeps drift that was not drained yet; the caller holds
// the mutex.
func (w *Watcher) add(o Observation) {
	id := o.Object.ID()
	if old, ok := w.waiting[id]; ok && !o.Drift.Any() {
		o.Drift, o.RetryAt = old.Drift, old.RetryAt
	}
	w.waiting[id] = o
	w.news.Raise()
}

// Run watches until the context ends. Run it once.
func (w *Watcher) Run(ctx context.Context) {
	var g sync.WaitGroup
	g.Go(func() { w.followKinds(ctx) })
	g.Go(func() { w.lookAgain(ctx) })
	g.Go(func() { w.releaseHeld(ctx) })
	g.Wait()
}

// kinds keeps one version of each kind, since all of them show the same objects.
func kinds(all []kube.Mapping) map[schema.GroupKind]kube.Mapping {
	out := map[schema.GroupKind]kube.Mapping{}
	for _, m := range all {
		gk := m.GroupVersionKind().GroupKind()
		if had, ok := out[gk]; !ok || m.Version < had.Version {
			out[gk] = m
		}
	}
	return out
}

// followKinds keeps one follower for each kind in the index.
func (w *Watcher) followKinds(ctx context.Context) {
	var running sync.WaitGroup
	defer running.Wait()
	for {
		w.adjust(ctx, &running)
		select {
		case <-w.Index.Changed():
		case <-ctx.Done():
			return
		}
	}
}

// adjust starts and stops followers.
func (w *Watcher) adjust(ctx context.Context, running *sync.WaitGroup) {
	wanted := kinds(w.Index.Kinds())
	w.mu.Lock()
	defer w.mu.Unlock()
	for k, f := range w.followers {
		if m, ok := wanted[k]; !ok || m != f.mapping {
			f.stop()
			delete(w.followers, k)
		}
	}
	for k, m := range wanted {
		if w.followers[k] != nil {
			continue
		}
		f := newFollower(w, m)
		w.followers[k] = f
		var own context.Context
		own, f.stop = context.WithCancel(ctx)
		running.Go(func() { f.run(own) })
	}
}

// lookAgain looks at the objects that the index is in doubt about.
func (w *Watcher) lookAgain(ctx context.Context) {
	const later = time.Second
	for {
		select {
		case <-w.Index.Doubtful():
		case <-ctx.Done():
			return
		}
		var failed []bundle.ObjectIdentity
		for _, id := range w.Index.TakeDoubts() {
			if err := w.look(ctx, id); err != nil {
				failed = append(failed, id)
			}
		}
		if len(failed) > 0 && wait.For(ctx, later) != nil {
			return
		}
		for _, id := range failed {
			w.Index.Doubt(id.ID())
		}
	}
}
