// Package objects applies, restores, awaits and removes the objects of releases of Helm.
//
// An Objects is the objects of one release in the cluster. It implements release.Cluster with the same Applier that
// applies all other applications: inventory, label, pruning, policy and protection of the spoke are the same. In
// addition objects get the marks by which Helm knows its own, and an object whose resource policy is keep stays.
package objects

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/manifest"
	"github.com/navefleet/nave/spoke/internal/apply"
	"github.com/navefleet/nave/spoke/internal/inventory"
	"github.com/navefleet/nave/spoke/internal/kube"
	"github.com/navefleet/nave/spoke/internal/release"
)

// The marks by which Helm knows the objects of a release.
const (
	managedByLabel      = "app.kubernetes.io/managed-by"
	managedBy           = "Helm"
	nameAnnotation      = "meta.helm.sh/release-name"
	namespaceAnnotation = "meta.helm.sh/release-namespace"
	policyAnnotation    = "helm.sh/resource-policy"
	keep                = "keep"
)

// Objects is the objects of one release. It is used by one goroutine at a time.
type Objects struct {
	Applier *apply.Applier
	Client  *kube.Client // with the account of the application
	Release *bundle.Release
	// Set is the desired objects, and how they are applied. Set.Previous is changed with each call. Its modes of drift
	// are those of Repair.
	Set         apply.Set
	Definitions []apply.Object // of Release.CRDs

	// Held is the prune that the Guard held; nil: it held none. It is no failure of the release.
	Held *apply.GuardError

	of      *bundle.Release         // that current belongs to
	current []apply.Object          // that were applied last
	created []bundle.ObjectIdentity // by the last apply
	changes []*apply.ChangeSet
}

// Keeps reports whether an object stays in the cluster when its release does not have it any more.
func Keeps(live kube.Live) bool { return live.Annotations[policyAnnotation] == keep }

// Apply applies the desired objects, and deletes those that left.
func (o *Objects) Apply(ctx context.Context, options bundle.ReleaseAction) error {
	if options.KeepOwners {
		if err := o.checkOwners(ctx); err != nil {
			return err
		}
	}
	return o.bring(ctx, o.Release, o.Set.Objects, options.Force)
}

// Restore applies the objects of a record, and deletes those that it does not have. Of a release that is to get another
// name, the record has the old one.
func (o *Objects) Restore(ctx context.Context, of release.Identity, objects []*manifest.Object,
	options bundle.ReleaseAction) error {
	restored, err := ofRecord(objects)
	if err != nil {
		return err
	}
	return o.bring(ctx, named(of), restored, options.Force)
}

// named returns a release of which only the names are known.
func named(of release.Identity) *bundle.Release {
	return &bundle.Release{Name: of.Name, Namespace: of.Namespace}
}

// ofRecord returns objects of a record as they are applied.
func ofRecord(objects []*manifest.Object) ([]apply.Object, error) {
	restored := make([]apply.Object, 0, len(objects))
	for _, object := range objects {
		data, err := manifest.Canonical(object)
		if err != nil {
			return nil, fmt.Errorf("%s cannot be written as JSON", manifest.IDOf(object))
		}
		reference := bundle.ObjectReference{ObjectIdentity: kube.Identify(object), Digest: manifest.DigestOf(data)}
		restored = append(restored, apply.Object{ObjectReference: reference,
			Load: func(context.Context) (apply.Loaded, error) {
				return apply.Loaded{Object: object.DeepCopy(), Sealed: true}, nil // a record may hold secrets anywhere
			}})
	}
	return restored, nil
}

// bring makes these the objects of a release.
func (o *Objects) bring(ctx context.Context, r *bundle.Release, objects []apply.Object, force bool) error {
	set := o.Set
	objects = slices.Clone(objects)
	for i := range objects {
		objects[i].Again = objects[i].Again || objects[i].Made
	}
	set.Objects, set.Force, set.Reapply, set.Drift = objects, force, false, bundle.CorrectDrift
	o.of, o.current, o.created = r, objects, nil
	if err := o.send(ctx, r, set); err != nil || isHeldAlone(o.Last()) {
		return err
	}
	return o.Last().Err()
}

// Repair applies the desired objects again if they drifted or were not applied as a whole, as the Set says. The errors
// of single objects are in Last.
func (o *Objects) Repair(ctx context.Context) error { return o.send(ctx, o.Release, o.Set) }

// RepairAs does as Repair does, with the objects of the record that the cluster has.
func (o *Objects) RepairAs(ctx context.Context, of release.Identity, objects []*manifest.Object) error {
	set := o.Set
	var err error
	if set.Objects, err = ofRecord(objects); err != nil {
		return err
	}
	for i, object := range set.Objects {
		if item := o.Set.Previous.Items[object.ID()]; !item.Digest.IsZero() {
			set.Objects[i].Digest = item.Digest // with placeholders it is another one
		}
	}
	return o.send(ctx, named(of), set)
}

// NeedsRepair reports whether an object drifted, or all are to be applied again, and the Set does not ignore that.
func (o *Objects) NeedsRepair() bool {
	if o.Set.Drift == bundle.IgnoreDrift || o.Set.Previous == nil {
		return false
	}
	return o.Set.Reapply || slices.ContainsFunc(o.Set.Previous.IDs(), func(id manifest.ID) bool {
		return o.Applier.Index.Drifted(id).Any()
	})
}

// send applies a set of objects of a release. The errors of single objects are in Last.
func (o *Objects) send(ctx context.Context, r *bundle.Release, set apply.Set) error {
	set.Prune, set.Spare, set.Objects = true, Keeps, Marked(r, set.Objects)
	changes, err := o.Applier.Apply(ctx, set)
	o.note(changes)
	o.Held = nil
	for _, e := range changes.Entries {
		if e.Action == apply.Created {
			o.created = append(o.created, e.Object)
		}
		if held, is := errors.AsType[*apply.GuardError](e.Err); is && o.Held == nil {
			o.Held = held
		}
	}
	return err
}

// isHeldAlone reports whether no object was refused but those of a held prune.
func isHeldAlone(changes *apply.ChangeSet) bool {
	return !slices.ContainsFunc(changes.Failed(), func(e apply.Entry) bool {
		_, held := errors.AsType[*apply.GuardError](e.Err)
		return !held
	})
}

func (o *Objects) note(changes *apply.ChangeSet) {
	o.Set.Previous = changes.Inventory
	o.changes = append(o.changes, changes)
}

// Changes returns what all calls did, with the inventory of the last one; nil if nothing was applied or removed.
func (o *Objects) Changes() *apply.ChangeSet {
	if len(o.changes) == 0 {
		return nil
	}
	all := &apply.ChangeSet{Application: o.Set.Application, Inventory: o.Set.Previous}
	for _, c := range o.changes {
		all.Entries, all.Duration = append(all.Entries, c.Entries...), all.Duration+c.Duration
	}
	return all
}

// Last returns what the last call did; nil if nothing was applied or removed.
func (o *Objects) Last() *apply.ChangeSet {
	if len(o.changes) == 0 {
		return nil
	}
	return o.changes[len(o.changes)-1]
}

// Delete deletes objects as a Removal says.
func (o *Objects) Delete(ctx context.Context, m apply.Removal) error {
	changes, err := o.Applier.Delete(ctx, m)
	o.note(changes)
	if err == nil {
		err = changes.Err()
	}
	return err
}

// Marked returns the objects of a release with the marks by which Helm knows its own. The marks are in no record. The
// error of an object that cannot be loaded is release.ErrUnread.
func Marked(r *bundle.Release, objects []apply.Object) []apply.Object {
	marked := slices.Clone(objects)
	for i, object := range objects {
		marked[i].Load = func(ctx context.Context) (apply.Loaded, error) {
			loaded, err := object.Load(ctx)
			if err != nil {
				return loaded, fmt.Errorf("%w: %w", release.ErrUnread, err)
			}
			if loaded.Object != nil {
				own(r, loaded.Object)
			}
			return loaded, nil
		}
	}
	return marked
}

// own marks an object as one of the release, as Helm does.
func own(r *bundle.Release, object *manifest.Object) {
	labels, annotations := object.GetLabels(), object.GetAnnotations()
	if labels == nil {
		labels = map[string]string{}
	}
	if annotations == nil {
		annotations = map[string]string{}
	}
	labels[managedByLabel] = managedBy
	annotations[nameAnnotation], annotations[namespaceAnnotation] = r.Name, r.Namespace
	object.SetLabels(labels)
	object.SetAnnotations(annotations)
}

// checkOwners returns an error if an object exists that does not belong to the release.
func (o *Objects) checkOwners(ctx context.Context) error {
	for _, object := range o.Set.Objects {
		live, err := o.Client.Look(ctx, object.ObjectIdentity, false)
		if reason := kube.ReasonOf(err); reason == kube.NotFound || reason == kube.NoMatch {
			continue
		}
		if err != nil {
			return err
		}
		if !o.owns(live) {
			return fmt.Errorf("%s exists and does not belong to release %s/%s; delete it, or let the release take it over",
				object.ID(), o.Release.Namespace, o.Release.Name)
		}
	}
	return nil
}

// Prune deletes objects that Helm or Flux applied for the release. An object stays if it belongs to another release or
// application by now, or if its marks say so.
func (o *Objects) Prune(ctx context.Context, ids []bundle.ObjectIdentity) error {
	var errs []error
	for _, id := range ids {
		if err := o.prune(ctx, id); err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

func (o *Objects) prune(ctx context.Context, id bundle.ObjectIdentity) error {
	if _, _, owned := o.Applier.Index.Application(id.ID()); owned {
		return nil
	}
	live, err := o.Client.Look(ctx, id, false)
	if reason := kube.ReasonOf(err); reason == kube.NotFound || reason == kube.NoMatch {
		return nil
	}
	if err != nil {
		return err
	}
	if Keeps(live) || live.Marks().IsPruneDisabled() || live.Labels[inventory.Label] != "" || !o.owns(live) {
		return nil
	}
	if err := o.Applier.Permits(id); err != nil {
		return err
	}
	err = o.Client.Delete(ctx, id, kube.DeleteOptions{UID: live.UID})
	if kube.ReasonOf(err) == kube.NotFound {
		return nil
	}
	return err
}

// owns reports whether Helm knows an object as one of the release: all three marks count.
func (o *Objects) owns(live kube.Live) bool {
	return live.Labels[managedByLabel] == managedBy && live.Annotations[nameAnnotation] == o.Release.Name &&
		live.Annotations[namespaceAnnotation] == o.Release.Namespace
}

// Discard deletes the objects that the last Apply or Restore created.
func (o *Objects) Discard(ctx context.Context) error {
	if len(o.created) == 0 {
		return nil
	}
	rest := slices.DeleteFunc(slices.Clone(o.current), func(object apply.Object) bool {
		return slices.Contains(o.created, object.ObjectIdentity)
	})
	return o.bring(ctx, o.of, rest, false)
}

var propagations = map[bundle.Propagation]metav1.DeletionPropagation{
	bundle.Background: metav1.DeletePropagationBackground, bundle.Foreground: metav1.DeletePropagationForeground,
	bundle.OrphanOwned: metav1.DeletePropagationOrphan,
}

// Remove deletes the objects, and waits until they are gone unless the options say otherwise.
func (o *Objects) Remove(ctx context.Context, options bundle.ReleaseAction) error {
	removal := apply.Removal{Target: o.Set.Target, Policy: bundle.WaitForTermination, Timeout: options.Timeout}
	if options.DisableWait {
		removal.Policy = bundle.Delete
	}
	if deadline, limited := ctx.Deadline(); limited {
		rest := time.Until(deadline)
		removal.Timeout = rest - min(time.Second, rest/10) // so that the error names the objects that are not gone
	}
	removal.Spare, removal.Propagation = Keeps, propagations[options.Propagation]
	return o.Delete(ctx, removal)
}

// CreateNamespace creates a namespace unless it exists.
func (o *Objects) CreateNamespace(ctx context.Context, name string) error {
	namespace := &manifest.Object{Object: map[string]any{"apiVersion": "v1", "kind": "Namespace",
		"metadata": map[string]any{"name": name}}}
	if err := o.Applier.Permits(kube.Identify(namespace)); err != nil {
		return err
	}
	_, err := o.Client.Create(ctx, namespace, kube.ApplyOptions{})
	if kube.ReasonOf(err) == kube.Exists {
		return nil
	}
	return err
}

// AllowHook returns an error for a hook that the release must not create or delete: nothing may change the object here,
// or it belongs to another application.
func (o *Objects) AllowHook(id bundle.ObjectIdentity) error {
	if err := o.Applier.Permits(id); err != nil {
		return err
	}
	owner, _, owned := o.Applier.Index.Application(id.ID())
	if !owned && o.Set.Claimed != nil {
		owner, owned = o.Set.Claimed(id.ID())
	}
	if owned && owner != o.Set.Application {
		return fmt.Errorf("%s belongs to %s; give the hook another name", id.ID(), owner)
	}
	return nil
}

var errNoContent = errors.New("the bundle has no content for the object")
