package kube

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"

	"k8s.io/apimachinery/pkg/api/validate/content"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/manifest"
)

// ApplyOptions are the options of an apply.
type ApplyOptions struct {
	FieldManager string // empty: FieldManager
	Whole        bool   // return the whole object
	DryRun       bool   // return what the object would be, and change nothing
	// Hold is of the whole object. If there is no memory for it, the answer to a dry run is not read; another one is read
	// without the whole object.
	Hold Hold
}

// Hold acquires memory for an object before the object is read from its JSON. If it returns an error, the object is not
// read, and the error is that of the call. nil: no memory is acquired.
type Hold func(json []byte) error

func (h Hold) acquire(json []byte) error {
	if h == nil {
		return nil
	}
	return h(json)
}

// Applied is an object as it is after an apply.
type Applied struct {
	Live
	Mapping Mapping
	Created bool // the object did not exist before
}

// Apply sends an object by server-side apply, in one PATCH: no read before, no dry run. Fields that another manager
// owns are taken over.
func (c *Client) Apply(ctx context.Context, o *manifest.Object, opts ApplyOptions) (Applied, error) {
	r, err := c.on(ctx, "apply", Identify(o))
	if err != nil {
		return Applied{}, err
	}
	if r.body, err = manifest.Canonical(o); err != nil {
		return Applied{}, &Error{Op: "apply", Object: r.object, Reason: Invalid, Message: "cannot be written as JSON",
			err: err}
	}
	manager := cmp.Or(opts.FieldManager, FieldManager)
	r.method, r.contentType, r.accept = http.MethodPatch, mediaApply, accept(opts.Whole)
	r.query = url.Values{"fieldManager": {manager}, "force": {"true"}}
	if opts.DryRun {
		r.query.Set("dryRun", "All")
	}
	applied := Applied{Mapping: r.mapping}
	r.read = func(body []byte, code int) (err error) {
		failed := opts.Hold.acquire(body)
		if failed != nil && opts.DryRun {
			return failed
		}
		applied.Created = code == http.StatusCreated
		applied.Live, err = readLive(body, r.mapping, manager, opts.Whole && failed == nil)
		return err
	}
	_, _, err = c.do(ctx, r)
	return applied, err
}

// Create creates an object. If the object exists, the reason of the error is Exists.
func (c *Client) Create(ctx context.Context, o *manifest.Object, opts ApplyOptions) (Applied, error) {
	r, err := c.on(ctx, "create", Identify(o))
	if err != nil {
		return Applied{}, err
	}
	if r.body, err = manifest.Canonical(o); err != nil {
		return Applied{}, &Error{Op: "create", Object: r.object, Reason: Invalid, Message: "cannot be written as JSON",
			err: err}
	}
	manager := cmp.Or(opts.FieldManager, FieldManager)
	r.method, r.contentType, r.accept = http.MethodPost, mediaJSON, accept(opts.Whole)
	r.path, r.query = r.mapping.collection(o.GetNamespace()), url.Values{"fieldManager": {manager}}
	if opts.DryRun {
		r.query.Set("dryRun", "All")
	}
	body, _, err := c.do(ctx, r)
	if err != nil {
		return Applied{}, err
	}
	live, err := readLive(body, r.mapping, manager, opts.Whole)
	return Applied{Live: live, Mapping: r.mapping, Created: true}, wrong("create", r.object, err)
}

// Adopt makes our manager the owner of all fields of the managers that the Takeover includes, so that the next apply
// removes fields that are not desired. If the object changed since live was read, the reason of the error is Conflict.
func (c *Client) Adopt(ctx context.Context, live Live, t Takeover) error {
	r, err := c.on(ctx, "adopt", live.ID)
	if err != nil {
		return err
	}
	entries, err := adopted(live, FieldManager, t)
	if err != nil {
		return wrong("adopt", r.object, err)
	}
	r.body, err = json.Marshal([]map[string]any{
		{"op": "test", "path": "/metadata/uid", "value": live.UID},
		{"op": "replace", "path": "/metadata/resourceVersion", "value": live.ResourceVersion},
		{"op": "replace", "path": "/metadata/managedFields", "value": entries},
	})
	if err != nil {
		return wrong("adopt", r.object, err)
	}
	r.method, r.contentType, r.accept = http.MethodPatch, mediaJSONPatch, mediaMetadata
	r.query = url.Values{"fieldManager": {FieldManager}}
	_, _, err = c.do(ctx, r)
	return err
}

// adopted returns the entries of a live object, with those that the Takeover includes merged into ours.
func adopted(live Live, ours string, t Takeover) ([]metav1.ManagedFieldsEntry, error) {
	gv := schema.GroupVersion{Group: live.ID.Group, Version: live.ID.Version}
	mine := metav1.ManagedFieldsEntry{Manager: ours, Operation: metav1.ManagedFieldsOperationApply,
		APIVersion: gv.String(), FieldsType: "FieldsV1"}
	fields := map[string]any{}
	var rest []metav1.ManagedFieldsEntry
	for _, e := range live.managers {
		own := appliedBy(e, ours)
		if own {
			mine = e
		}
		if !own && !t.includes(live, e) {
			rest = append(rest, e)
			continue
		}
		var more map[string]any
		if err := json.Unmarshal(e.FieldsV1.GetRawBytes(), &more); err != nil {
			return nil, fmt.Errorf("fields of manager %s: %w", e.Manager, err)
		}
		union(fields, more)
	}
	merged, err := json.Marshal(fields)
	mine.FieldsV1 = metav1.NewFieldsV1(string(merged))
	return append(rest, mine), err
}

// suspender is the field manager of Suspend.
const suspender = FieldManager + "-suspend"

// Suspend sets spec.suspend of a live object of Flux. Its controller then leaves alone what the object stands for, also
// if the object is deleted. If the object changed since live was read, the reason of the error is Conflict.
func (c *Client) Suspend(ctx context.Context, live Live) error {
	r, err := c.on(ctx, "suspend", live.ID)
	if err != nil {
		return err
	}
	r.body, err = json.Marshal(map[string]any{
		"metadata": map[string]any{"uid": live.UID, "resourceVersion": live.ResourceVersion},
		"spec":     map[string]any{"suspend": true},
	})
	if err != nil {
		return wrong("suspend", r.object, err)
	}
	r.method, r.contentType, r.accept = http.MethodPatch, mediaMerge, mediaMetadata
	r.query = url.Values{"fieldManager": {suspender}}
	_, _, err = c.do(ctx, r)
	return err
}

// union adds the field set more to fields. In the FieldsV1 format that is a deep merge of JSON objects.
func union(fields, more map[string]any) {
	for k, v := range more {
		a, both := fields[k].(map[string]any)
		b, ok := v.(map[string]any)
		if both && ok {
			union(a, b)
			continue
		}
		fields[k] = v
	}
}

// Look returns the metadata of an object, and the whole object if whole is true. If the object does not exist, the
// reason of the error is NotFound.
func (c *Client) Look(ctx context.Context, id bundle.ObjectIdentity, whole bool) (Live, error) {
	return c.look(ctx, id, whole, nil)
}

// LookWhole returns an object as Look does, within the memory of a Hold.
func (c *Client) LookWhole(ctx context.Context, id bundle.ObjectIdentity, hold Hold) (Live, error) {
	return c.look(ctx, id, true, hold)
}

func (c *Client) look(ctx context.Context, id bundle.ObjectIdentity, whole bool, hold Hold) (Live, error) {
	r, body, err := c.get(ctx, id, accept(whole))
	if err != nil {
		return Live{}, err
	}
	if err := hold.acquire(body); err != nil {
		return Live{}, wrong("get", r.object, err)
	}
	live, err := readLive(body, r.mapping, FieldManager, whole)
	return live, wrong("get", r.object, err)
}

// get reads an object in a media type. It returns the request, for errors, and the answer.
func (c *Client) get(ctx context.Context, id bundle.ObjectIdentity, accept string) (request, []byte, error) {
	r, err := c.on(ctx, "get", id)
	if err != nil {
		return r, nil, err
	}
	r.method, r.accept = http.MethodGet, accept
	body, _, err := c.do(ctx, r)
	return r, body, err
}

// Get returns a whole object.
func (c *Client) Get(ctx context.Context, id bundle.ObjectIdentity) (*manifest.Object, error) {
	live, err := c.Look(ctx, id, true)
	return live.Object, err
}

// DeleteOptions are the conditions of a deletion, and what becomes of the dependents of the object.
type DeleteOptions struct {
	UID             string `json:"uid,omitempty"`             // the object is still this one; empty: any
	ResourceVersion string `json:"resourceVersion,omitempty"` // the object was not written since; empty: any
	// Propagation is how Kubernetes deletes the dependents; empty: in the background.
	Propagation metav1.DeletionPropagation `json:"-"`
}

// Delete deletes an object. Delete returns reason NotFound if the object does not exist, and Conflict if a condition of
// opts does not hold.
func (c *Client) Delete(ctx context.Context, id bundle.ObjectIdentity, opts DeleteOptions) error {
	r, err := c.on(ctx, "delete", id)
	if err != nil {
		return err
	}
	r.body, err = json.Marshal(map[string]any{"kind": "DeleteOptions", "apiVersion": "v1",
		"propagationPolicy": cmp.Or(opts.Propagation, metav1.DeletePropagationBackground), "preconditions": opts})
	if err != nil {
		return wrong("delete", r.object, err)
	}
	r.method, r.contentType, r.accept = http.MethodDelete, mediaJSON, mediaMetadata
	_, _, err = c.do(ctx, r)
	return err
}

// Identify returns the name of an object with its version.
func Identify(o *manifest.Object) bundle.ObjectIdentity {
	gvk := o.GroupVersionKind()
	return bundle.ObjectIdentity{Group: gvk.Group, Version: gvk.Version, Kind: gvk.Kind, Namespace: o.GetNamespace(),
		Name: o.GetName()}
}

// on begins a request about one object. It returns an error if the kind is not served, or name or namespace do not fit.
func (c *Client) on(ctx context.Context, op string, id bundle.ObjectIdentity) (request, error) {
	r := request{op: op, object: id.ID().String()}
	var err error
	r.mapping, err = c.Mapping(ctx, schema.GroupVersionKind{Group: id.Group, Version: id.Version, Kind: id.Kind})
	if err != nil {
		return r, about(op, r.object, err)
	}
	if problem := r.mapping.misplaced(id); problem != "" {
		return r, &Error{Op: op, Object: r.object, Reason: Invalid, Message: problem}
	}
	r.path = r.mapping.collection(id.Namespace) + "/" + id.Name
	return r, nil
}

// misplaced returns why an object cannot have this name and namespace; empty if it can. Name and namespace become
// segments of a path, which must not lead to another object.
func (m Mapping) misplaced(id bundle.ObjectIdentity) string {
	switch {
	case !segment(id.Name):
		return fmt.Sprintf("the name %q is not one that Kubernetes allows", id.Name)
	case id.Namespace != "" && !segment(id.Namespace):
		return fmt.Sprintf("the namespace %q is not one that Kubernetes allows", id.Namespace)
	case m.Namespaced && id.Namespace == "":
		return fmt.Sprintf("a %s needs metadata.namespace, or its application a target namespace", m.Kind)
	case !m.Namespaced && id.Namespace != "":
		return fmt.Sprintf("a %s belongs to the cluster: remove metadata.namespace %q", m.Kind, id.Namespace)
	}
	return ""
}

// segment reports whether a name can be a segment of a path.
func segment(name string) bool { return name != "" && len(content.IsPathSegmentName(name)) == 0 }

// about turns the error of finding a kind into an error about the object that needs the kind.
func about(op, object string, err error) error {
	//nolint:errorlint // an error that wraps another has more context and stays as it is
	if e, ok := err.(*Error); ok {
		copied := *e
		copied.Op, copied.Object = op, object
		return &copied
	}
	return err
}

// wrong returns the error of a request that cannot be made, or of an answer that cannot be read; nil if err is nil.
func wrong(op, object string, err error) error {
	if err == nil {
		return nil
	}
	return &Error{Op: op, Object: object, Reason: Other, Message: err.Error(), err: err}
}

func accept(whole bool) string {
	if whole {
		return mediaJSON
	}
	return mediaMetadata
}
