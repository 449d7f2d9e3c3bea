package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"

	kjson "sigs.k8s.io/json"

	"github.com/navefleet/nave/shared/manifest"
)

// Object is one admitted object. Its view is decoded at most once and shared by all users of the Object, who must not
// change it. An Object is safe for concurrent use. A nil *Object has no view, labels or annotations.
type Object struct {
	// Key has no cluster: equal objects of many clusters are one Object.
	Key    Key
	JSON   json.RawMessage // canonical
	Digest manifest.Digest // of JSON

	headOnce sync.Once
	head     head
	viewOnce sync.Once
	view     any // by the role of the kind: *Source, *Renderable, *Cluster or *Fleet
	err      error
}

// head is the part of an object that all kinds share.
type head struct {
	Metadata Metadata `json:"metadata"`
	Spec     struct {
		Suspend bool `json:"suspend"`
	} `json:"spec"`
}

// errNoObject is the error of every view of a nil *Object.
var errNoObject = errors.New("there is no such object")

// newObject returns the Object of admitted JSON values.
func newObject(o *manifest.Object) (*Object, error) {
	data, err := manifest.Canonical(o)
	if err != nil {
		return nil, err
	}
	return StoredObject(KeyOf(o), data), nil
}

// StoredObject returns an object that was admitted and stored under the key. StoredObject does not check data again.
func StoredObject(key Key, data []byte) *Object {
	key.Cluster = ""
	return &Object{Key: key, JSON: data, Digest: manifest.DigestOf(data)}
}

// MarshalJSON returns the JSON of the object.
func (o *Object) MarshalJSON() ([]byte, error) { return o.JSON, nil }

// UnmarshalJSON reads the JSON that MarshalJSON returned, and does not check it again.
func (o *Object) UnmarshalJSON(data []byte) error {
	var m manifest.Object
	if err := json.Unmarshal(data, &m.Object); err != nil {
		return err
	}
	o.Key, o.JSON, o.Digest = KeyOf(&m), slices.Clone(data), manifest.DigestOf(data)
	return nil
}

// Equal reports whether two objects have the same JSON, or are both nil.
func (o *Object) Equal(other *Object) bool {
	if o == nil || other == nil {
		return o == other
	}
	return o.Digest == other.Digest
}

// SameSpec reports whether two objects have the same spec.
func (o *Object) SameSpec(other *Object) bool {
	var a, b struct {
		Spec json.RawMessage `json:"spec"`
	}
	return o.Equal(other) || json.Unmarshal(o.JSON, &a) == nil && json.Unmarshal(other.JSON, &b) == nil &&
		bytes.Equal(a.Spec, b.Spec) // both canonical
}

// Decode returns the object as a T, which is a Go type of its kind. The error names the object.
func Decode[T any](o *Object) (*T, error) {
	into := new(T)
	if err := kjson.UnmarshalCaseSensitivePreserveInts(o.JSON, into); err != nil {
		return nil, fmt.Errorf("read %s: %w", o.Key, err)
	}
	return into, nil
}

// Parse returns the object as JSON values, which belong to the caller.
func (o *Object) Parse() (*manifest.Object, error) {
	if o == nil {
		return nil, errNoObject
	}
	m := &manifest.Object{}
	if err := json.Unmarshal(o.JSON, &m.Object); err != nil {
		return nil, fmt.Errorf("read %s: %w", o.Key, err)
	}
	return m, nil
}

// Source returns the view of a source. If the object is not a source, or cannot be decoded, Source returns an error.
func (o *Object) Source() (*Source, error) { return viewOf[Source](o) }

// Renderable returns the view of a renderable. If the object is not renderable, or cannot be decoded, Renderable
// returns an error.
func (o *Object) Renderable() (*Renderable, error) { return viewOf[Renderable](o) }

// Cluster returns the object as a Cluster. If it is not a Cluster, or cannot be decoded, Cluster returns an error.
func (o *Object) Cluster() (*Cluster, error) { return viewOf[Cluster](o) }

// Fleet returns the object as a Fleet. If it is not a Fleet, or cannot be decoded, Fleet returns an error.
func (o *Object) Fleet() (*Fleet, error) { return viewOf[Fleet](o) }

// Err returns an error if the object has no view of the role of its kind.
func (o *Object) Err() error {
	if o == nil {
		return errNoObject
	}
	o.viewOnce.Do(func() { o.view, o.err = decodeView(o) })
	return o.err
}

func viewOf[T any](o *Object) (*T, error) {
	if err := o.Err(); err != nil {
		return nil, err
	}
	if view, ok := o.view.(*T); ok {
		return view, nil
	}
	return nil, fmt.Errorf("%s is not a %T", o.Key, *new(T))
}

// decodeView returns the view of the object, with the fields that are the same for all kinds of its role.
func decodeView(o *Object) (any, error) {
	kind := byName[o.Key.Kind]
	if kind.View == nil {
		return nil, fmt.Errorf("%s is %w", o.Key, ErrUnsupported)
	}
	view, err := kind.View(o)
	if err != nil {
		return nil, err
	}
	switch v := view.(type) {
	case *Source:
		err = v.identify(o.Key)
	case *Renderable:
		v.allow(o.Annotations())
		v.depend(o.Key, o.Annotations())
	}
	return view, err
}

// viewed returns a View that decodes the object as a T, the Go type of its kind, and then calls view.
func viewed[T, V any](view func(*T) *V) func(*Object) (any, error) {
	return func(o *Object) (any, error) {
		decoded, err := Decode[T](o)
		if err != nil {
			return nil, err
		}
		return view(decoded), nil
	}
}

// itself returns the view of a kind whose Go type is its view.
func itself[T any](o *T) *T { return o }

// read returns the head. If the object cannot be decoded, the head is empty.
func (o *Object) read() *head {
	if o == nil {
		return &head{}
	}
	o.headOnce.Do(func() {
		if json.Unmarshal(o.JSON, &o.head) != nil {
			o.head = head{}
		}
	})
	return &o.head
}

// Labels returns the labels, which must not be changed.
func (o *Object) Labels() map[string]string { return o.read().Metadata.Labels }

// Annotations returns the annotations, which must not be changed.
func (o *Object) Annotations() map[string]string { return o.read().Metadata.Annotations }

// Marks returns labels and annotations, which must not be changed.
func (o *Object) Marks() manifest.Marks {
	return manifest.Marks{Labels: o.Labels(), Annotations: o.Annotations()}
}

// RequestedAt returns the request to reconcile in the object's annotations. If there is none, RequestedAt returns "".
func (o *Object) RequestedAt() string { return o.Annotations()[manifest.RequestedAtAnnotation] }

// RequestedWith returns the request in an annotation of a HelmRelease. It counts together with the same request to
// reconcile alone, as in Flux. If there is none, RequestedWith returns "".
func (o *Object) RequestedWith(annotation string) string {
	if at := o.Annotations()[annotation]; at == o.RequestedAt() {
		return at
	}
	return ""
}

// Suspended reports whether the object's spec suspends it.
func (o *Object) Suspended() bool { return o.read().Spec.Suspend }

// SourceReference returns the key of the source that the object, or a Fleet's template, names, without a cluster. If
// the object has no source, SourceReference returns false. SourceKeys returns the keys that the source may have.
func (o *Object) SourceReference() (Key, bool) {
	if r, err := o.Renderable(); err == nil {
		return r.Source, true
	}
	if f, err := o.Fleet(); err == nil {
		return f.sourceReference()
	}
	return Key{}, false
}
