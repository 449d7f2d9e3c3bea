package apply

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/manifest"
)

// claims names the application of the current bundle that wants an object.
type claims = func(manifest.ID) (bundle.ApplicationName, bool)

// DefaultTimeout is how long WaitForTermination waits when the application says nothing.
const DefaultTimeout = 5 * time.Minute

// Delete takes an application out of the cluster as its deletion policy says. The ChangeSet is never nil; what could
// not be deleted stays in its inventory, for the next Delete. Objects that another application wants are left to it.
// With WaitForTermination it returns when the objects are gone; those that are not after the timeout are reported as
// Held and stay in the inventory: unlike in Flux, what this application depended on must not go before they are really
// gone.
func (a *Applier) Delete(ctx context.Context, m Removal) (*ChangeSet, error) {
	started := time.Now()
	r, err := a.start(m.Application, m.ServiceAccount, m.Previous, m.Save)
	if err == nil {
		r.hide = m.Redact
		err = r.removeAll(ctx, m)
	}
	if err != nil {
		err = fmt.Errorf("delete %s: %w", m.Application, err)
	}
	return r.changes(started), err
}

func (r *run) removeAll(ctx context.Context, m Removal) error {
	ids := r.prior.IDs()
	if !m.Deletes() {
		for _, id := range ids {
			r.release(id)
		}
		return r.finish()
	}
	r.deleteAll(ctx, ids, m.Claimed)
	if m.Policy == bundle.WaitForTermination {
		r.awaitAllGone(ctx, m.Timeout)
	}
	return errors.Join(r.fatal, r.finish())
}

// Deletes reports whether the objects go.
func (m Removal) Deletes() bool {
	switch m.Policy {
	case bundle.Delete, bundle.WaitForTermination:
		return true
	case bundle.Orphan:
		return false
	}
	return m.Prune // MirrorPrune, and none
}

// awaitAllGone waits for everything that was deleted.
func (r *run) awaitAllGone(ctx context.Context, timeout time.Duration) {
	if timeout <= 0 {
		timeout = DefaultTimeout
	}
	deadline := time.Now().Add(timeout)
	for i := range r.entries {
		e := &r.entries[i]
		uid := r.prior.Items[e.Object.ID()].UID
		if e.Action != Deleted || uid == "" {
			continue
		}
		if err := r.awaitGone(ctx, e.Object, uid, max(time.Until(deadline), time.Millisecond)); err != nil {
			e.Action, e.Err = Held, redact(err, false, r.hide)
			r.next.Items[e.Object.ID()] = r.prior.Items[e.Object.ID()] // for the next Delete to wait on
		}
	}
}
