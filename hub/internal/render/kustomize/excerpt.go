package kustomize

import (
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/navefleet/nave/shared/manifest"
)

// Substituting in the YAML of a whole object, as Flux does, is slow. It changes no more than some lines if the values
// of all variables, and the defaults in the references, are plain: a plain text cannot open a quote, a list, a map or a
// block that would reach into the next line.
var (
	plainValue     = regexp.MustCompile(`^[A-Za-z0-9._/:@=+-]*$`)
	plainReference = regexp.MustCompile(
		`^([^$]|\$[^${]|\$$|\$\{[A-Za-z_][A-Za-z0-9_]*((:=|:-|=)[A-Za-z0-9._/:@=+-]*)?\})*$`)
)

// arePlain reports whether all values are plain.
func arePlain(values map[string]string) bool {
	for _, value := range values {
		if !plainValue.MatchString(value) {
			return false
		}
	}
	return true
}

// excerpt returns an object with nothing but its type and the parts that have references. If the substitution could
// change other parts, excerpt returns false.
func (v *variables) excerpt(o *manifest.Object) (part *manifest.Object, ok bool) {
	if !v.plain {
		return nil, false
	}
	parts, ok := partsOf(o.Object)
	fields, _ := parts.(map[string]any)
	if !ok || fields == nil {
		return nil, false
	}
	for _, name := range []string{"apiVersion", "kind"} {
		if value, has := o.Object[name]; has {
			fields[name] = value
		}
	}
	return &manifest.Object{Object: fields}, true
}

// partsOf returns the parts of a value that have references: maps without their other entries, and lists with null in
// place of their other items. If there are none, partsOf returns nil. If a reference is in a key or not plain, partsOf
// returns false.
func partsOf(v any) (parts any, ok bool) {
	switch v := v.(type) {
	case string:
		if strings.Contains(v, "$") {
			return v, plainReference.MatchString(v)
		}
	case map[string]any:
		kept := map[string]any{}
		for k, e := range v {
			part, ok := partsOf(e)
			if !ok || strings.Contains(k, "$") {
				return nil, false
			}
			if part != nil {
				kept[k] = part
			}
		}
		if len(kept) > 0 {
			return kept, true
		}
	case []any:
		kept := make([]any, len(v))
		for i, e := range v {
			if kept[i], ok = partsOf(e); !ok {
				return nil, false
			}
		}
		if slices.ContainsFunc(kept, func(part any) bool { return part != nil }) {
			return kept, true
		}
	}
	return nil, true
}

// graft returns a value with the parts that partsOf returned of it as they are after the substitution. If the maps and
// lists are not the same any more, graft returns false.
func graft(whole, parts, after any) (_ any, ok bool) {
	switch parts := parts.(type) {
	case map[string]any:
		whole, isMap := whole.(map[string]any)
		values, staysMap := after.(map[string]any)
		if !isMap || !staysMap || len(values) != len(parts) {
			return nil, false
		}
		whole = maps.Clone(whole)
		for k, part := range parts {
			if whole[k], ok = graft(whole[k], part, values[k]); !ok {
				return nil, false
			}
		}
		return whole, true
	case []any:
		whole, isList := whole.([]any)
		values, staysList := after.([]any)
		if !isList || !staysList || len(values) != len(parts) {
			return nil, false
		}
		whole = slices.Clone(whole)
		for i, part := range parts {
			if part == nil {
				continue
			}
			if whole[i], ok = graft(whole[i], part, values[i]); !ok {
				return nil, false
			}
		}
		return whole, true
	}
	return after, true
}
