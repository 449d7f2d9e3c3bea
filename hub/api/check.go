package api

import (
	"reflect"
	"regexp"
	"slices"
	"time"

	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	metavalidation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/navefleet/nave/shared/manifest"
)

// refused is a field of Flux's schema that is not carried out, and what to do instead.
type refused struct{ name, instead string }

// specPath is where the fields of all kinds are.
func specPath() *field.Path { return field.NewPath("spec") }

// checkRefused reports those of the fields that the spec sets to something.
func checkRefused(o *manifest.Object, fields []refused) (errs field.ErrorList) {
	for _, f := range fields {
		if v, ok := specField(o, f.name); ok && !empty(v) {
			errs = append(errs, field.Forbidden(specPath().Child(f.name), f.instead))
		}
	}
	return errs
}

// checkRequired reports those of the fields that the spec does not have.
func checkRequired(o *manifest.Object, names ...string) (errs field.ErrorList) {
	for _, name := range names {
		if v, ok := specField(o, name); !ok || v == nil {
			errs = append(errs, field.Required(specPath().Child(name), ""))
		}
	}
	return errs
}

// durationPattern is Flux's: no sign, no units below the millisecond.
var durationPattern = regexp.MustCompile(`^([0-9]+(\.[0-9]+)?(ms|s|m|h))+$`)

// checkDurations checks those of the fields that are there, before a Go type is asked to decode them: its error would
// not name the field.
func checkDurations(o *manifest.Object, names ...string) (errs field.ErrorList) {
	for _, name := range names {
		v, ok := specField(o, name)
		if !ok || v == nil {
			continue
		}
		s, _ := v.(string)
		d, err := time.ParseDuration(s)
		if err != nil || d <= 0 || !durationPattern.MatchString(s) {
			errs = append(errs, field.Invalid(specPath().Child(name), v,
				"want a duration above zero, such as 30s, 10m or 1h30m"))
		}
	}
	return errs
}

func specField(o *manifest.Object, name string) (any, bool) {
	v, ok, err := unstructured.NestedFieldNoCopy(o.Object, "spec", name)
	return v, ok && err == nil
}

// empty reports whether a JSON value says no more than if it were not there.
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
func checkMetadata(meta metadata, kind Kind, path *field.Path) field.ErrorList {
	errs := required(meta.Name, path.Child("name"), validation.IsDNS1123Subdomain)
	if kind.Namespaced {
		errs = append(errs, required(meta.Namespace, path.Child("namespace"), validation.IsDNS1123Label)...)
	}
	errs = append(errs, metavalidation.ValidateLabels(meta.Labels, path.Child("labels"))...)
	return append(errs, apivalidation.ValidateAnnotations(meta.Annotations, path.Child("annotations"))...)
}

// required checks a name that must be there.
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

// variableName is what envsubst, and so Flux, can refer to.
var variableName = regexp.MustCompile(`^[_A-Za-z][_A-Za-z0-9]*$`)

// checkVariables checks the names of variables.
func checkVariables(vars map[string]string, path *field.Path) (errs field.ErrorList) {
	for name := range vars {
		if !variableName.MatchString(name) {
			errs = append(errs, field.Invalid(path.Key(name), name,
				"the name of a variable is letters, digits and _, and does not begin with a digit"))
		}
	}
	return errs
}

// typeName is the word that YAML's users have for a type.
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
