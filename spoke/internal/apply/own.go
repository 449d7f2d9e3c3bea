package apply

import (
	"context"
	"errors"
	"fmt"

	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/manifest"
	"github.com/navefleet/nave/spoke/internal/inventory"
	"github.com/navefleet/nave/spoke/internal/kube"
	"github.com/navefleet/nave/spoke/internal/trust"
)

// mostLooks is the most times that an object is read for one deletion, if others write it between read and deletion.
const mostLooks = 5

// label puts the spoke's label on an object that is about to be sent. If the object's labels are no map, the API server
// will refuse them.
func label(o *manifest.Object, app bundle.ApplicationName) {
	metadata, _ := o.Object["metadata"].(map[string]any)
	if metadata == nil {
		return
	}
	labels, ok := metadata["labels"].(map[string]any)
	if !ok && metadata["labels"] != nil {
		return
	}
	if labels == nil {
		labels = map[string]any{}
		metadata["labels"] = labels
	}
	labels[inventory.Label] = inventory.LabelOf(app)
}

// verdict is the decision whether a live object is deleted.
type verdict int

const (
	deleteIt verdict = iota
	leaveIt
	onItsWay // the object is being deleted already, or it is gone
)

// deleteSeen looks at an object, lets judge decide, and deletes exactly the object that it saw: UID and resourceVersion
// are conditions of the request. If the object was written in between, deleteSeen looks and decides again. If the
// answer leaves open whether the object was deleted, deleteSeen looks at the object again. deleteSeen returns the
// verdict, and the object as it was seen last.
func (r *run) deleteSeen(ctx context.Context, id bundle.ObjectIdentity,
	judge func(kube.Live) (verdict, error)) (verdict, kube.Live, error) {
	var refused error
	for range mostLooks {
		live, err := r.client.Look(ctx, id, false)
		if kube.ReasonOf(err) == kube.NoMatch {
			live, err = r.lookElsewhere(ctx, &id)
		}
		if reason := kube.ReasonOf(err); reason == kube.NotFound || reason == kube.NoMatch || err == nil && live.Deleting {
			return onItsWay, live, nil
		}
		if err != nil {
			return leaveIt, live, err
		}
		if refused != nil && kube.ReasonOf(refused) != kube.Conflict {
			return leaveIt, live, refused // it was not carried out
		}
		decided, err := judge(live)
		if err != nil || decided != deleteIt {
			return decided, live, err
		}
		refused = r.client.Delete(ctx, id, kube.DeleteOptions{UID: live.UID,
			ResourceVersion: live.ResourceVersion, Propagation: r.Propagation})
		switch {
		case refused == nil, kube.ReasonOf(refused) == kube.NotFound:
			return deleteIt, live, nil
		case kube.ReasonOf(refused) != kube.Conflict && !kube.Uncertain(refused):
			return leaveIt, live, refused
		}
	}
	return leaveIt, kube.Live{}, refused
}

// lookElsewhere looks at an object whose recorded version is not served in a version that is served, and sets the
// version of id.
func (r *run) lookElsewhere(ctx context.Context, id *bundle.ObjectIdentity) (kube.Live, error) {
	m, err := r.client.AnyVersion(ctx, id.ID().GroupKind())
	if err != nil {
		return kube.Live{}, err
	}
	id.Version = m.Version
	return r.client.Look(ctx, *id, false)
}

// trace finds out whether an object was applied although its request failed. It returns the item of the inventory, and
// whether the object stays there: an object that does not prove to be ours was not applied.
func (r *run) trace(ctx context.Context, d Object, refused error) (item inventory.Item, stays bool) {
	item = r.marked(d)
	if !kube.Uncertain(refused) {
		return item, false
	}
	if hopeless(refused) {
		return item, true // a read now would get no answer either; the next apply or prune reads the object
	}
	live, err := r.client.Look(ctx, d.ObjectIdentity, false)
	if kube.ReasonOf(err) == kube.NotFound || err == nil && !item.Proves(live, r.Application) {
		return item, false
	}
	if err != nil {
		return item, true
	}
	r.mapped(ctx, &item, d)
	return record(item, live), true
}

// sparesSelf returns an error for a binding that gives the spoke its rights, as the binding is in the cluster or as it
// would be applied. The live binding is read with the spoke's own account, because an account that may write bindings
// need not be allowed to read them.
func (r *run) sparesSelf(ctx context.Context, id bundle.ObjectIdentity, desired *manifest.Object) error {
	if !trust.IsBinding(id) || r.Self.Namespace == "" {
		return nil
	}
	if err := r.Self.AllowsBinding(desired); err != nil {
		return err
	}
	live, err := r.Client.Look(ctx, id, true)
	if reason := kube.ReasonOf(err); reason == kube.NotFound || reason == kube.NoMatch {
		return nil
	}
	return errors.Join(err, r.Self.AllowsBinding(live.Object))
}

// marked returns the inventory's item of an object that is being sent.
func (r *run) marked(d Object) inventory.Item {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.next.Items[d.ID()]
}

// needsOwn returns an error if a live object is not ours, because it may not be deleted to be made anew.
func (r *run) needsOwn(id manifest.ID, live kube.Live) error {
	if r.Previous.Items[id].Proves(live, r.Application) {
		return nil
	}
	if other := live.Labels[inventory.Label]; other != "" {
		return fmt.Errorf("%s must be deleted and created again to change an immutable field, but it belongs to "+
			"application %s", id, other)
	}
	return fmt.Errorf("%s must be deleted and created again to change an immutable field, but it is not this "+
		"spoke's: delete it by hand", id)
}
