// Package manifest parses, names and orders Kubernetes objects, and writes them as canonical bytes with a digest. It
// uses no API server and does no I/O.
package manifest

import (
	"bytes"
	"encoding/json"
	"fmt"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/navefleet/nave/shared/wording"
)

// Object is one Kubernetes object as a tree of JSON values.
type Object = unstructured.Unstructured

// ID names one object of one cluster. An ID has no version: apps/v1 and apps/v1beta1 name the same Deployment.
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

// GroupKind returns the group and the kind of the object.
func (id ID) GroupKind() schema.GroupKind { return schema.GroupKind{Group: id.Group, Kind: id.Kind} }

// maxShown limits the bytes of each part of an ID in a message. No API server accepts a longer name.
const maxShown = 253

// String returns "Kind.group namespace/name", the form in messages. It shortens what is too long for a name, so that a
// message that begins with an ID has room for the cause. Do not search in this text, or compare IDs by it.
func (id ID) String() string {
	s := wording.Shorten(id.GroupKind().String(), 2*maxShown) + " "
	if id.Namespace != "" {
		s += wording.Shorten(id.Namespace, maxShown) + "/"
	}
	return s + wording.Shorten(id.Name, maxShown)
}

// Canonical returns the bytes that digests are computed of: JSON with sorted keys, without insignificant space and
// without HTML escapes. Equal objects have equal bytes. If the object holds a value that JSON does not have, Canonical
// returns an error.
func Canonical(o *Object) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(o.Object); err != nil {
		return nil, fmt.Errorf("canonical JSON of %s: %w", IDOf(o), err)
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}
