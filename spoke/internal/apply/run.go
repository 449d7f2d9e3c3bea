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

// Apply brings a set into the cluster. The ChangeSet is never nil, and its inventory lists the objects that are owned
// afterwards. Objects that were refused have an error in the ChangeSet. Apply returns an error if it could not go on:
// the context ended (a newer bundle came), the API server does not answer, the state cannot be written, or the account
// cannot be impersonated.
func (a *Applier) Apply(ctx context.Context, s Set) (*ChangeSet, error) {
	started := time.Now()
	r, err := a.start(s)
	if err == nil {
		err = r.applyAll(ctx)
	}
	if err != nil {
		err = fmt.Errorf("apply %s: %w", s.Application, err)
	}
	return r.changes(started), err
}

// run is one running Apply or Delete.
type run struct {
	*Applier
	Set                 // Previous is not changed; of a Delete, only the Target is set
	client *kube.Client // with the account of the Target

	generated map[manifest.ID][][]string // paths of fields, by object

	ignored bundle.IgnoredFields
	rules   manifest.Digest // of Ignore
	shown   int             // index of the last object whose drifted fields are kept
	hold    kube.Hold       // of the object that a Preview looks at; nil: memory is not counted

	mu        sync.Mutex // guards everything below while objects are sent
	next      *inventory.Inventory
	unsaved   bool
	entries   []Entry
	defined   map[schema.GroupKind]bundle.ObjectIdentity // kinds that a CustomResourceDefinition sent in this run defines
	refused   map[manifest.ID]bool                       // objects that were refused
	leftAlone map[manifest.ID]bool                       // objects of Flux that are marked in the cluster alone
	unlisted  map[schema.GroupKind]bool                  // kinds whose objects of Flux could not be listed
	broken    map[schema.GroupKind]bundle.ObjectIdentity // kinds whose CustomResourceDefinition was refused
	fatal     error                                      // why no more objects are sent
}

// start begins a run. If the account cannot be impersonated, start returns an error and a run without entries.
func (a *Applier) start(s Set) (*run, error) {
	if s.Previous == nil {
		s.Previous = inventory.New(s.Application)
	}
	if s.Save == nil {
		s.Save = func(*inventory.Inventory) error { return nil }
	}
	r := &run{
		Applier: a, Set: s, client: a.Client, next: s.Previous.Clone(), refused: map[manifest.ID]bool{},
		leftAlone: map[manifest.ID]bool{}, unlisted: map[schema.GroupKind]bool{}, generated: map[manifest.ID][][]string{},
		defined: map[schema.GroupKind]bundle.ObjectIdentity{}, broken: map[schema.GroupKind]bundle.ObjectIdentity{},
	}
	r.next.Application = s.Application
	for _, d := range s.Objects {
		if len(d.Generated) > 0 {
			r.generated[d.ID()] = d.Generated
		}
	}
	var err error
	if r.ignored, err = bundle.ReadIgnoreRules(s.Ignore); err != nil {
		return r, err
	}
	r.rules = digestOfRules(s.Ignore)
	if s.ServiceAccount == "" {
		return r, nil
	}
	r.client, err = a.Client.As(s.Application.Namespace, s.ServiceAccount)
	return r, err
}

// changes returns the ChangeSet. Pruned objects are sorted, so that the same failure reads the same each time.
func (r *run) changes(started time.Time) *ChangeSet {
	pruned := r.entries[min(len(r.Objects), len(r.entries)):]
	slices.SortStableFunc(pruned, func(a, b Entry) int { return manifest.Compare(a.Object.ID(), b.Object.ID()) })
	return &ChangeSet{Application: r.Application, Entries: r.entries, Inventory: r.next, Duration: time.Since(started)}
}

func (r *run) applyAll(ctx context.Context) error {
	r.dropNamespaces(ctx)
	send, drifted := r.decide()
	r.foresee()
	if err := r.noteSpared(ctx, send); err != nil {
		return err
	}
	if err := r.mark(send); err != nil {
		return err
	}
	each(drifted, func(i int) { r.lookAt(ctx, i) })
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

// decide makes the entries and returns the indexes of the objects to send, and of those that drifted and are not sent.
// An object that is recorded with the same digest and did not drift is not sent either.
func (r *run) decide() (send, drifted []int) {
	r.entries = make([]Entry, len(r.Objects))
	seen, all := make(map[manifest.ID]bool, len(r.Objects)), 0
	for i, d := range r.Objects {
		id := d.ID()
		r.entries[i] = Entry{Object: d.ObjectIdentity, Action: Unchanged}
		if r.Drift != bundle.IgnoreDrift {
			r.entries[i].Drift = r.Index.Drifted(id)
		}
		if r.entries[i].Drift.Any() && all < maxShown {
			all, r.shown = all+1, i
		}
		item, known := r.Previous.Items[id]
		switch {
		case seen[id]:
			r.entries[i].Action, r.entries[i].Err = Refused, fmt.Errorf("%s is in %s twice", id, r.Application)
		case known && r.isCurrent(item, d) && !r.entries[i].Drift.Any():
			r.claim(id, item)
		case known && r.isCurrent(item, d) && r.Drift == bundle.WarnOfDrift:
			drifted = append(drifted, i)
		default:
			send = append(send, i)
		}
		seen[id] = true
	}
	return send, drifted
}

// isCurrent reports whether an object was sent as it is now, so that only drift is a reason to send it again.
func (r *run) isCurrent(item inventory.Item, d Object) bool {
	return wasSent(item) && !item.Kept && item.Digest == d.Digest && item.Rules == r.rules && !r.Reapply && !d.Again &&
		r.Self.Allows(d.ObjectIdentity) == nil
}

// wasSent reports whether the result of sending the object is known, and the object was sent with the label.
func wasSent(i inventory.Item) bool {
	return (i.UID != "" || i.Mode == inventory.Ignore) && !i.LacksLabel()
}

// claim puts an unchanged object into the index, unless the index has it.
func (r *run) claim(id manifest.ID, item inventory.Item) {
	if !r.owns(id) {
		r.Index.Begin(r.Application, id)
		r.Index.Commit(r.Application, id, item)
	}
}

// owns reports whether the index has the object as one of this application.
func (r *run) owns(id manifest.ID) bool {
	app, _, known := r.Index.Application(id)
	return known && app == r.Application
}

// forget takes an object of this application out of the index.
func (r *run) forget(id manifest.ID) {
	if r.owns(id) {
		r.Index.Forget(id)
	}
}

// mark saves the inventory in which every object that is about to be sent is marked as to be sent again. After a crash
// no object is lost, and no object that changed is taken for unchanged.
func (r *run) mark(send []int) error {
	if len(send) == 0 {
		return nil
	}
	for _, i := range send {
		d := r.Objects[i]
		item, known := r.next.Items[d.ID()]
		if !known {
			item.Version = d.Version
		}
		item.Digest = manifest.Digest{}
		r.next.Items[d.ID()] = item
	}
	if err := r.Save(r.next); err != nil && !r.owned(send) {
		r.next = r.Previous.Clone() // no object was sent
		return fmt.Errorf("save the inventory before the apply: %w", err)
	}
	r.unsaved = true
	return nil
}

// owned reports whether the saved inventory has all of these objects. Such objects can be sent on a full disk: after a
// crash the watch sees that they differ from the inventory.
func (r *run) owned(send []int) bool {
	return !slices.ContainsFunc(send, func(i int) bool { return r.Previous.Items[r.Objects[i].ID()].UID == "" })
}

// finish saves the inventory if it changed. Without this save the next apply sends the same objects again, which is
// harmless.
func (r *run) finish() error {
	if !r.unsaved {
		return nil
	}
	if err := r.Save(r.next); err != nil {
		return fmt.Errorf("save the inventory after the apply: %w", err)
	}
	return nil
}

// sendStage sends the objects of one stage and waits for all.
func (r *run) sendStage(ctx context.Context, send []int, stage int) {
	var now []int
	for _, i := range send {
		if manifest.Stage(r.Objects[i].ID()) == stage {
			now = append(now, i)
		}
	}
	each(now, func(i int) { r.sendOne(ctx, i) })
}

// each calls do for every item, several at a time, and waits for all.
func each[T any](items []T, do func(T)) {
	var g errgroup.Group
	g.SetLimit(concurrency)
	for _, item := range items {
		g.Go(func() error {
			do(item)
			return nil
		})
	}
	_ = g.Wait()
}

// sendOne sends one object and records the result.
func (r *run) sendOne(ctx context.Context, i int) {
	d := r.Objects[i]
	id := d.ID()
	if err := r.stopped(ctx); err != nil {
		r.fail(i, fmt.Errorf("%s was not sent: %w", id, err))
		return
	}
	r.Index.Begin(r.Application, id)
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
	r.Index.Commit(r.Application, id, result.item)
	r.noteHealth(id, result)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.next.Items[id] = result.item
	r.entries[i].Action = result.action
	r.show(i, result.changes, result.more)
}

// lookAt finds out how an object drifted, and leaves it as it is. If its fields are as they should be by now, it did
// not drift.
func (r *run) lookAt(ctx context.Context, i int) {
	e := &r.entries[i]
	e.Action = Drifted
	loaded, err := r.Objects[i].Load(ctx)
	if err != nil {
		return // it is reported without its fields
	}
	defer loaded.release()
	label(loaded.Object, r.Application)
	mode := modeOf(loaded.Object)
	var found differences
	if err = r.share(ctx, loaded.Object, mode, loaded.Await); err == nil {
		found, err = r.inspect(ctx, loaded.Object, mode, e.Drift.Kind, loaded.Hold)
	}
	loaded.release()
	r.show(i, reveal(found, hiderOf(e.Object.ID(), loaded)), found.more())
	if err == nil && found.count == 0 && e.Drift.Kind == inventory.Changed {
		e.Action, e.Drift = Unchanged, inventory.Drift{}
	}
}

// show notes the fields of an object that drifted.
func (r *run) show(i int, changes []FieldChange, more int) {
	if i > r.shown {
		changes, more = nil, more+len(changes)
	}
	r.entries[i].Changes, r.entries[i].More = changes, more
}

// stopped returns why no more objects should be sent; nil if the run continues.
func (r *run) stopped(ctx context.Context) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.fatal == nil && ctx.Err() != nil {
		r.fatal = context.Cause(ctx)
	}
	return r.fatal
}

// fail records that an object was refused. The inventory keeps the object's item of before.
func (r *run) fail(i int, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	id := r.Objects[i].ID()
	r.entries[i].Action, r.entries[i].Err = Refused, err
	r.refused[id] = true
	if before, known := r.Previous.Items[id]; known {
		r.next.Items[id] = before
	} else {
		delete(r.next.Items, id)
	}
	r.giveUp(err)
}

// note puts an object that may have been changed into the inventory.
func (r *run) note(id manifest.ID, item inventory.Item) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.next.Items[id] = item
}

// disown takes an object out of the inventory that an earlier version of the spoke applied, or would have applied.
func (r *run) disown(id manifest.ID) {
	r.forget(id)
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

// hopeless reports whether every other object would get the same error.
func hopeless(err error) bool {
	switch kube.ReasonOf(err) {
	case kube.Unreachable, kube.Unauthorized, kube.Canceled:
		return true
	}
	return false
}
