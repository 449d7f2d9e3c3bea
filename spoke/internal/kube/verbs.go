package kube

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"strings"

	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/manifest"
)

// ApplyOptions says how to apply.
type ApplyOptions struct {
	FieldManager string // empty: FieldManager
	Force        bool   // take over fields that another manager owns
	DryRun       bool   // ask the API server, change nothing
	Whole        bool   // return the whole object
}

// Applied is what became of an object.
type Applied struct {
	Live
	Mapping Mapping
	Created bool // it was not there before
}

// Apply sends an object by server-side apply, in one PATCH: no read before, no dry run.
func (c *Client) Apply(ctx context.Context, o *manifest.Object, opts ApplyOptions) (Applied, error) {
	id := Identify(o)
	r, m, err := c.on(ctx, "apply", id)
	if err != nil {
		return Applied{}, err
	}
	if r.body, err = encode(o); err != nil {
		return Applied{}, &Error{Op: "apply", Object: r.object, Reason: Invalid, Message: "cannot be written as JSON",
			err: err}
	}
	ours := opts.manager()
	r.method, r.contentType, r.accept = http.MethodPatch, mediaApply, accept(opts.Whole)
	r.query = url.Values{"fieldManager": {ours}}
	if opts.Force {
		r.query.Set("force", "true")
	}
	if opts.DryRun {
		r.query.Set("dryRun", "All")
	}
	body, code, err := c.do(ctx, r)
	if err != nil {
		return Applied{}, c.known(m, err)
	}
	live, err := readLive(body, m, ours, opts.Whole)
	return Applied{Live: live, Mapping: m, Created: code == http.StatusCreated}, wrong("apply", r.object, err)
}

func (o ApplyOptions) manager() string {
	if o.FieldManager == "" {
		return FieldManager
	}
	return o.FieldManager
}

// Adopt makes our manager the owner of all fields that live's adoptable managers own, so that the next apply removes
// those which are not desired. A Conflict means that the object changed since live was read.
func (c *Client) Adopt(ctx context.Context, live Live) error {
	r, m, err := c.on(ctx, "adopt", live.ID)
	if err != nil {
		return err
	}
	entries, err := adopted(live.managers, FieldManager, live.ID)
	if err != nil {
		return &Error{Op: "adopt", Object: r.object, Reason: Other, Message: err.Error(), err: err}
	}
	r.body, err = json.Marshal([]map[string]any{
		{"op": "test", "path": "/metadata/uid", "value": live.UID},
		{"op": "replace", "path": "/metadata/resourceVersion", "value": live.ResourceVersion},
		{"op": "replace", "path": "/metadata/managedFields", "value": entries},
	})
	if err != nil {
		return &Error{Op: "adopt", Object: r.object, Reason: Other, Message: err.Error(), err: err}
	}
	r.method, r.contentType, r.accept = http.MethodPatch, mediaJSONPatch, mediaMetadata
	r.query = url.Values{"fieldManager": {FieldManager}}
	_, _, err = c.do(ctx, r)
	return c.known(m, err)
}

// adopted returns the entries with the adoptable ones merged into ours.
func adopted(entries []manager, ours string, id bundle.ObjectIdentity) ([]manager, error) {
	gv := schema.GroupVersion{Group: id.Group, Version: id.Version}
	mine := manager{Manager: ours, Operation: "Apply", APIVersion: gv.String(), FieldsType: "FieldsV1"}
	fields := map[string]any{}
	var rest []manager
	for _, e := range entries {
		own := e.Manager == ours && e.Operation == "Apply" && e.Subresource == ""
		if own {
			mine = e
		}
		if !own && !e.adoptable() {
			rest = append(rest, e)
			continue
		}
		var more map[string]any
		if err := json.Unmarshal(e.FieldsV1, &more); err != nil {
			return nil, fmt.Errorf("fields of manager %s: %w", e.Manager, err)
		}
		union(fields, more)
	}
	var err error
	mine.FieldsV1, err = json.Marshal(fields)
	return append(rest, mine), err
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

// Look reads an object for its metadata, and whole when asked. Reason NotFound when it is not there.
func (c *Client) Look(ctx context.Context, id bundle.ObjectIdentity, whole bool) (Live, error) {
	r, m, err := c.on(ctx, "get", id)
	if err != nil {
		return Live{}, err
	}
	r.method, r.accept = http.MethodGet, accept(whole)
	body, _, err := c.do(ctx, r)
	if err != nil {
		return Live{}, c.known(m, err)
	}
	live, err := readLive(body, m, FieldManager, whole)
	return live, wrong("get", r.object, err)
}

// Get reads a whole object.
func (c *Client) Get(ctx context.Context, id bundle.ObjectIdentity) (*manifest.Object, error) {
	live, err := c.Look(ctx, id, true)
	return live.Object, err
}

// DeleteOptions says how to delete.
type DeleteOptions struct {
	UID             string // only if it is still this object; empty: any
	ResourceVersion string // only if nobody wrote it since; empty: any
	Foreground      bool   // keep the object until what it owns is gone; else dependents go in the background
	Orphan          bool   // leave what it owns
}

// Delete deletes an object. Reason NotFound when it is not there, Conflict when a condition of opts does not hold.
func (c *Client) Delete(ctx context.Context, id bundle.ObjectIdentity, opts DeleteOptions) error {
	r, m, err := c.on(ctx, "delete", id)
	if err != nil {
		return err
	}
	body := map[string]any{"kind": "DeleteOptions", "apiVersion": "v1", "propagationPolicy": opts.propagation()}
	if conditions := opts.conditions(); len(conditions) > 0 {
		body["preconditions"] = conditions
	}
	if r.body, err = json.Marshal(body); err != nil {
		return &Error{Op: "delete", Object: r.object, Reason: Other, Message: err.Error(), err: err}
	}
	r.method, r.contentType, r.accept = http.MethodDelete, mediaJSON, mediaMetadata
	_, _, err = c.do(ctx, r)
	return c.known(m, err)
}

func (o DeleteOptions) conditions() map[string]string {
	conditions := map[string]string{"uid": o.UID, "resourceVersion": o.ResourceVersion}
	maps.DeleteFunc(conditions, func(_, value string) bool { return value == "" })
	return conditions
}

func (o DeleteOptions) propagation() string {
	switch {
	case o.Foreground:
		return "Foreground"
	case o.Orphan:
		return "Orphan"
	}
	return "Background"
}

// Secret returns the decoded data of a Secret.
func (c *Client) Secret(ctx context.Context, namespace, name string) (map[string][]byte, error) {
	r, m, err := c.on(ctx, "get", bundle.ObjectIdentity{Version: "v1", Kind: "Secret", Namespace: namespace, Name: name})
	if err != nil {
		return nil, err
	}
	r.method, r.accept = http.MethodGet, mediaJSON
	body, _, err := c.do(ctx, r)
	if err != nil {
		return nil, c.known(m, err)
	}
	var s struct {
		Data map[string][]byte `json:"data"`
	}
	if json.Unmarshal(body, &s) != nil { // the decoder's error would quote the value
		return nil, &Error{Op: "get", Object: r.object, Reason: Other, Message: "an answer that is not a Secret"}
	}
	return s.Data, nil
}

// ServerVersion returns the version of the API server, as "v1.37.2".
func (c *Client) ServerVersion(ctx context.Context) (string, error) {
	body, _, err := c.do(ctx, request{op: "get", object: "/version", method: http.MethodGet, path: "/version",
		accept: mediaJSON})
	if err != nil {
		return "", err
	}
	var v struct {
		GitVersion string `json:"gitVersion"`
	}
	err = json.Unmarshal(body, &v)
	return v.GitVersion, wrong("get", "/version", err)
}

// Identify names an object with its version.
func Identify(o *manifest.Object) bundle.ObjectIdentity {
	gvk := o.GroupVersionKind()
	return bundle.ObjectIdentity{Group: gvk.Group, Version: gvk.Version, Kind: gvk.Kind, Namespace: o.GetNamespace(),
		Name: o.GetName()}
}

// on begins a request about one object: finds its kind and checks that its namespace fits.
func (c *Client) on(ctx context.Context, op string, id bundle.ObjectIdentity) (request, Mapping, error) {
	r := request{op: op, object: id.ID().String()}
	m, err := c.Mapping(ctx, schema.GroupVersionKind{Group: id.Group, Version: id.Version, Kind: id.Kind})
	if err != nil {
		return r, m, about(op, r.object, err)
	}
	if problem := m.misplaced(id); problem != "" {
		return r, m, &Error{Op: op, Object: r.object, Reason: Invalid, Message: problem}
	}
	r.path = m.collection(id.Namespace) + "/" + id.Name
	return r, m, nil
}

// misplaced says what keeps the name from being a place in the API. A name is a path segment, so it is checked before
// it becomes part of a path that another object could be reached by.
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

// segment is apimachinery's path.IsValidPathSegmentName, for names that are not empty.
func segment(name string) bool {
	return name != "" && name != "." && name != ".." && !strings.ContainsAny(name, "/%")
}

// about makes an error of finding a kind one of the object that needed it.
func about(op, object string, err error) error {
	//nolint:errorlint // an error that wraps another says more and stays as it is
	if e, ok := err.(*Error); ok {
		copied := *e
		copied.Op, copied.Object = op, object
		return &copied
	}
	return err
}

// known drops a mapping that the API server just did not know, so that the next call looks again.
func (c *Client) known(m Mapping, err error) error {
	if ReasonOf(err) == NoMatch {
		c.Invalidate(m.Group)
	}
	return err
}

// wrong makes an error of an answer that cannot be read.
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

func encode(o *manifest.Object) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	err := enc.Encode(o.Object)
	return b.Bytes(), err
}
