package api

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	utilerrors "k8s.io/apimachinery/pkg/util/errors"
	"k8s.io/apimachinery/pkg/util/validation/field"
	kjson "sigs.k8s.io/json"

	"github.com/navefleet/nave/shared/manifest"
	"github.com/navefleet/nave/shared/wording"
)

// Scope is where an object is written: in the hub's own state or in one cluster's graph.
type Scope int

// The scopes.
const (
	Hub          Scope = iota // Clusters, Fleets, sources, and the Kustomizations of the hub's root
	ClusterGraph              // sources and Kustomizations
)

// DefaultNamespace is the namespace of an object of the hub, or of a Fleet's template, without a namespace.
const DefaultNamespace = "flux-system"

// MaxObject is the largest size of an object in bytes of JSON: the limit of etcd, which Flux's users know.
const MaxObject = 1_500_000

// ErrUnsupported is the error for a known kind that the hub does not implement yet.
var ErrUnsupported = errors.New("not supported yet")

// Metadata is the part of an object's metadata that the hub keeps.
type Metadata struct {
	Name        string            `json:"name"`
	Namespace   string            `json:"namespace,omitempty"`
	Labels      map[string]string `json:"labels,omitempty"`
	Annotations map[string]string `json:"annotations,omitempty"`
}

// Admit returns o in the form that is stored: in the current version, with defaults, without status, each field
// checked. Admit does not change o. The error names the object and each field that must change; Faults divides it. If
// the hub does not implement the kind yet, the error wraps ErrUnsupported.
func Admit(o *manifest.Object, scope Scope) (*Object, error) {
	admitted, err := admit(o, scope)
	if err != nil {
		return nil, &admitError{KeyOf(o), err}
	}
	return newObject(admitted)
}

func admit(o *manifest.Object, scope Scope) (*manifest.Object, error) {
	kind, err := admissible(o, scope)
	if err != nil {
		return nil, err
	}
	c, err := clone(o)
	if err != nil {
		return nil, err
	}
	if kind.Convert != nil && o.GroupVersionKind().Version != kind.Version {
		kind.Convert(c)
	}
	c.SetAPIVersion(kind.Group + "/" + kind.Version)
	delete(c.Object, "status")
	errs := reduceMetadata(c, kind, scope)
	if kind.Default != nil {
		kind.Default(c)
	}
	return c, together(append(errs, besides(kind.Check(c, kind.checkFields(c)), errs)...))
}

// together returns one error for the first maxFaults errors, or nil if there are none. The text is always the same for
// the same object, because an error with a changing text would look like a new error to everyone who watches the
// object.
func together(errs field.ErrorList) error {
	slices.SortFunc(errs, func(a, b *field.Error) int {
		return cmp.Or(cmp.Compare(a.Field, b.Field), cmp.Compare(a.Detail, b.Detail))
	})
	more := len(errs) - maxFaults
	if more <= 0 {
		return errs.ToAggregate()
	}
	first := errs[:maxFaults].ToAggregate().Errors()
	return utilerrors.NewAggregate(append(first, fmt.Errorf("and %d more", more)))
}

// admissible returns the kind of o. If objects of that kind may not be in the scope, admissible returns an error.
func admissible(o *manifest.Object, scope Scope) (Kind, error) {
	gvk := o.GroupVersionKind()
	kind, ok := KindOf(o)
	switch {
	case !ok || kind.Group == "":
		return kind, fmt.Errorf("unknown kind %s of %s: the hub knows %s; an object for clusters goes into Git, below a "+
			"Kustomization", gvk.Kind, o.GetAPIVersion(), strings.Join(appliedKinds(), ", "))
	case !kind.Supported() && scope == ClusterGraph:
		return kind, fmt.Errorf("kind %s of %s is %w: to have it applied for the controller that runs in the cluster, add "+
			"%s.%s to spec.passThrough of the Cluster or the Fleet. Deleting it from Git may make that controller delete its "+
			"objects", gvk.Kind, gvk.Group, ErrUnsupported, gvk.Kind, gvk.Group)
	case !kind.Supported():
		return kind, fmt.Errorf("kind %s of %s is %w: take it out until it is", gvk.Kind, gvk.Group, ErrUnsupported)
	case gvk.Version != kind.Version && !slices.Contains(kind.Older, gvk.Version):
		versions := append([]string{kind.Version}, kind.Older...)
		return kind, fmt.Errorf("apiVersion %s is unknown: %s has %s", o.GetAPIVersion(), gvk.Group,
			strings.Join(versions, ", "))
	case !kind.Namespaced && scope == ClusterGraph:
		return kind, fmt.Errorf("%s is an object of the hub and cannot be in the graph of a cluster: put it into "+
			"the hub's own root, or use nave apply", wording.A(gvk.Kind))
	}
	return kind, nil
}

// clone copies an object by encoding and decoding it, so that the copy has only JSON's types.
func clone(o *manifest.Object) (*manifest.Object, error) {
	data, err := manifest.Canonical(o)
	if err != nil {
		return nil, err
	}
	if len(data) > MaxObject {
		return nil, fmt.Errorf("the object has %d bytes: more than %d", len(data), MaxObject)
	}
	c := &manifest.Object{}
	if err := kjson.UnmarshalCaseSensitivePreserveInts(data, &c.Object); err != nil {
		return nil, fmt.Errorf("decode: %w", err)
	}
	return c, nil
}

// reduceMetadata checks the metadata and keeps only the fields that users set. It removes the fields that only an API
// server writes (uid, resourceVersion, …), so that a cluster's export can be applied as it is. A field that no API
// server knows is an error.
func reduceMetadata(o *manifest.Object, kind Kind, scope Scope) field.ErrorList {
	path := field.NewPath("metadata")
	full, errs := decode[metav1.ObjectMeta](o.Object["metadata"], path)
	if len(errs) > 0 {
		return errs
	}
	meta := Metadata{Name: full.Name, Namespace: full.Namespace, Labels: full.Labels, Annotations: full.Annotations}
	switch {
	case !kind.Namespaced:
		meta.Namespace = "" // a kustomization file's namespace is set on kinds that kustomize does not know, too
	case meta.Namespace == "" && scope == Hub:
		meta.Namespace = DefaultNamespace
	}
	o.Object["metadata"] = meta.tree()
	return checkMetadata(meta, kind, path)
}

// tree returns the metadata as JSON values.
func (m Metadata) tree() map[string]any {
	tree, _ := runtime.DefaultUnstructuredConverter.ToUnstructured(&m) // all fields are strings: this cannot fail
	return tree
}

// decode turns JSON values into a T. Fields that T does not have, and values of another type, are errors with the path
// of the field; the T is without them. If an error does not name its field, decode returns no T.
func decode[T any](values any, path *field.Path) (into *T, errs field.ErrorList) {
	for {
		data, err := json.Marshal(values)
		if err != nil {
			return nil, append(errs, field.InternalError(path, err))
		}
		into := new(T)
		strict, err := kjson.UnmarshalStrict(data, into)
		for _, e := range strict {
			errs = append(errs, strictError(e, path, reflect.TypeFor[T]()))
		}
		if err == nil {
			return into, errs
		}
		errs = append(errs, decodeErrors(err, values, path)...)
		var mismatch *json.UnmarshalTypeError
		if !errors.As(err, &mismatch) {
			return nil, errs
		}
		var ok bool
		if values, ok = withoutField(values, mismatch.Field); !ok {
			return nil, errs
		}
	}
}

// unknownField begins the detail of the error about a field that the type does not have.
const unknownField = "unknown field: "

// strictError returns an error that names the field that the type does not have.
func strictError(err error, path *field.Path, in reflect.Type) *field.Error {
	var at kjson.FieldError
	meant := ""
	if errors.As(err, &at) {
		path, meant = child(path, at.FieldPath()), nearestField(in, at.FieldPath())
	}
	if meant != "" {
		return field.Forbidden(path, unknownField+"did you mean "+meant+"?")
	}
	return field.Forbidden(path, unknownField+"check its spelling and its indentation")
}

// decodeErrors returns an error for the field with a value of the wrong type. If the field is a map of strings,
// decodeErrors returns one error for each key with such a value.
func decodeErrors(err error, values any, path *field.Path) (errs field.ErrorList) {
	var mismatch *json.UnmarshalTypeError
	if !errors.As(err, &mismatch) {
		return field.ErrorList{field.Invalid(path, field.OmitValueType{}, err.Error())}
	}
	at, want := child(path, mismatch.Field), wantedType(mismatch)
	for key, is := range otherTypes(values, mismatch) {
		errs = append(errs, field.TypeInvalid(at.Key(key), field.OmitValueType{}, fmt.Sprintf("it is %s, want %s; where "+
			"variables are substituted, write ${quote}${name}${quote} and give the variable quote the value '\"'", is, want)))
	}
	if len(errs) > 0 {
		return errs
	}
	return field.ErrorList{field.TypeInvalid(at, field.OmitValueType{},
		fmt.Sprintf("it is of type %s, want %s", mismatch.Value, want))}
}

// wantedType returns the name of the type that a value should have. A number that is of the wrong type has a fraction,
// or is too large.
func wantedType(m *json.UnmarshalTypeError) string {
	kind := m.Type.Kind()
	if strings.HasPrefix(m.Value, "number") && reflect.Int <= kind && kind <= reflect.Int64 {
		return fmt.Sprintf("a whole number of at most %d", uint64(1)<<(m.Type.Bits()-1)-1)
	}
	return typeName(kind)
}

// otherTypes returns the keys of a map of strings that have a value of another type, each with that type, because the
// decoder names only the map. If the field is not a map of strings, otherTypes returns none.
func otherTypes(values any, mismatch *json.UnmarshalTypeError) map[string]string {
	object, _ := values.(map[string]any)
	texts, ok, _ := unstructured.NestedMap(object, strings.Split(mismatch.Field, ".")...)
	if !ok || mismatch.Type.Kind() != reflect.String {
		return nil
	}
	others := map[string]string{}
	for key, value := range texts {
		if _, ok := value.(string); !ok && value != nil {
			others[key] = typeName(reflect.ValueOf(value).Kind())
		}
	}
	return others
}

// child returns the path of the field name below path. If name is empty, child returns path itself. path may be nil.
func child(path *field.Path, name string) *field.Path {
	if name == "" {
		return path
	}
	return path.Child(name)
}
