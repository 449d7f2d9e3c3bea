package apply

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/navefleet/nave/shared/manifest"
	"github.com/navefleet/nave/spoke/internal/inventory"
	"github.com/navefleet/nave/spoke/internal/kube"
	"github.com/navefleet/nave/spoke/internal/trust"
)

// clearGone deletes objects that are recorded and not desired any more, after everything desired was applied. Without
// pruning these objects leave the inventory and stay in the cluster, even if others were refused. With Keep they stay
// in both.
func (r *run) clearGone(ctx context.Context) {
	gone := r.gone()
	if r.Keep {
		r.keep(gone)
		return
	}
	if !r.Prune {
		for _, id := range gone {
			r.release(id)
		}
		return
	}
	if slices.ContainsFunc(r.entries, func(e Entry) bool { return e.Action == Refused }) {
		return
	}
	if held := r.Guard.check(r.Previous, gone, r.Confirmed); held != nil {
		for _, id := range gone {
			r.file(id, Held, fmt.Errorf("%s: %w", id, held))
		}
		return
	}
	r.guarded(0)
	r.deleteAll(ctx, gone)
}

// keep marks objects as kept.
func (r *run) keep(ids []manifest.ID) {
	for _, id := range ids {
		if item := r.next.Items[id]; !item.Kept {
			item.Kept = true
			r.next.Items[id], r.unsaved = item, true
			r.Index.Begin(r.Application, id)
			r.Index.Commit(r.Application, id, item)
		}
	}
}

// gone returns the objects that are recorded and not in the set. Objects that another application took over, and
// objects that the watch found missing from the cluster, just leave the inventory.
func (r *run) gone() []manifest.ID {
	desired := r.desired()
	var out []manifest.ID
	for id := range r.Previous.Items {
		switch {
		case desired[id]:
		case r.wantedElsewhere(id):
			r.release(id)
		case r.Index.Drifted(id).Kind == inventory.Missing:
			r.Index.Forget(id)
			r.file(id, Deleted, nil)
		default:
			out = append(out, id)
		}
	}
	return out
}

// desired returns the objects of the set.
func (r *run) desired() map[manifest.ID]bool {
	desired := make(map[manifest.ID]bool, len(r.Objects))
	for _, d := range r.Objects {
		desired[d.ID()] = true
	}
	return desired
}

// wantedElsewhere reports whether another application of the cluster wants or owns the object.
func (r *run) wantedElsewhere(id manifest.ID) bool {
	if r.Claimed != nil {
		if app, is := r.Claimed(id); is && app != r.Application {
			return true
		}
	}
	app, _, known := r.Index.Application(id)
	return known && app != r.Application
}

// release drops an object from the inventory and leaves it in the cluster.
func (r *run) release(id manifest.ID) {
	r.forget(id)
	r.file(id, Released, nil)
}

// file adds an entry for an object that is not desired. An object that was deleted or released leaves the inventory.
func (r *run) file(id manifest.ID, action Action, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.entries = append(r.entries, Entry{Object: r.Previous.Identity(id), Action: action, Err: err})
	r.giveUp(err)
	if action == Deleted || action == Released {
		delete(r.next.Items, id)
		r.unsaved = true
	}
}

// deleteAll deletes objects wave by wave in the reverse order of apply.
func (r *run) deleteAll(ctx context.Context, ids []manifest.ID) {
	for _, wave := range waves(ids) {
		each(wave, func(id manifest.ID) { r.deleteOne(ctx, id) })
	}
}

// waves sorts objects for deletion: the reverse of the order of apply, then CustomResourceDefinitions, then Namespaces,
// each kind a wave.
func waves(ids []manifest.ID) [][]manifest.ID {
	sorted := slices.Clone(ids)
	slices.SortFunc(sorted, func(a, b manifest.ID) int {
		return cmp.Or(cmp.Compare(lateness(a), lateness(b)), manifest.Compare(b, a))
	})
	var out [][]manifest.ID
	for i, id := range sorted {
		if i == 0 || sorted[i-1].GroupKind() != id.GroupKind() {
			out = append(out, nil)
		}
		out[len(out)-1] = append(out[len(out)-1], id)
	}
	return out
}

func lateness(id manifest.ID) int {
	switch {
	case isNamespace(id):
		return 2
	case isDefinition(id):
		return 1
	}
	return 0
}

// deleteOne deletes one object if the object proves to be ours and its deletion is allowed.
func (r *run) deleteOne(ctx context.Context, id manifest.ID) {
	if err := r.stopped(ctx); err != nil {
		r.file(id, Held, err)
		return
	}
	if r.wantedElsewhere(id) {
		r.release(id)
		return
	}
	r.Index.Begin(r.Application, id)
	action, err := r.remove(ctx, id)
	if action == Held {
		r.Index.Abandon(id)
	} else {
		r.Index.Forget(id)
	}
	r.file(id, action, redact(err, isSecret(id), r.Redact))
}

// remove deletes an object if the local policy and the live object allow it.
func (r *run) remove(ctx context.Context, id manifest.ID) (Action, error) {
	o, item := r.Previous.Identity(id), r.Previous.Items[id]
	switch err := r.Permits(o); {
	case errors.Is(err, trust.ErrSelf):
		return Released, nil
	case err != nil:
		return Held, fmt.Errorf("not deleted: %w", err)
	}
	if item.Mode == inventory.Ignore {
		return Released, nil
	}
	decided, _, err := r.deleteSeen(ctx, o, func(live kube.Live) (verdict, error) {
		if r.spared(id, item, live) {
			return leaveIt, nil
		}
		return deleteIt, errors.Join(r.vacant(ctx, id), r.sparesSelf(ctx, o, nil))
	})
	switch {
	case errors.Is(err, trust.ErrSelf):
		return Released, nil
	case err != nil:
		return Held, err
	case decided == leaveIt:
		return Released, nil
	}
	return Deleted, nil
}

// spared reports whether a live object stays: because of its labels or annotations, because it does not prove to be
// ours, or because every cluster needs it.
func (r *run) spared(id manifest.ID, item inventory.Item, live kube.Live) bool {
	return live.Marks().IsPruneDisabled() || r.Spare != nil && r.Spare(live) || !item.Proves(live, r.Application) ||
		isNamespace(id) && protected(id.Name)
}

// protected reports whether a namespace is never deleted, because every cluster needs it.
func protected(namespace string) bool {
	switch namespace {
	case "default", "kube-system", "kube-public", "kube-node-lease":
		return true
	}
	return false
}
