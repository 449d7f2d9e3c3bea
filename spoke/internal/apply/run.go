package apply

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/manifest"
	"github.com/navefleet/nave/spoke/internal/inventory"
	"github.com/navefleet/nave/spoke/internal/kube"
	"github.com/navefleet/nave/spoke/internal/trust"
)

// Apply brings a set into the cluster. The ChangeSet is never nil, and its inventory is what is owned afterwards, also
// when err is not nil: then the whole could not go on, because the context ended (a newer bundle came), the API server
// is away, the state could not be written or the account cannot be impersonated. Objects that were refused are in the
// entries.
func (a *Applier) Apply(ctx context.Context, s Set) (*ChangeSet, error) {
	started := time.Now()
	r, err := a.start(s.Application, s.ServiceAccount, s.Previous, s.Save)
	if err != nil {
		return r.changes(started), fmt.Errorf("apply %s: %w", s.Application, err)
	}
	r.set, r.hide = s, s.Redact
	if err := r.applyAll(ctx); err != nil {
		return r.changes(started), fmt.Errorf("apply %s: %w", s.Application, err)
	}
	return r.changes(started), nil
}

// run is one Apply or Delete under way.
type run struct {
	*Applier
	client *kube.Client
	app    bundle.ApplicationName
	set    Set
	save   func(*inventory.Inventory) error
	hide   func(string) string  // Redact of the Set or the Removal
	prior  *inventory.Inventory // as it was before; not changed

	mu      sync.Mutex // guards everything below while objects are sent
	next    *inventory.Inventory
	unsaved bool
	entries []Entry
	defined map[schema.GroupKind]bundle.ObjectIdentity // kinds that a CustomResourceDefinition sent in this run brings
	refused map[manifest.ID]bool                       // what of stage 0 did not get into the cluster
	broken  map[schema.GroupKind]bundle.ObjectIdentity // kinds whose CustomResourceDefinition was refused
	fatal   error                                      // why nothing more is sent
}

func (a *Applier) start(app bundle.ApplicationName, account string, prior *inventory.Inventory,
	save func(*inventory.Inventory) error) (*run, error) {
	if prior == nil {
		prior = inventory.New(app)
	}
	if save == nil {
		save = func(*inventory.Inventory) error { return nil }
	}
	r := &run{
		Applier: a, client: a.Client, app: app, save: save, prior: prior, next: prior.Clone(),
		defined: map[schema.GroupKind]bundle.ObjectIdentity{}, broken: map[schema.GroupKind]bundle.ObjectIdentity{},
		refused: map[manifest.ID]bool{},
	}
	r.next.Application = app
	if account == "" {
		return r, nil
	}
	var err error
	r.client, err = a.Client.As(app.Namespace, account)
	return r, err
}

// changes sums up. What was pruned comes in an order that is the same each time, so that the same failure reads the
// same.
func (r *run) changes(started time.Time) *ChangeSet {
	pruned := r.entries[min(len(r.set.Objects), len(r.entries)):]
	slices.SortStableFunc(pruned, func(a, b Entry) int { return manifest.Compare(a.Object.ID(), b.Object.ID()) })
	return &ChangeSet{Application: r.app, Entries: r.entries, Inventory: r.next, Duration: time.Since(started)}
}

func (r *run) applyAll(ctx context.Context) error {
	send := r.decide()
	r.foresee()
	if err := r.mark(send); err != nil {
		return err
	}
	for stage := range manifest.Stages {
		r.sendStage(ctx, send, stage)
		if stage == 0 {
			r.awaitKinds(ctx, send)
		}
	}
	if r.fatal == nil {
		r.clearGone(ctx)
	}
	return errors.Join(r.fatal, r.finish())
}

// decide makes the entries and returns the indexes of the objects to send. An object that is recorded with the same
// digest and was not seen to drift costs nothing.
func (r *run) decide() []int {
	r.entries = make([]Entry, len(r.set.Objects))
	seen := make(map[manifest.ID]bool, len(r.set.Objects))
	var send []int
	for i, d := range r.set.Objects {
		id := d.ID()
		r.entries[i] = Entry{Object: d.ObjectIdentity, Action: Unchanged, Drift: r.Index.Drifted(id)}
		item, known := r.prior.Items[id]
		switch {
		case seen[id]:
			r.entries[i].Action, r.entries[i].Err = Refused, fmt.Errorf("%s is in %s twice", id, r.app)
		case known && wasSent(item) && item.Digest == d.Digest && !r.set.Reapply && !r.entries[i].Drift.Any() &&
			r.Self.Allows(d.ObjectIdentity) == nil:
			r.claim(id, item)
		default:
			send = append(send, i)
		}
		seen[id] = true
	}
	return send
}

// wasSent reports whether it is known what became of the object when it was last sent, and it was sent with the label.
func wasSent(i inventory.Item) bool {
	return (i.UID != "" || i.Mode == inventory.Ignore) && !i.LacksLabel()
}

// claim makes sure that the index knows an unchanged object as ours.
func (r *run) claim(id manifest.ID, item inventory.Item) {
	if app, _, known := r.Index.Application(id); known && app == r.app {
		return
	}
	r.Index.Begin(r.app, id)
	r.Index.Commit(r.app, id, item)
}

// mark saves the inventory with everything that is about to be sent marked as to be sent again, so that after a crash
// no object is lost and none is taken for unchanged that may not be.
func (r *run) mark(send []int) error {
	if len(send) == 0 {
		return nil
	}
	for _, i := range send {
		d := r.set.Objects[i]
		item, known := r.next.Items[d.ID()]
		if !known {
			item.Version = d.Version
		}
		item.Digest = manifest.Digest{}
		r.next.Items[d.ID()] = item
	}
	if err := r.save(r.next); err != nil && !r.owned(send) {
		r.next = r.prior.Clone() // nothing was sent
		return fmt.Errorf("save the inventory before the apply: %w", err)
	}
	r.unsaved = true
	return nil
}

// owned reports whether the saved inventory has all of these already. They can be sent on a full disk: after a crash
// the watch sees that they are not as the inventory says.
func (r *run) owned(send []int) bool {
	for _, i := range send {
		if r.prior.Items[r.set.Objects[i].ID()].UID == "" {
			return false
		}
	}
	return true
}

// finish saves what became of it. Without this save the next apply sends the same objects again, which is harmless.
func (r *run) finish() error {
	if !r.unsaved {
		return nil
	}
	if err := r.save(r.next); err != nil {
		return fmt.Errorf("save the inventory after the apply: %w", err)
	}
	r.unsaved = false
	return nil
}

// sendStage sends the objects of one stage, several at a time, and waits for all.
func (r *run) sendStage(ctx context.Context, send []int, stage int) {
	var g errgroup.Group
	g.SetLimit(r.Concurrency)
	for _, i := range send {
		if manifest.Stage(r.set.Objects[i].ID()) != stage {
			continue
		}
		g.Go(func() error {
			r.sendOne(ctx, i)
			return nil
		})
	}
	_ = g.Wait() // nothing returns an error; they are in the entries
}

// sendOne sends one object and files what became of it.
func (r *run) sendOne(ctx context.Context, i int) {
	d := r.set.Objects[i]
	id := d.ID()
	if err := r.stopped(ctx); err != nil {
		r.fail(i, fmt.Errorf("%s was not sent: %w", id, err))
		return
	}
	r.Index.Begin(r.app, id)
	result, err := r.send(ctx, d)
	if err != nil {
		r.Index.Abandon(id)
		item, stays := r.trace(ctx, d, err)
		r.fail(i, err)
		switch {
		case stays:
			r.note(id, item)
		case errors.Is(err, trust.ErrSelf):
			r.disown(id)
		}
		return
	}
	r.Index.Commit(r.app, id, result.item)
	r.noteHealth(id, result)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.next.Items[id] = result.item
	r.entries[i].Action = result.action
}

// stopped returns why nothing more should be sent, if so.
func (r *run) stopped(ctx context.Context) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.fatal == nil && ctx.Err() != nil {
		r.fatal = context.Cause(ctx)
	}
	return r.fatal
}

// fail files a refused object. What was recorded of it before stays true.
func (r *run) fail(i int, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	d := r.set.Objects[i]
	id := d.ID()
	r.entries[i].Action, r.entries[i].Err = Refused, err
	r.refused[id] = true
	r.restore(id)
	r.giveUp(err)
}

// note records an object that may have been changed.
func (r *run) note(id manifest.ID, item inventory.Item) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.next.Items[id] = item
}

// disown takes an object out of the inventory that an earlier version of the spoke applied, or would have.
func (r *run) disown(id manifest.ID) {
	if app, _, known := r.Index.Application(id); known && app == r.app {
		r.Index.Forget(id)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.next.Items, id)
}

// giveUp stops the run after an error that every other object would get as well; the caller holds the mutex.
func (r *run) giveUp(err error) {
	if r.fatal == nil && hopeless(err) {
		r.fatal = err
	}
}

// restore puts back what was recorded of an object before the run; the caller holds the mutex.
func (r *run) restore(id manifest.ID) {
	if before, known := r.prior.Items[id]; known {
		r.next.Items[id] = before
		return
	}
	delete(r.next.Items, id)
}

// hopeless reports whether every other object would get the same answer.
func hopeless(err error) bool {
	switch kube.ReasonOf(err) {
	case kube.Unreachable, kube.Unauthorized, kube.Canceled:
		return true
	}
	return false
}

func uncertain(err error) bool {
	var e *kube.Error
	return errors.As(err, &e) && e.Uncertain()
}
