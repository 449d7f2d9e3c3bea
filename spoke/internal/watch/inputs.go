package watch

import (
	"context"
	"sync"

	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/manifest"
	"github.com/navefleet/nave/shared/wait"
	"github.com/navefleet/nave/spoke/internal/kube"
)

// Inputs watches single objects that Applications read: each with one watch of its metadata, however many Applications
// read the object.
type Inputs struct {
	Config
	news wait.Signal // an object changed
	wake wait.Signal // the set of objects to watch changed

	mu      sync.Mutex // guards everything below
	wanted  map[bundle.ObjectIdentity]bool
	running map[bundle.ObjectIdentity]context.CancelFunc
	changed map[manifest.ID]bool
}

// NewInputs returns Inputs that watch no object before Run.
func NewInputs(c Config) *Inputs {
	return &Inputs{
		Config: c.withDefaults(), news: wait.NewSignal(), wake: wait.NewSignal(), changed: map[manifest.ID]bool{},
		running: map[bundle.ObjectIdentity]context.CancelFunc{},
	}
}

// Follow makes these the objects to watch. An object that was not watched before counts as changed when it was listed.
func (in *Inputs) Follow(objects []bundle.ObjectIdentity) {
	wanted := make(map[bundle.ObjectIdentity]bool, len(objects))
	for _, id := range objects {
		wanted[id] = true
	}
	in.mu.Lock()
	in.wanted = wanted
	in.mu.Unlock()
	in.wake.Raise()
}

// C is signalled when Drain has something to return.
func (in *Inputs) C() <-chan struct{} { return in.news }

// Drain returns the objects that appeared, changed or went since the last Drain.
func (in *Inputs) Drain() map[manifest.ID]bool {
	in.mu.Lock()
	defer in.mu.Unlock()
	changed := in.changed
	in.changed = map[manifest.ID]bool{}
	return changed
}

// Run watches until the context ends. Run it once.
func (in *Inputs) Run(ctx context.Context) {
	var running sync.WaitGroup
	defer running.Wait()
	for {
		in.adjust(ctx, &running)
		if in.wake.Wait(ctx) != nil {
			return
		}
	}
}

// adjust starts and ends watches.
func (in *Inputs) adjust(ctx context.Context, running *sync.WaitGroup) {
	in.mu.Lock()
	defer in.mu.Unlock()
	for id, stop := range in.running {
		if !in.wanted[id] {
			stop()
			delete(in.running, id)
		}
	}
	for id := range in.wanted {
		if in.running[id] == nil {
			own, stop := context.WithCancel(ctx)
			in.running[id] = stop
			running.Go(func() { in.keep(own, id) })
		}
	}
}

// keep watches one object until the context ends.
func (in *Inputs) keep(ctx context.Context, id bundle.ObjectIdentity) {
	l := &loop{client: in.Client, log: in.Log, subject: id.ID(),
		scope: kube.Scope{Namespace: id.Namespace, Name: id.Name}}
	l.mapping = func(ctx context.Context) (kube.Mapping, error) {
		return in.Client.Mapping(ctx, schema.GroupVersionKind{Group: id.Group, Version: id.Version, Kind: id.Kind})
	}
	l.list = func(ctx context.Context, m kube.Mapping) (string, error) {
		version, err := in.Client.List(ctx, m, l.scope, func(kube.Live) error { return nil })
		if err == nil {
			in.note(id)
		}
		return version, err
	}
	l.handle = func(_ context.Context, e kube.Event) error {
		if e.Type != kube.Bookmark {
			in.note(id)
		}
		return nil
	}
	l.run(ctx)
}

// note notes that an object may have changed.
func (in *Inputs) note(id bundle.ObjectIdentity) {
	in.mu.Lock()
	in.changed[id.ID()] = true
	in.mu.Unlock()
	in.news.Raise()
}
