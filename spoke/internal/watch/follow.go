package watch

import (
	"context"

	sharedhealth "github.com/navefleet/nave/shared/health"
	"github.com/navefleet/nave/shared/manifest"
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

// run follows until the context ends.
func (f *follower) run(ctx context.Context) {
	l := &loop{
		client: f.Client, log: f.Log, subject: f.mapping.GroupVersionKind().GroupKind(), scope: f.scope,
		mapping: func(context.Context) (kube.Mapping, error) { return f.mapping, nil }, list: f.list, handle: f.handle,
	}
	l.run(ctx)
}

// list sees every object of the kind, then looks for objects that should exist and are not in the list.
func (f *follower) list(ctx context.Context, m kube.Mapping) (version string, err error) {
	seen := map[manifest.ID]bool{}
	version, err = f.Client.List(ctx, m, f.scope, func(l kube.Live) error {
		seen[l.ID.ID()] = true
		f.see(l)
		return nil
	})
	if err != nil && kube.ReasonOf(err) != kube.NoMatch { // where the kind is not served, all its objects are missing
		return "", err
	}
	if err := f.lookForRest(ctx, seen); err != nil {
		return "", err
	}
	return version, err
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
	switch e.Type {
	case kube.Added, kube.Modified:
		f.see(e.Live)
	case kube.Deleted: // or the label was taken off
		f.seeLast(e.Live)
		return f.look(ctx, e.Live.ID)
	}
	return nil
}
