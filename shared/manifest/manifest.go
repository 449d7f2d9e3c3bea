// Package manifest treats Kubernetes objects as data: parsing them, naming them, ordering them, and turning them into
// canonical bytes with a digest. It knows no API server and does no I/O.
package manifest

import (
	"bytes"
	"encoding/json"
	"fmt"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// Object is one Kubernetes object as a tree of JSON values.
type Object = unstructured.Unstructured

// ID names one object of one cluster. It leaves the version out: apps/v1 and apps/v1beta1 name the same Deployment.
type ID struct {
	Group     string `json:"group,omitempty"`
	Kind      string `json:"kind"`
	Namespace string `json:"namespace,omitempty"`
	Name      string `json:"name"`
}

// IDOf returns the name of an object.
func IDOf(o *Object) ID {
	gvk := o.GroupVersionKind()
	return ID{Group: gvk.Group, Kind: gvk.Kind, Namespace: o.GetNamespace(), Name: o.GetName()}
}

// GroupKind returns the group and kind.
func (id ID) GroupKind() schema.GroupKind { return schema.GroupKind{Group: id.Group, Kind: id.Kind} }

// String returns "Kind.group namespace/name", as messages show objects.
func (id ID) String() string {
	s := id.GroupKind().String() + " "
	if id.Namespace != "" {
		s += id.Namespace + "/"
	}
	return s + id.Name
}

// Canonical returns the bytes that digests are made over: JSON with sorted keys, no insignificant space, and no
// HTML escapes. Equal objects have equal bytes.
func Canonical(o *Object) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(o.Object); err != nil {
		return nil, fmt.Errorf("canonical JSON of %s: %w", IDOf(o), err)
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}
