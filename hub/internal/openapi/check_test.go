package openapi

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/navefleet/nave/shared/reporting"
)

var box = schema.GroupVersionKind{Group: "example.com", Version: "v1", Kind: "Box"}

// boxes returns a document whose kind Box has a spec with the given schema. Other definitions follow it.
func boxes(spec string, others ...string) string {
	return `{"openapi": "3.0.0", "components": {"schemas": {` + strings.Join(append([]string{
		`"com.example.v1.Box": {"type": "object", "x-kubernetes-group-version-kind": [{"group": "example.com",
		"version": "v1", "kind": "Box"}], "properties": {"spec": ` + spec + `}}`}, others...), ",") + `}}}`
}

func check(t *testing.T, document, spec string) ([]Problem, error) {
	t.Helper()
	d, err := Parse([]byte(document))
	if err != nil {
		t.Fatal(err)
	}
	var value any
	if err := json.Unmarshal([]byte(spec), &value); err != nil {
		t.Fatal(err)
	}
	isVariable := func(text string) bool { return text == "${X}" }
	return d.Schema(box).Check(t.Context(), "Box", map[string]any{"spec": value}, isVariable)
}

// TestCheck checks the spec of a Box: the first value of each case is valid, the second is not.
func TestCheck(t *testing.T) {
	const fields = `"type": "object", "properties": {"a": {"type": "string"}, "b": {"type": "integer"}}`
	const ports = `"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["port", "protocol"],
		"items": {"properties": {"port": {}, "protocol": {"default": "TCP"}}}`
	for _, c := range []struct{ name, schema, valid, invalid, want string }{
		{"type", `{"type": "string"}`, `"x"`, `1`, `Box.spec is an integer, want string`},
		{"number", `{"type": "number"}`, `1`, `"1"`, `Box.spec is a string, want number`},
		{"whole_number", `{"type": "integer"}`, `2.0`, `2.5`, `Box.spec is a number, want integer`},
		{"any_type", `{}`, `[1, "x", {"a": null}]`, "", ""},
		{"unknown_text", `{"type": "integer"}`, `"${X}"`, `"${Y}"`, `Box.spec is a string, want integer`},
		{"unknown_field", `{` + fields + `}`, `{"a": "x"}`, `{"a": "x", "c": 1}`, `Box.spec has the unknown field "c"`},
		{"preserved", `{` + fields + `, "x-kubernetes-preserve-unknown-fields": true}`, `{"c": 1}`, `{"a": 1}`, "Box.spec.a is"},
		{"free_object", `{"type": "object"}`, `{"c": 1}`, `[]`, "Box.spec is an array, want object"},
		{"no_more_fields", `{"type": "object", "additionalProperties": false}`, `{}`, `{"c": 1}`, `unknown field "c"`},
		{"map", `{"type": "object", "additionalProperties": {"type": "string"}}`, `{"c": "x"}`, `{"c": 1}`,
			"Box.spec.c is an integer, want string"},
		{"required", `{` + fields + `, "required": ["a"]}`, `{"a": "x"}`, `{"a": null}`,
			`Box.spec has no field "a", which is required`},
		{"required_default", `{"type": "object", "properties": {"a": {"default": "x"}, "b": {}}, "required": ["a", "b"]}`,
			`{"b": 1}`, `{"a": 1}`, `Box.spec has no field "b"`},
		{"null", `{` + fields + `}`, `{"a": null}`, "", ""},
		{"items", `{"type": "array", "items": {"type": "integer"}}`, `[1]`, `[1, "x"]`, "Box.spec[1] is a string"},
		{"enum", `{"type": "string", "enum": ["a", "b"]}`, `"a"`, `"c"`, `Box.spec is "c", want one of "a", "b"`},
		{"enum_number", `{"enum": [1, 2]}`, `1`, `3`, `Box.spec is 3, want one of 1, 2`},
		{"pattern", `{"pattern": "^a+$"}`, `"aa"`, `"ab"`, `Box.spec is "ab", which does not match the pattern "^a+$"`},
		{"large_pattern", `{"pattern": "(a{1000}){1000}"}`, `"x"`, "", ""},
		{"lookahead", `{"pattern": "(?=a)"}`, `"x"`, "", ""},
		{"minimum", `{"minimum": 1}`, `1`, `0`, "Box.spec is 0, want at least 1"},
		{"more_than", `{"minimum": 1, "exclusiveMinimum": true}`, `2`, `1`, "Box.spec is 1, want more than 1"},
		{"maximum", `{"maximum": 65535}`, `80`, `800000`, "Box.spec is 800000, want at most 65535"},
		{"length", `{"maxLength": 2}`, `"éé"`, `"eee"`, "Box.spec has 3 characters, want at most 2"},
		{"item_count", `{"minItems": 1}`, `[1]`, `[]`, "Box.spec has 0 items, want at least 1"},
		{"field_count", `{"maxProperties": 1}`, `{"a": 1}`, `{"a": 1, "b": 2}`, "Box.spec has 2 fields, want at most 1"},
		{"int_or_string", `{"x-kubernetes-int-or-string": true}`, `"25%"`, `true`, "is a boolean, want integer or string"},
		{"quantity", `{"oneOf": [{"type": "string"}, {"type": "number"}]}`, `1`, `[]`, "is an array, want number or string"},
		{"one_of", `{` + fields + `, "oneOf": [{"required": ["a"]}, {"required": ["b"]}]}`, `{"a": "x"}`,
			`{"a": "x", "b": 1}`, "Box.spec fits 2 of the 2 alternatives of its schema, want 1 (oneOf)"},
		{"any_of", `{` + fields + `, "anyOf": [{"required": ["a"]}, {"required": ["b"]}]}`, `{"a": "x", "b": 1}`, `{}`,
			"Box.spec fits none of the 2 alternatives"},
		{"all_of", `{` + fields + `, "allOf": [{"properties": {"a": {"enum": ["x"]}}}]}`, `{"a": "x", "b": 1}`, `{"a": "y"}`,
			`Box.spec.a is "y", want one of "x"`},
		{"not", `{` + fields + `, "not": {"required": ["a"]}}`, `{"b": 1}`, `{"a": "x"}`, "what its schema excludes"},
		{"not_unknown", `{` + fields + `, "not": {"properties": {"a": {"enum": ["x"]}}}}`, `{"a": "${X}"}`, `{"a": "x"}`,
			"what its schema excludes"},
		{"embedded", `{"type": "object", "x-kubernetes-embedded-resource": true, "properties": {"a": {}}}`,
			`{"apiVersion": "v1", "kind": "X", "metadata": {}, "a": 1}`, `{"b": 1}`, `unknown field "b"`},
		{"set", `{"x-kubernetes-list-type": "set"}`, `[1, 2, "1", "${X}", "${X}", null, null]`, `["a", "b", "a"]`,
			`Box.spec[2] is the same as Box.spec[0]: "a"`},
		{"set_number", `{"x-kubernetes-list-type": "set"}`, `[1, 1.5]`, `[1, 1.0]`, "Box.spec[1] is the same as Box.spec[0]"},
		{"map_keys", `{` + ports + `}`, `[{"port": 1}, {"port": 1, "protocol": "UDP"}, {"port": 2}, {"port": "${X}"}, {"port":
			"${X}"}, {}]`, `[{"port": 2}, {"port": 1}, {"port": 1, "protocol": "TCP"}]`,
			`Box.spec[2] has the same "port", "protocol" as Box.spec[1]: 1, "TCP"`},
		{"patch_key", `{"x-kubernetes-patch-strategy": "merge,retainKeys", "x-kubernetes-patch-merge-key": "name"}`,
			`[{"name": "a"}, {"name": "b"}]`, `[{"name": "a", "b": 1}, {"name": "a"}]`, `the same "name" as Box.spec[0]: "a"`},
		{"patched_set", `{"x-kubernetes-patch-strategy": "merge"}`, `["a"]`, `["a", "a"]`, `is the same as Box.spec[0]: "a"`},
		{"atomic_list", `{"x-kubernetes-list-type": "atomic", "x-kubernetes-patch-strategy": "merge"}`, `["a", "a"]`, "", ""},
		{"control_characters", `{"enum": ["\u001b[2J"]}`, `"\u001b[2J"`, `"x"`, `want one of "\x1b[2J"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			if problems, err := check(t, boxes(c.schema), c.valid); err != nil || len(problems) > 0 {
				t.Errorf("%s: %q, error %v", c.valid, problems, err)
			}
			if c.invalid == "" {
				return
			}
			problems, err := check(t, boxes(c.schema), c.invalid)
			if err != nil || len(problems) != 1 || !strings.Contains(problems[0].Text, c.want) {
				t.Errorf("%s: %q, error %v, want %q", c.invalid, problems, err, c.want)
			}
		})
	}
}

// TestCheck_references follows references, also around a loop of a type in itself.
func TestCheck_references(t *testing.T) {
	const tree = `"Tree": {"type": "object", "properties": {"child": {"$ref": "#/components/schemas/Tree"},
		"leaf": {"allOf": [{"$ref": "#/components/schemas/Leaf"}], "default": {}}}}, "Leaf": {"type": "string"}`
	document := boxes(`{"$ref": "#/components/schemas/Tree"}`, tree)
	if problems, err := check(t, document, `{"child": {"child": {"leaf": "x"}}}`); err != nil || len(problems) > 0 {
		t.Errorf("%q, error %v", problems, err)
	}
	problems, err := check(t, document, `{"child": {"child": {"leaf": 1, "x": 1}}}`)
	if want := []string{"Box.spec.child.child.leaf is an integer, want string",
		`Box.spec.child.child has the unknown field "x"`}; err != nil || joined(problems) != strings.Join(want, "|") {
		t.Errorf("%q, error %v", problems, err)
	}
}

// refs returns n references to a definition, in a list.
func refs(n int, to string) string {
	return strings.TrimSuffix(strings.Repeat(`{"$ref":"#/components/schemas/`+to+`"},`, n), ",")
}

// TestCheck_work checks that the work at a part of a schema that a value is compared with many times is done once, or
// that its size counts. Without that, each case takes minutes.
func TestCheck_work(t *testing.T) {
	strings90000 := strings.TrimSuffix(strings.Repeat(`{"type":"string"},`, 90_000), ",")
	large := `"` + strings.Repeat("x", 100_000) + `"`
	for _, c := range []struct{ name, parts, definition, value, want string }{
		{"enum", refs(20_000, "A"), `{"enum":["` + strings.Repeat("x", 4<<20) + `"]}`, `"a"`, "takes too long"},
		{"types", refs(20_000, "A"), `{"anyOf":[` + strings90000 + `]}`, `1`, "fits none of the 20000 alternatives"},
		{"alternatives", refs(20_000, "A"), `{"anyOf":[` + strings90000 + `]}`, `"a"`, "takes too long"},
		{"pattern", refs(90_000, "A"), `{"pattern":"^[a-z](` + strings.Repeat(`(a|b|c|d)?`, 40) + `)x$"}`, `"a"`,
			"fits none of the 90000 alternatives"},
		{"patterns", strings.TrimSuffix(strings.Repeat(`{"pattern":"\\pL{9}"},`, 45_000), ","), `{}`, `"a"`, "takes too long"},
		{"required", refs(90_000, "A"), `{"required":[` + strings.Repeat(`"a",`, 1000) + `"a"]}`, `{"b": 1}`, "takes too long"},
		{"fields", refs(90_000, "A"), `{"maxProperties":1}`, `{` + manyFields(10_000) + `}`, "takes too long"},
		{"text", refs(90_000, "A"), `{"maxLength":1}`, large, "takes too long"},
	} {
		t.Run(c.name, func(t *testing.T) {
			document, err := Parse([]byte(boxes(`{"anyOf":[`+c.parts+`]}`, `"A":`+c.definition)))
			var value any
			if err = errors.Join(err, json.Unmarshal([]byte(c.value), &value)); err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			problems, err := document.Schema(box).Check(ctx, "Box", map[string]any{"spec": value},
				func(string) bool { return false })
			if got := fmt.Sprintf("%.200q, error %v", problems, err); !strings.Contains(got, c.want) {
				t.Errorf("%s, want %s", got, c.want)
			}
		})
	}
}

func manyFields(n int) string {
	fields := make([]string, n)
	for i := range fields {
		fields[i] = fmt.Sprintf(`"f%d":1`, i)
	}
	return strings.Join(fields, ",")
}

// TestCheck_ends checks that a check ends with its context.
func TestCheck_ends(t *testing.T) {
	document, err := Parse([]byte(boxes(`{"type":"string"}`)))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = document.Schema(box).Check(ctx, "Box", map[string]any{"spec": 1}, func(string) bool { return false })
	if !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
}

// TestCheck_hostile checks that schemas that lead nowhere, or everywhere, end with an error, and soon.
func TestCheck_hostile(t *testing.T) {
	doubling := make([]string, 64)
	for i := range doubling {
		next := fmt.Sprintf(`{"$ref": "#/components/schemas/D%d"}`, (i+1)%64)
		doubling[i] = fmt.Sprintf(`"D%d": {"anyOf": [%s, %s, {"minimum": 1}]}`, i, next, next)
	}
	for _, c := range []struct {
		name, schema, want string
		others             []string
	}{
		{"loop", `{"$ref": "#/components/schemas/A"}`, "references lead from one to another",
			[]string{`"A": {"$ref": "#/components/schemas/A"}`}},
		{"loop_of_wrappers", `{"$ref": "#/components/schemas/A"}`, "references lead from one to another",
			[]string{`"A": {"allOf": [{"$ref": "#/components/schemas/A"}]}`}},
		{"loop_of_all", `{"$ref": "#/components/schemas/A"}`, "takes too long",
			[]string{`"A": {"type": "integer", "allOf": [{"$ref": "#/components/schemas/A"}]}`}},
		{"doubling", `{"$ref": "#/components/schemas/D0"}`, "takes too long", doubling},
		{"nowhere", `{"$ref": "#/components/schemas/B"}`, `"B" does not exist`, nil},
		{"elsewhere", `{"$ref": "https://example.com/x.json"}`, "does not lead to a schema of the document", nil},
		{"not_a_schema", `{"$ref": "#/components/schemas/A"}`, `"A" cannot be read`, []string{`"A": {"type": 1}`}},
		{"parts", `{"$ref": "#/components/schemas/A"}`, "more than 100000 parts",
			[]string{`"A": {"allOf": [` + strings.Repeat("{},", maxNodes) + `{}]}`}},
	} {
		t.Run(c.name, func(t *testing.T) {
			problems, err := check(t, boxes(c.schema, c.others...), `0`)
			if err == nil || !strings.Contains(err.Error(), c.want) || len(problems) > 0 {
				t.Errorf("%q, error %v, want %q", problems, err, c.want)
			}
		})
	}
}

// TestCheck_patterns checks that many large patterns, which take long to compile, end a check.
func TestCheck_patterns(t *testing.T) {
	var patterns []string
	for i := range 2 * maxSteps / patternCost / 4000 {
		patterns = append(patterns, fmt.Sprintf(`{"pattern": "%d%s"}`, i, strings.Repeat("a", 4000)))
	}
	_, err := check(t, boxes(`{"allOf": [`+strings.Join(patterns, ",")+`]}`), `"x"`)
	if err == nil || !strings.Contains(err.Error(), "takes too long") {
		t.Errorf("error %v", err)
	}
}

func TestParse_refused(t *testing.T) {
	for _, c := range []struct{ name, data, want string }{
		{"swagger", `{"swagger": "2.0", "definitions": {}}`, `openapi is ""`},
		{"text", `kind: Fleet`, "invalid character"},
		{"large", `{"openapi": "3.0.0"}` + strings.Repeat(" ", reporting.MaxSchema), "the limit, which is 16777216"},
		{"deep", `{"openapi": "3.0.0", "x": ` + strings.Repeat(`[`, 20_000), "exceeded max depth"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if _, err := Parse([]byte(c.data)); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want %q", err, c.want)
			}
		})
	}
}

func TestDefined(t *testing.T) {
	var crd map[string]any
	if err := json.Unmarshal([]byte(`{"kind": "CustomResourceDefinition", "spec": {"group": "example.com",
		"names": {"kind": "Box"}, "versions": [
		{"name": "v1", "served": true, "schema": {"openAPIV3Schema": {"type": "object", "properties": {"spec": {"type": "object",
			"properties": {"size": {"type": "integer"}}}}}}},
		{"name": "v2", "served": false}, {"name": "v3", "schema": {"openAPIV3Schema": {"maximum": "${X}"}}}]}}`), &crd); err != nil {
		t.Fatal(err)
	}
	all := Defined(crd)
	s, known := all[schema.GroupVersionKind{Group: "example.com", Version: "v2", Kind: "Box"}]
	if len(all) != 3 || s != nil || !known {
		t.Errorf("%v", all)
	}
	object := map[string]any{"apiVersion": "example.com/v1", "kind": "Box", "metadata": map[string]any{"name": "x"},
		"spec": map[string]any{"size": "x", "color": "red"}}
	problems, err := all[box].Check(t.Context(), "Box", object, func(string) bool { return false })
	if err != nil || joined(problems) != `Box.spec has the unknown field "color"|Box.spec.size is a string, want integer` {
		t.Errorf("%q, error %v", problems, err)
	}
	anything := all[schema.GroupVersionKind{Group: "example.com", Version: "v3", Kind: "Box"}]
	problems, err = anything.Check(t.Context(), "Box", object, func(string) bool { return false })
	if err != nil || len(problems) > 0 {
		t.Errorf("%q, error %v", problems, err)
	}
}

// FuzzCheck checks objects against documents of an attacker.
func FuzzCheck(f *testing.F) {
	f.Add(boxes(`{"type": "object", "properties": {"a": {"enum": ["x"], "pattern": "^x"}}}`), `{"a": "y", "b": 1}`)
	f.Add(boxes(`{"$ref": "#/components/schemas/A"}`, `"A": {"anyOf": [{"$ref": "#/components/schemas/A"}]}`), `[1, null]`)
	f.Add(boxes(`{"oneOf": [{"type": "string"}, {"not": {}}], "x-kubernetes-int-or-string": true}`), `{"a": [1.5, true]}`)
	f.Add(boxes(`{"additionalProperties": {"$ref": "#/components/schemas/com.example.v1.Box"}}`), `{"a": {"spec": {}}}`)
	f.Fuzz(func(t *testing.T, document, spec string) {
		d, err := Parse([]byte(document))
		var value any
		if err != nil || json.Unmarshal([]byte(spec), &value) != nil {
			return
		}
		object := map[string]any{"spec": value}
		for kind := range d.Kinds() {
			problems, err := d.Schema(kind).Check(t.Context(), "Box", object, func(text string) bool { return text == "${X}" })
			if len(problems) > maxProblems {
				t.Errorf("%d problems, error %v", len(problems), err)
			}
			for _, p := range problems {
				if strings.Contains(p.Text, "\x1b") {
					t.Errorf("a control character is shown: %q", p)
				}
			}
		}
	})
}

// joined returns the texts of problems.
func joined(problems []Problem) string {
	var texts []string
	for _, p := range problems {
		texts = append(texts, p.Text)
	}
	return strings.Join(texts, "|")
}

// TestCheck_fields names the field of each problem as manifest.Located finds it.
func TestCheck_fields(t *testing.T) {
	document := boxes(`{"properties": {"a": {"type": "array", "items": {"properties": {"b": {"type": "string"}},
		"required": ["c"]}}, "labels": {"type": "object", "additionalProperties": {"type": "string"}}}}`)
	problems, err := check(t, document, `{"a": [{"b": 1, "x": 1}], "labels": {"example.com/a": 1}, "y": 1}`)
	var fields []string
	for _, p := range problems {
		fields = append(fields, p.Field)
	}
	const want = "spec.a[0] spec.a[0].b spec.a[0].x spec.labels[example.com/a] spec.y"
	if got := strings.Join(fields, " "); err != nil || got != want {
		t.Errorf("fields %s, want %s; error %v; %v", got, want, err, problems)
	}
}
