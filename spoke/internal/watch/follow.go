package watch

import (
	"context"
	"errors"
	"io"
	"time"

	sharedhealth "github.com/navefleet/nave/shared/health"
	"github.com/navefleet/nave/shared/manifest"
	"github.com/navefleet/nave/shared/telemetry"
	"github.com/navefleet/nave/shared/wait"
	"github.com/navefleet/nave/spoke/internal/inventory"
	"github.com/navefleet/nave/spoke/internal/kube"
)

// How many whole objects of a list are in memory at a time. A CustomResourceDefinition can be a megabyte.
const (
	pageOfWhole       = 100
	pageOfDefinitions = 10
)

// follower lists and watches one kind.
type follower struct {
	*Watcher
	mapping kube.Mapping
	scope   kube.Scope
	stop    context.CancelFunc
	version string // resourceVersion to watch from; empty: list first
}

func newFollower(w *Watcher, m kube.Mapping) *follower {
	f := &follower{Watcher: w, mapping: m, scope: kube.Scope{Selector: inventory.Label}}
	if sharedhealth.MetadataOnly(m.GroupVersionKind().GroupKind()) {
		return f
	}
	f.scope.Whole, f.scope.Page = true, pageOfWhole
	if m.Kind == "CustomResourceDefinition" {
		f.scope.Page = pageOfDefinitions
	}
	return f
}

// run follows until the context ends. Failures are repeated after pauses that grow from one second to sixteen.
func (f *follower) run(ctx context.Context) {
	retry := wait.Backoff{First: time.Second, Most: 16 * time.Second, Spread: .5}
	for ctx.Err() == nil {
		started := time.Now()
		err := f.follow(ctx)
		if ctx.Err() != nil {
			return
		}
		if !resumable(err) {
			f.version = ""
		}
		if err != nil && kube.ReasonOf(err) != kube.Expired {
			f.Log.WarnContext(ctx, "watch interrupted", telemetry.Object(f.mapping.GroupVersionKind().GroupKind()),
				telemetry.Err(err))
		}
		if time.Since(started) > retry.Most || err == nil && time.Since(started) > retry.First {
			retry.Reset()
		} else if retry.Pause(ctx) != nil {
			return
		}
	}
}

// resumable reports whether a watch can resume after an error. If the kind was not served, or not to us, the watch
// cannot resume: a CustomResourceDefinition that comes back has another history.
func resumable(err error) bool {
	switch kube.ReasonOf(err) {
	case "", kube.Unreachable, kube.Unavailable, kube.Unauthorized:
		return true
	}
	return false
}

// follow lists if there is no version to resume from, then watches until the stream ends. The end of the stream is no
// error.
func (f *follower) follow(ctx context.Context) error {
	if f.version == "" {
		if err := f.list(ctx); err != nil {
			return err
		}
	}
	stream, err := f.Client.Watch(ctx, f.mapping, f.scope, f.version)
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
		if err := f.handle(ctx, event); err != nil {
			f.version = "" // an event was lost: list again
			return err
		}
	}
}

// list sees every object of the kind, then looks for objects that should exist and are not in the list.
func (f *follower) list(ctx context.Context) error {
	seen := map[manifest.ID]bool{}
	version, err := f.Client.List(ctx, f.mapping, f.scope, func(l kube.Live) error {
		seen[l.ID.ID()] = true
		f.see(l)
		return nil
	})
	if err != nil && kube.ReasonOf(err) != kube.NoMatch { // where the kind is not served, all its objects are missing
		return err
	}
	if err := f.lookForRest(ctx, seen); err != nil {
		return err
	}
	if err != nil {
		return err
	}
	f.version = version
	return nil
}

// lookForRest looks for the objects that should exist and were not seen.
func (f *follower) lookForRest(ctx context.Context, seen map[manifest.ID]bool) error {
	for _, id := range f.Index.Of(f.mapping.GroupVersionKind().GroupKind()) {
		if seen[id.ID()] {
			continue
		}
		if err := f.look(ctx, id); err != nil {
			return err
		}
	}
	return nil
}

// handle handles one event.
func (f *follower) handle(ctx context.Context, e kube.Event) error {
	f.version = e.Live.ResourceVersion
	switch e.Type {
	case kube.Added, kube.Modified:
		f.see(e.Live)
	case kube.Deleted: // or the label was taken off
		f.seeLast(e.Live)
		return f.look(ctx, e.Live.ID)
	}
	return nil
}
