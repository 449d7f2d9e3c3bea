package sealed

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"maps"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// Lookup returns the value of a placeholder, and whether there is one.
type Lookup = func(Placeholder) (Value, bool)

// Replace returns a tree of JSON values (as unstructured objects have them) with values in the place of placeholders.
// The input is not changed; what holds no placeholder is shared with it. A string that is a placeholder, whole, becomes
// the value with its type; placeholders inside of a longer string become text. Placeholders that value does not know
// stay and are returned, each once. A placeholder in a map's key is an error: a name is no secret, and the hub needs
// it.
func Replace(v any, value Lookup) (any, []Placeholder, error) {
	r := replacer{lookup: value}
	result, _, err := r.tree(v)
	return result, r.unknown, err
}

// ReplaceObject returns an object (a manifest.Object) with values in the place of placeholders, as Replace does, and
// also inside of the base64 of a Secret's data and a ConfigMap's binaryData. A whole placeholder there is put in as it
// is: what was encrypted is the base64 already. Placeholders that value does not know are an error, and so is a
// placeholder in what names the object. Errors name fields and placeholders, never values.
func ReplaceObject(o *unstructured.Unstructured, value Lookup) (*unstructured.Unstructured, error) {
	if err := checkName(o); err != nil {
		return nil, err
	}
	r := replacer{lookup: value}
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
			return nil, fmt.Errorf("put sealed values into %s %s: %s%w", o.GetKind(), o.GetName(), name, err)
		}
	}
	if len(r.unknown) > 0 {
		return nil, fmt.Errorf("put sealed values into %s %s: no value for placeholder %s", o.GetKind(), o.GetName(),
			r.unknown[0])
	}
	return &unstructured.Unstructured{Object: fields}, nil
}

// checkName refuses placeholders in the fields that name an object: the hub could not know what it signed.
func checkName(o *unstructured.Unstructured) error {
	for _, name := range []string{o.GetAPIVersion(), o.GetKind(), o.GetNamespace(), o.GetName()} {
		if len(Find(name)) > 0 {
			return fmt.Errorf("%s %s: a sealed value cannot name an object", o.GetKind(), o.GetName())
		}
	}
	return nil
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

// replacer replaces and remembers the placeholders that have no value.
type replacer struct {
	lookup  Lookup
	unknown []Placeholder
}

// value looks a placeholder up.
func (r *replacer) value(t Placeholder) (Value, bool) {
	v, ok := r.lookup(t)
	if !ok && !slices.Contains(r.unknown, t) {
		r.unknown = append(r.unknown, t)
	}
	return v, ok
}

// tree replaces in a tree, and reports whether anything was replaced. Errors start with the path below it.
func (r *replacer) tree(v any) (_ any, changed bool, err error) {
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

func (r *replacer) list(items []any) (any, bool, error) {
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
func (r *replacer) fields(fields map[string]any, replace func(string, any) (any, bool, error)) (any, bool, error) {
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
func (r *replacer) entry(name string, field any) (any, bool, error) {
	if next(name, 0) >= 0 {
		return nil, false, fmt.Errorf(": a sealed value cannot be a key")
	}
	return r.tree(field)
}

// scalar replaces in one string.
func (r *replacer) scalar(s string) (any, bool, error) {
	if !Placeholder(s).Valid() {
		text, err := r.text(s)
		return text, text != s, err
	}
	v, ok := r.value(Placeholder(s))
	if !ok {
		return s, false, nil
	}
	result, err := v.scalar()
	if err != nil {
		return nil, false, fmt.Errorf(": %w", err)
	}
	return result, true, nil
}

// text replaces inside of a text that must stay one.
func (r *replacer) text(s string) (string, error) {
	if next(s, 0) < 0 {
		return s, nil
	}
	var b strings.Builder
	err := r.pieces(s, func(piece string) { b.WriteString(piece) }, func(v Value) error {
		text, err := v.string()
		b.WriteString(text)
		return err
	})
	if err != nil {
		return "", fmt.Errorf(": %w", err)
	}
	return b.String(), nil
}

// pieces cuts s at its placeholders: keep gets what stays, put what comes in the place of a placeholder. What was put
// in is not looked at again.
func (r *replacer) pieces(s string, keep func(string), put func(Value) error) error {
	rest := 0
	for i := next(s, 0); i >= 0; i = next(s, i+Length) {
		v, ok := r.value(Placeholder(s[i : i+Length]))
		if !ok {
			continue
		}
		keep(s[rest:i])
		if err := put(v); err != nil {
			return err
		}
		rest = i + Length
	}
	keep(s[rest:])
	return nil
}

// encodedEntry replaces in one field of a map whose entries are base64.
func (r *replacer) encodedEntry(name string, entry any) (any, bool, error) {
	if s, ok := entry.(string); ok && next(s, 0) < 0 && next(name, 0) < 0 {
		text := r.encoded(s)
		return text, text != s, nil
	}
	return r.entry(name, entry)
}

// encoded replaces inside of what a base64 text encodes. Any bytes can stand there.
func (r *replacer) encoded(s string) string {
	decoded, err := base64.StdEncoding.DecodeString(s)
	if err != nil || next(string(decoded), 0) < 0 {
		return s // the API server judges what is no base64
	}
	var b bytes.Buffer
	_ = r.pieces(string(decoded), func(piece string) { b.WriteString(piece) }, func(v Value) error {
		b.Write(v.text)
		return nil
	})
	return base64.StdEncoding.EncodeToString(b.Bytes())
}
