package sealed

import (
	"encoding/base64"
	"fmt"
	"maps"
	"slices"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// Lookup returns the value of a placeholder, and whether there is one.
type Lookup = func(Placeholder) (Value, bool)

// ReplaceObject returns an object (a manifest.Object) with values in the place of placeholders. The object itself is
// not changed; the result shares with it whatever holds no placeholder.
//
// A string that is a placeholder, whole, becomes the value with its type; placeholders inside of a longer string become
// text. Placeholders inside of the base64 of a Secret's data, a ConfigMap's binaryData and each field caBundle become
// bytes there. A whole placeholder in the place of base64 is put in as it is: what was encrypted is the base64 already.
//
// A placeholder without a value is an error, and so is a placeholder in the key of a map or in what names the object: a
// name is no secret, and the hub needs it. Errors name fields and placeholders, never values, and not the object.
func ReplaceObject(o *unstructured.Unstructured, value Lookup) (*unstructured.Unstructured, error) {
	return FinishObject(o, value, nil)
}

// FinishObject is ReplaceObject, and substitutes variables in the values that it puts in. If variables is nil, nothing
// is substituted.
func FinishObject(o *unstructured.Unstructured, value Lookup, variables *Variables) (*unstructured.Unstructured,
	error) {
	if InIdentity(o) { // the hub could not know what it signed
		return nil, fmt.Errorf("%s %s: a sealed value cannot name an object", o.GetKind(), o.GetName())
	}
	r := replacer{value, variables}
	fields := make(map[string]any, len(o.Object))
	encoded := base64Field(o)
	for name, field := range o.Object {
		var err error
		if entries, ok := field.(map[string]any); ok && name == encoded {
			fields[name], _, err = r.fields(entries, r.encodedEntry)
		} else {
			fields[name], _, err = r.entry(name, field)
		}
		if err != nil {
			return nil, fmt.Errorf("field %s%w", name, err)
		}
	}
	return &unstructured.Unstructured{Object: fields}, nil
}

// InIdentity reports whether the apiVersion, kind, namespace or name of an object has a placeholder. Hub and spoke
// refuse such an object.
func InIdentity(o *unstructured.Unstructured) bool {
	return slices.ContainsFunc([]string{o.GetAPIVersion(), o.GetKind(), o.GetNamespace(), o.GetName()},
		func(name string) bool { return len(Find(name)) > 0 })
}

// base64Field is the field of an object whose entries are base64.
func base64Field(o *unstructured.Unstructured) string {
	switch o.GroupVersionKind().GroupKind().String() {
	case "Secret":
		return "data"
	case "ConfigMap":
		return "binaryData"
	}
	return ""
}

// IsBase64 reports whether a field of this name is base64 in any object: the certificates by which an API server knows
// a webhook.
func IsBase64(name string) bool { return name == "caBundle" }

// Base64Entries returns the name of the field of an object whose entries are base64; empty if there is none.
func Base64Entries(o *unstructured.Unstructured) string { return base64Field(o) }

// replacer replaces placeholders by the values of a lookup.
type replacer struct {
	lookup    Lookup
	variables *Variables // nil: nothing is substituted
}

// value returns the value of a placeholder. Its errors, as those of all methods of replacer, start with the path below
// the field.
func (r replacer) value(t Placeholder) (Value, error) {
	v, ok := r.lookup(t)
	if !ok {
		return v, fmt.Errorf(": no value for placeholder %s", t)
	}
	return v, nil
}

// tree replaces in a tree, and reports whether anything was replaced.
func (r replacer) tree(v any) (_ any, changed bool, err error) {
	switch v := v.(type) {
	case string:
		return r.scalar(v)
	case []any:
		return r.list(v)
	case map[string]any:
		return r.fields(v, r.entry)
	}
	return v, false, nil
}

func (r replacer) list(items []any) (any, bool, error) {
	result := items
	changed := false
	for i, item := range items {
		replaced, differs, err := r.tree(item)
		if err != nil {
			return nil, false, fmt.Errorf("[%d]%w", i, err)
		}
		if !differs {
			continue
		}
		if !changed {
			result, changed = slices.Clone(items), true
		}
		result[i] = replaced
	}
	return result, changed, nil
}

// fields replaces in the fields of a map, each by replace.
func (r replacer) fields(fields map[string]any, replace func(string, any) (any, bool, error)) (any, bool, error) {
	result := fields
	changed := false
	for name, field := range fields {
		replaced, differs, err := replace(name, field)
		if err != nil {
			return nil, false, fmt.Errorf(".%s%w", name, err)
		}
		if !differs {
			continue
		}
		if !changed {
			result, changed = maps.Clone(fields), true
		}
		result[name] = replaced
	}
	return result, changed, nil
}

// entry replaces in one field of a map.
func (r replacer) entry(name string, field any) (any, bool, error) {
	if next(name, 0) >= 0 {
		return nil, false, fmt.Errorf(": a sealed value cannot be a key")
	}
	if s, ok := field.(string); ok && IsBase64(name) && next(s, 0) < 0 {
		text, err := r.encoded(s)
		return text, text != s, err
	}
	return r.tree(field)
}

// scalar replaces in one string.
func (r replacer) scalar(s string) (any, bool, error) {
	if template, open, err := r.template(s); open || err != nil {
		if err != nil {
			return nil, false, err
		}
		result, err := r.variables.evaluate(template)
		return result, true, err
	}
	if !Placeholder(s).Valid() {
		text, err := r.text(s)
		return text, text != s, err
	}
	v, err := r.value(Placeholder(s))
	if err != nil {
		return nil, false, err
	}
	result, err := v.scalar()
	return result, true, err
}

// text replaces inside of a text that must stay one.
func (r replacer) text(s string) (string, error) {
	if next(s, 0) < 0 {
		return s, nil
	}
	text, err := r.pieces(s, Value.string)
	return string(text), err
}

// pieces returns s with the bytes of values in the place of placeholders. Bytes that were put in are not looked at
// again.
func (r replacer) pieces(s string, textOf func(Value) (string, error)) ([]byte, error) {
	var result []byte
	rest := 0
	for i := next(s, 0); i >= 0; i = next(s, rest) {
		v, err := r.value(Placeholder(s[i : i+Length]))
		if err != nil {
			return nil, err
		}
		piece, err := textOf(v)
		if err != nil {
			return nil, err
		}
		result = append(append(result, s[rest:i]...), piece...)
		rest = i + Length
	}
	return append(result, s[rest:]...), nil
}

// encodedEntry replaces in one field of a map whose entries are base64.
func (r replacer) encodedEntry(name string, entry any) (any, bool, error) {
	if s, ok := entry.(string); ok && next(s, 0) < 0 && next(name, 0) < 0 {
		text, err := r.encoded(s)
		return text, text != s, err
	}
	return r.entry(name, entry)
}

// encoded replaces inside of what a base64 text encodes. Any bytes can stand there.
func (r replacer) encoded(s string) (string, error) {
	decoded, err := base64.StdEncoding.DecodeString(s)
	if err != nil || next(string(decoded), 0) < 0 {
		return s, nil // the API server judges what is no base64
	}
	replaced, err := r.pieces(string(decoded), func(v Value) (string, error) { return v.text, nil })
	return base64.StdEncoding.EncodeToString(replaced), err
}
