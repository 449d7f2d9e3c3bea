package apply

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/navefleet/nave/shared/bundle"
)

// Delete takes an application out of the cluster according to its deletion policy. The ChangeSet is never nil; objects
// that could not be deleted stay in its inventory, for the next Delete. Objects that another application wants are left
// to that application. With WaitForTermination, Delete returns when the objects are gone. Objects that are not gone
// after the timeout are reported as Held and stay in the inventory: unlike in Flux, the dependencies of this
// application must not go before its objects are really gone. The errors are those of Apply.
func (a *Applier) Delete(ctx context.Context, m Removal) (*ChangeSet, error) {
	started := time.Now()
	r, err := a.start(Set{Target: m.Target})
	if err == nil {
		err = r.removeAll(ctx, m)
	}
	if err != nil {
		err = fmt.Errorf("delete %s: %w", m.Application, err)
	}
	return r.changes(started), err
}

func (r *run) removeAll(ctx context.Context, m Removal) error {
	ids := r.Previous.IDs()
	if m.Policy.Resolve(m.Prune) == bundle.Orphan {
		for _, id := range ids {
			r.release(id)
		}
		return r.finish()
	}
	r.deleteAll(ctx, ids)
	if m.Policy == bundle.WaitForTermination {
		r.awaitAllGone(ctx, m.Timeout)
	}
	return errors.Join(r.fatal, r.finish())
}

// awaitAllGone waits until all objects that were deleted are gone.
func (r *run) awaitAllGone(ctx context.Context, timeout time.Duration) {
	deadline := time.Now().Add(timeout)
	for i := range r.entries {
		e := &r.entries[i]
		uid := r.Previous.Items[e.Object.ID()].UID
		if e.Action != Deleted || uid == "" {
			continue
		}
		if err := r.awaitGone(ctx, e.Object, uid, max(time.Until(deadline), time.Millisecond)); err != nil {
			e.Action, e.Err = Held, redact(err, false, r.Redact)
			r.next.Items[e.Object.ID()] = r.Previous.Items[e.Object.ID()] // for the next Delete to wait on
		}
	}
}
