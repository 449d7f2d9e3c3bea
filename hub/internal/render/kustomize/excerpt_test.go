package kustomize

import (
	"reflect"
	"testing"
	"unicode/utf8"

	"github.com/navefleet/nave/shared/manifest"
)

// nested returns an object with a text in several places, between other fields.
func nested(text, neighbour string) *manifest.Object {
	return &manifest.Object{Object: map[string]any{
		"apiVersion": "example.com/v1", "kind": "Thing", "metadata": map[string]any{"name": "a", "namespace": text},
		"spec": map[string]any{
			"after": neighbour, "before": "x: y", "count": int64(3), "empty": nil, "map": map[string]any{"a": "b", "k": text},
			"list": []any{neighbour, text, []any{text, "x"}, map[string]any{"name": text, "other": neighbour}, map[string]any{
				"name": neighbour}},
			"large": int64(1) << 60, "ratio": 0.5, "none": []any{}, "text": text,
		},
	}}
}

// TestExcerpt lists texts and values whose substitution changes no other part of an object, and others.
func TestExcerpt(t *testing.T) {
	for name, c := range map[string]struct {
		text, value string
		ok          bool
	}{
		"name":            {"${A}.example.com", "x1", true},
		"number":          {"${A}", "12", true},
		"empty":           {"${A}", "", true},
		"dash":            {"${A}", "-", true},
		"colon":           {"${A}", "a:", true},
		"marker":          {"${A}", "---", true},
		"default":         {"${B:-x}", "1", true},
		"dollar":          {"$A costs 5$", "1", true},
		"lines":           {"a\n  ${A}\nb\n", "1", true},
		"quote":           {"${A}", `"`, false},
		"list":            {"${A}", "[", false},
		"block":           {"${A}", "|", false},
		"anchor":          {"${A}", "&a", false},
		"space":           {"${A}", "a b", false},
		"quoted_default":  {`${B:-"}`, "1", false},
		"nested_default":  {"${B:-${A}}", "1", false},
		"escaped":         {"$${A}", "1", false},
		"replace":         {"${A/a/b}", "a", false},
		"unclosed":        {"${A", "a", false},
		"without_default": {"${B:?x}", "a", false},
	} {
		t.Run(name, func(t *testing.T) {
			vars := mustVariables(t, c.value)
			if _, ok := vars.excerpt(nested(c.text, "x")); ok != c.ok {
				t.Errorf("excerpt: %v", ok)
			}
			sameParts(t, vars, nested(c.text, "x"))
		})
	}
	keys := &manifest.Object{Object: map[string]any{"kind": "A", "spec": map[string]any{"${A}": "x"}}}
	if _, ok := mustVariables(t, "x").excerpt(keys); ok {
		t.Error("an object with a reference in a key has an excerpt")
	}
}

func mustVariables(t *testing.T, value string) *variables {
	t.Helper()
	vars, err := newVariables(&Spec{Substitute: map[string]string{"A": value}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return vars
}

// sameParts substitutes in an object as a whole and in its parts. If there are parts, both must give the same.
func sameParts(t *testing.T, vars *variables, o *manifest.Object) {
	t.Helper()
	whole, err := vars.substituted(o.DeepCopy())
	parts, ok := vars.substitutedParts(o)
	if ok && (err != nil || !reflect.DeepEqual(parts, whole)) {
		t.Errorf("parts: %v\nwhole: %v, %v", parts, whole, err)
	}
}

// FuzzExcerpt substitutes in objects as a whole and in their parts.
func FuzzExcerpt(f *testing.F) {
	for _, seed := range [][3]string{
		{"${A}", "1", "x"}, {"${A}", "", ""}, {"- ${A}", "-", "- x"}, {"${A}${B:-x:}", "x:", "y"}, {"x # ${A}", "a", "\t"},
		{"a: ${A}", "b", ": "}, {"\"${A}\"", "a", "'"}, {"${A}\n\n ${A}", "+1", "\n"}, {" ${A} ", "true", "|"}, {"$", "0x1", "*a"},
		{"? ${A}", "~", "..."}, {"!!int ${A}", "=", "<<"}, {"&a ${A}", "...", "%x"}, {"\u0085${A}\ufeff", "1e3", "\u2028"},
	} {
		f.Add(seed[0], seed[1], seed[2])
	}
	f.Fuzz(func(t *testing.T, text, value, neighbour string) {
		if !utf8.ValidString(text + value + neighbour) {
			t.Skip("no text of a YAML file")
		}
		sameParts(t, mustVariables(t, value), nested(text, neighbour))
	})
}
