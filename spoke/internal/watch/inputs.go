package watch

import (
	"context"
	"errors"
	"io"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/manifest"
	"github.com/navefleet/nave/shared/telemetry"
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
		Config: New(c).Config, news: wait.NewSignal(), wake: wait.NewSignal(), changed: map[manifest.ID]bool{},
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

// keep watches one object until the context ends. Failures are repeated after pauses that grow to sixteen seconds.
func (in *Inputs) keep(ctx context.Context, id bundle.ObjectIdentity) {
	retry := wait.Backoff{First: time.Second, Most: 16 * time.Second, Spread: .5}
	version := "" // of the last event
	for ctx.Err() == nil {
		started := time.Now()
		err := in.follow(ctx, id, &version)
		if ctx.Err() != nil {
			return
		}
		if err == nil && time.Since(started) > retry.First {
			retry.Reset()
			continue
		}
		if err != nil {
			if !resumable(err) {
				version = ""
			}
			in.Log.WarnContext(ctx, "watch of an input interrupted", telemetry.Object(id.ID()), telemetry.Err(err))
		}
		if retry.Pause(ctx) != nil {
			return
		}
	}
}

// follow watches one object from a version on, until the stream ends. If there is no version, the object is listed
// first.
func (in *Inputs) follow(ctx context.Context, id bundle.ObjectIdentity, version *string) error {
	mapping, err := in.Client.Mapping(ctx, schema.GroupVersionKind{Group: id.Group, Version: id.Version, Kind: id.Kind})
	if err != nil {
		return err
	}
	scope := kube.Scope{Namespace: id.Namespace, Name: id.Name}
	if *version == "" {
		from, err := in.Client.List(ctx, mapping, scope, func(kube.Live) error { return nil })
		if err != nil {
			return err
		}
		*version = from
		in.note(id)
	}
	stream, err := in.Client.Watch(ctx, mapping, scope, *version)
	if err != nil {
		return err
	}
	defer stream.Close()
	for {
		event, err := stream.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		*version = event.Live.ResourceVersion
		if event.Type != kube.Bookmark {
			in.note(id)
		}
	}
}

// note notes that an object may have changed.
func (in *Inputs) note(id bundle.ObjectIdentity) {
	in.mu.Lock()
	in.changed[id.ID()] = true
	in.mu.Unlock()
	in.news.Raise()
}
