package api

import (
	"reflect"
	"regexp"
	"slices"
	"strings"
	"time"

	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	metavalidation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/navefleet/nave/shared/manifest"
	"github.com/navefleet/nave/shared/substitution"
)

// specPath returns the path of spec, which has the fields of all kinds.
func specPath() *field.Path { return field.NewPath("spec") }

// durationPattern is the pattern of Flux's schema: no sign, no units below the millisecond.
var durationPattern = regexp.MustCompile(`^([0-9]+(\.[0-9]+)?(ms|s|m|h))+$`)

// checkFields checks the fields of spec that the kind lists. It runs before the fields are decoded into a Go type,
// because the decoder's error about a duration does not name the field.
func (k Kind) checkFields(o *manifest.Object) (errs field.ErrorList) {
	for name, detail := range k.Required {
		if specField(o, name) == nil {
			errs = append(errs, field.Required(specPath().Child(name), detail))
		}
	}
	for name, instead := range k.Refused {
		if !empty(specField(o, name)) {
			errs = append(errs, field.Forbidden(specPath().Child(name), instead))
		}
	}
	for _, name := range k.Durations {
		v := specField(o, name)
		s, _ := v.(string)
		d, err := time.ParseDuration(s)
		if v != nil && (err != nil || d <= 0 || !durationPattern.MatchString(s)) {
			errs = append(errs, field.Invalid(specPath().Child(name), v,
				"want a duration above zero, such as 30s, 10m or 1h30m"))
		}
	}
	return errs
}

// checked returns a Check that decodes the object strictly as a T, the Go type of its kind, and then calls check. It
// decodes without the fields that are wrong, so that it finds all errors at once.
func checked[T any](check func(*T) field.ErrorList) func(*manifest.Object, field.ErrorList) field.ErrorList {
	return func(o *manifest.Object, found field.ErrorList) field.ErrorList {
		values := any(o.Object)
		for _, e := range found {
			values, _ = withoutField(values, e.Field)
		}
		decoded, errs := decode[T](values, nil)
		found = append(found, besides(errs, found)...)
		if decoded == nil {
			return found
		}
		return append(found, besides(check(decoded), found)...)
	}
}

// besides returns the errors about fields that have no error among those found, and whose outer and inner fields have
// none.
func besides(errs, found field.ErrorList) (rest field.ErrorList) {
	for _, e := range errs {
		overlaps := func(f *field.Error) bool { return isWithin(e.Field, f.Field) || isWithin(f.Field, e.Field) }
		if !slices.ContainsFunc(found, overlaps) {
			rest = append(rest, e)
		}
	}
	return rest
}

// isWithin reports whether a field is another one, or in it.
func isWithin(inner, outer string) bool {
	rest, ok := strings.CutPrefix(inner, outer)
	return ok && (rest == "" || rest[0] == '.' || rest[0] == '[')
}

// withoutField returns a copy of JSON values without a field. If they do not have the field, or it is in a list,
// withoutField returns false.
func withoutField(values any, name string) (any, bool) {
	object, ok := values.(map[string]any)
	path := strings.Split(name, ".")
	if _, has, err := unstructured.NestedFieldNoCopy(object, path...); !ok || !has || err != nil {
		return values, false
	}
	object = runtime.DeepCopyJSON(object)
	unstructured.RemoveNestedField(object, path...)
	return object, true
}

// specField returns a field of spec, or one below it: "install.timeout". If the field is not set, specField returns
// nil.
func specField(o *manifest.Object, name string) any {
	v, _, _ := unstructured.NestedFieldNoCopy(o.Object, append([]string{"spec"}, strings.Split(name, ".")...)...)
	return v
}

// empty reports whether a JSON value means the same as a missing field.
func empty(v any) bool {
	switch v := v.(type) {
	case map[string]any:
		return len(v) == 0
	case []any:
		return len(v) == 0
	}
	return v == nil || v == false || v == ""
}

// checkMetadata checks names, labels and annotations as an API server does.
func checkMetadata(meta Metadata, kind Kind, path *field.Path) field.ErrorList {
	errs := required(meta.Name, path.Child("name"), validation.IsDNS1123Subdomain)
	if kind.Namespaced {
		errs = append(errs, required(meta.Namespace, path.Child("namespace"), validation.IsDNS1123Label)...)
	}
	errs = append(errs, metavalidation.ValidateLabels(meta.Labels, path.Child("labels"))...)
	return append(errs, apivalidation.ValidateAnnotations(meta.Annotations, path.Child("annotations"))...)
}

// required checks a name that must not be empty.
func required(s string, path *field.Path, valid func(string) []string) field.ErrorList {
	if s == "" {
		return field.ErrorList{field.Required(path, "")}
	}
	return optional(s, path, valid)
}

// optional checks a name that may be empty.
func optional(s string, path *field.Path, valid func(string) []string) (errs field.ErrorList) {
	if s == "" {
		return nil
	}
	for _, problem := range valid(s) {
		errs = append(errs, field.Invalid(path, s, problem))
	}
	return errs
}

// oneOf checks a value that may be empty.
func oneOf(s string, path *field.Path, values ...string) field.ErrorList {
	if s == "" || slices.Contains(values, s) {
		return nil
	}
	return field.ErrorList{field.NotSupported(path, s, values)}
}

// checkVariables checks the names of variables.
func checkVariables(vars map[string]string, path *field.Path) (errs field.ErrorList) {
	for name := range vars {
		if !substitution.IsName(name) {
			errs = append(errs, field.Invalid(path.Key(name), name,
				"the name of a variable is letters, digits and _, and does not begin with a digit"))
		}
	}
	return errs
}

// typeName returns the name of a type in the terms of YAML.
func typeName(k reflect.Kind) string {
	switch k {
	case reflect.Bool:
		return "true or false"
	case reflect.String:
		return "a string (put quotes around it)"
	case reflect.Slice, reflect.Array:
		return "a list"
	case reflect.Map, reflect.Struct:
		return "a map"
	}
	return "a number"
}
