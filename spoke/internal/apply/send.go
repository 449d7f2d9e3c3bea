package apply

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/navefleet/nave/shared/bundle"
	sharedhealth "github.com/navefleet/nave/shared/health"
	"github.com/navefleet/nave/shared/manifest"
	"github.com/navefleet/nave/spoke/internal/health"
	"github.com/navefleet/nave/spoke/internal/inventory"
	"github.com/navefleet/nave/spoke/internal/kube"
)

// result is the result of sending one object.
type result struct {
	item   inventory.Item
	action Action
	live   kube.Live // zero: the API server was not asked
	health health.Report

	found   differences // of the object before, if it had drifted
	changes []FieldChange
	more    int // differences that are not in changes
}

// send brings one object into the cluster. Its errors are redacted and name the object.
func (r *run) send(ctx context.Context, d Object) (result, error) {
	loaded, err := r.admit(ctx, d)
	if err != nil {
		return result{}, err
	}
	defer loaded.release()
	r.define(loaded.Object)
	label(loaded.Object, r.Application)
	out, err := r.place(ctx, d, loaded)
	out.judge(r.Health, r.Application, d)
	loaded.release()
	out.changes, out.more = reveal(out.found, hiderOf(d.ID(), loaded)), out.found.more()
	out.found = differences{}
	return out, redact(err, loaded.Sealed || isSecret(d.ID()), loaded.Redact)
}

// admit loads an object that may be sent. The caller must release it. The errors hold no secret and name the object.
func (r *run) admit(ctx context.Context, d Object) (Loaded, error) {
	if err := r.Permits(d.ObjectIdentity); err != nil {
		return Loaded{}, err
	}
	if err := r.lacks(d.ObjectIdentity); err != nil {
		return Loaded{}, err
	}
	loaded, err := d.Load(ctx)
	if err != nil {
		return Loaded{}, fmt.Errorf("%s: %w", d.ID(), err)
	}
	if err = fit(loaded.Object, d.ObjectIdentity); err == nil {
		err = r.sparesSelf(ctx, d.ObjectIdentity, loaded.Object)
	}
	if err != nil {
		loaded.release()
		return Loaded{}, err
	}
	return loaded, nil
}

// fit returns an error for an object that is not the one whose name the bundle signed, because the local policy was
// asked about that name, and for an object that is still encrypted.
func fit(o *manifest.Object, id bundle.ObjectIdentity) error {
	if o == nil {
		return fmt.Errorf("%s: the bundle has no content for the object", id.ID())
	}
	if got := kube.Identify(o); got != id {
		return fmt.Errorf("%s: the bundle's bytes are those of %s in version %q", id.ID(), got.ID(), got.Version)
	}
	if manifest.IsEncrypted(o) && !manifest.IsDecryptionDisabled(o) {
		return fmt.Errorf("%s is still encrypted with SOPS: it is not applied as ciphertext", id.ID())
	}
	return nil
}

// place applies an object in the mode that its annotations ask for.
func (r *run) place(ctx context.Context, d Object, loaded Loaded) (result, error) {
	o := loaded.Object
	mode := modeOf(o)
	item := inventory.Item{Version: d.Version, Digest: d.Digest, Mode: mode, Expires: expires(o),
		Rules: r.rules}
	switch mode {
	case inventory.Ignore:
		before := r.Previous.Items[d.ID()]
		item.UID, item.Resource, item.Labelled = before.UID, before.Resource, before.Labelled
		return result{item: item, action: Skipped}, nil
	case inventory.IfNotPresent:
		live, err := r.lookWithin(ctx, d.ObjectIdentity, wholeOf(d), loaded.Await)
		if err == nil {
			r.mapped(ctx, &item, d)
			return result{item: record(item, live), action: Unchanged, live: live}, nil
		}
		if kube.ReasonOf(err) != kube.NotFound {
			return result{}, err
		}
	}
	return r.patch(ctx, d, loaded, item)
}

// lookWithin returns the metadata of an object, and the whole object within the memory of await if whole is true. A
// Preview takes no slot, because its memory is counted in full, and it may wait for that.
func (r *run) lookWithin(ctx context.Context, id bundle.ObjectIdentity, whole bool, await kube.Hold) (kube.Live,
	error) {
	if !whole {
		return r.client.Look(ctx, id, false)
	}
	if r.hold == nil {
		done, err := r.taken.take(ctx)
		if err != nil {
			return kube.Live{}, err
		}
		defer done()
	}
	return r.client.LookWhole(ctx, id, await)
}

// patch applies an object: in one request, unless a field is immutable or fields are to be taken over.
func (r *run) patch(ctx context.Context, d Object, loaded Loaded, item inventory.Item) (result, error) {
	o := loaded.Object
	if err := r.spares(ctx, d.ObjectIdentity); err != nil {
		return result{}, err
	}
	if err := r.share(ctx, o, item.Mode, loaded.Await); err != nil {
		return result{}, err
	}
	var found differences
	if drift := r.Index.Drifted(d.ID()); drift.Kind == inventory.Changed && r.Drift != bundle.IgnoreDrift {
		found, _ = r.inspect(ctx, o, item.Mode, drift.Kind, loaded.Hold) // the repair does not depend on it
	}
	applied, err := r.request(ctx, o, kube.ApplyOptions{Whole: wholeOf(d), Hold: loaded.Hold},
		item.Mode.Takeover(r.Application))
	if err != nil {
		return result{}, err
	}
	item.Resource = applied.Mapping.Resource
	out := result{item: record(item, applied.Live), action: Configured, live: applied.Live, found: found}
	switch {
	case applied.Created:
		out.action = Created
	case r.same(d, out.item):
		out.action = Unchanged
	}
	return out, nil
}

// request sends the request of a patch, and those that follow. Created is that of the first one.
func (r *run) request(ctx context.Context, o *manifest.Object, opts kube.ApplyOptions,
	owners kube.Takeover) (kube.Applied, error) {
	applied, err := r.client.Apply(ctx, o, opts)
	if kube.ReasonOf(err) == kube.Invalid && owners != (kube.Takeover{}) {
		applied, err = r.clear(ctx, o, opts, owners, err)
	}
	if kube.ReasonOf(err) == kube.Immutable && forced(o, r.Force) {
		applied, err = r.force(ctx, o, opts, err)
	}
	if err != nil || len(owners.Managers(applied.Live)) == 0 {
		return applied, err
	}
	created := applied.Created
	applied, err = r.takeOver(ctx, o, opts, owners, applied)
	applied.Created = created
	return applied, err
}

// clear applies again after an object was found invalid because of fields that are to be taken over, such as a second
// port of a Service without a name. If there are none, clear returns the refusal.
func (r *run) clear(ctx context.Context, o *manifest.Object, opts kube.ApplyOptions, owners kube.Takeover,
	refused error) (kube.Applied, error) {
	live, err := r.client.Look(ctx, kube.Identify(o), false)
	if err != nil || len(owners.Managers(live)) == 0 {
		return kube.Applied{}, refused
	}
	if err := r.client.Adopt(ctx, live, owners); err != nil {
		return kube.Applied{}, err
	}
	return r.client.Apply(ctx, o, opts)
}

// takeOver makes us the owner of the fields of the Takeover's managers, and applies again, which removes those that are
// not desired. This undoes `kubectl edit` and `kubectl apply` as Flux does, and removes what Flux or Argo CD applied
// and Git does not have any more.
func (r *run) takeOver(ctx context.Context, o *manifest.Object, opts kube.ApplyOptions, owners kube.Takeover,
	applied kube.Applied) (kube.Applied, error) {
	const most = 3 // others may write between the two requests
	for attempt := 1; ; attempt++ {
		err := r.client.Adopt(ctx, applied.Live, owners)
		if err != nil && kube.ReasonOf(err) != kube.Conflict {
			return applied, err
		}
		again, failed := r.client.Apply(ctx, o, opts)
		if failed != nil {
			return applied, failed
		}
		applied = again
		if len(owners.Managers(applied.Live)) == 0 || attempt == most {
			return applied, nil
		}
	}
}

// force makes an object anew after a refusal, unless its deletion would delete data or other objects.
func (r *run) force(ctx context.Context, o *manifest.Object, opts kube.ApplyOptions, refused error) (kube.Applied,
	error) {
	if holdsOthers(o) {
		return kube.Applied{}, notForced(refused, o.GetKind())
	}
	return r.recreate(ctx, o, opts)
}

// notForced adds the reason why the object is not made anew to a refusal.
func notForced(err error, kind string) error {
	refused, ok := errors.AsType[*kube.Error](err)
	if !ok {
		return err
	}
	e := *refused
	e.Message += fmt.Sprintf(". It is not deleted and created again, although force is set: that would delete what the "+
		"%s holds. Undo the change, or delete the %s by hand", kind, kind)
	return &e
}

// recreate deletes an object of ours, waits until the object is gone, and makes it anew.
func (r *run) recreate(ctx context.Context, o *manifest.Object, opts kube.ApplyOptions) (kube.Applied, error) {
	id := kube.Identify(o)
	_, live, err := r.deleteSeen(ctx, id, func(live kube.Live) (verdict, error) {
		return deleteIt, r.needsOwn(id.ID(), live)
	})
	if err != nil {
		return kube.Applied{}, err
	}
	if live.UID != "" {
		if err := r.awaitGone(ctx, id, live.UID, recreateTimeout); err != nil {
			return kube.Applied{}, err
		}
	}
	return r.client.Apply(ctx, o, opts)
}

// same reports whether an apply made no change. In this case the API server moves neither resourceVersion nor the time
// of the last apply. The resourceVersion also moves when others write; the time has a resolution of a second.
func (r *run) same(d Object, after inventory.Item) bool {
	before, known := r.Previous.Items[d.ID()]
	if !known || before.UID != after.UID {
		return false
	}
	if before.ResourceVersion == after.ResourceVersion {
		return true
	}
	return before.Digest == after.Digest && before.Managed == after.Managed && before.AppliedAt.Equal(after.AppliedAt) &&
		!r.Index.Drifted(d.ID()).Any()
}

func wholeOf(d Object) bool {
	return !sharedhealth.MetadataOnly(d.ID().GroupKind())
}

// record returns the item with the API server's answer filled in.
func record(item inventory.Item, live kube.Live) inventory.Item {
	item.UID, item.ResourceVersion = live.UID, live.ResourceVersion
	item.Managed, item.AppliedAt = live.Managed, live.AppliedAt
	item.Labelled = live.Labels[inventory.Label] != ""
	return item
}

// mapped fills in where the kind is served, for the watch and for the next start.
func (r *run) mapped(ctx context.Context, item *inventory.Item, d Object) {
	m, err := r.client.Mapping(ctx, d.ID().GroupKind().WithVersion(d.Version))
	if err == nil { // it was found a moment ago
		item.Resource = m.Resource
	}
}

// judge fills in the health of an answer, and forgets the whole object. The health of an answer that there was no
// memory for stays Unknown.
func (res *result) judge(by *health.Assessor, app bundle.ApplicationName, d Object) {
	switch {
	case res.live.UID == "":
	case res.live.Object != nil || !wholeOf(d):
		res.health = by.Judge(app, res.live)
	default:
		res.health = health.Report{Status: sharedhealth.Unknown,
			Message: "the answer to the apply was larger than the memory that was free"}
	}
	res.live.Object = nil
}

// noteHealth puts the health of an answer into the index, which is faster than the watch. If the health is unknown, the
// watch looks at the object.
func (r *run) noteHealth(id manifest.ID, res result) {
	h := res.health
	if h.Status == "" {
		return
	}
	r.Index.SetHealth(id, res.live.ResourceVersion, h.Status, h.Reason, h.Message, time.Now())
	if h.Status == sharedhealth.Unknown {
		r.Index.Doubt(id)
	}
}

// redact takes secret values out of an error before the error leaves this package. With bare, the text of the API
// server about an invalid object is left out altogether. An error of the network is not changed.
func redact(err error, bare bool, hide func(string) string) error {
	if err == nil {
		return nil
	}
	if hide == nil {
		hide = func(s string) string { return s }
	}
	e, ok := errors.AsType[*kube.Error](err)
	switch {
	case !ok:
		return errors.New(hide(err.Error()))
	case e.Reason == kube.Unreachable || e.Reason == kube.Canceled:
		return e
	}
	return e.Redacted(hide, bare)
}

func isSecret(id manifest.ID) bool { return id.Group == "" && id.Kind == "Secret" }
