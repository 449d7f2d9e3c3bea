package openapi

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
)

// checkRules checks the rules of a Box with a spec.
func checkRules(t *testing.T, schema, spec string) ([]Problem, int, error) {
	t.Helper()
	d, err := Parse([]byte(boxes(schema)))
	if err != nil {
		t.Fatal(err)
	}
	var value any
	if err := json.Unmarshal([]byte(spec), &value); err != nil {
		t.Fatal(err)
	}
	object := map[string]any{"apiVersion": "example.com/v1", "kind": "Box", "metadata": map[string]any{"name": "x"},
		"spec": value, "status": map[string]any{"a": "x"}}
	return d.Schema(box).CheckRules(t.Context(), "Box", object, func(text string) bool { return text == "${X}" })
}

// rule returns a schema of two numbers with a rule, and more fields of the rule.
func rule(text string, more ...string) string {
	data, _ := json.Marshal(text)
	return `{"type": "object", "properties": {"a": {"type": "integer", "default": 3}, "b": {"type": "integer"},
		"text": {"type": "string"}, "list": {"type": "array", "maxItems": 100, "items": {"type": "object", "properties": {
			"n": {"type": "integer"}}, "x-kubernetes-validations": [{"rule": "self.n > 0", "message": "n is to be above 0"}]}}},
		"x-kubernetes-validations": [{"rule": ` + string(data) + strings.Join(append([]string{""}, more...), ", ") + `}]}`
}

// TestCheckRules checks that a valid spec breaks no rule, and the problem of one that does. unchecked is of the valid
// one.
func TestCheckRules(t *testing.T) {
	many := strings.TrimSuffix(strings.Repeat(`{"rule": "self > 0"},`, maxRules+1), ",")
	for _, c := range []struct {
		name, schema, valid, invalid, want string
		unchecked                          int
	}{
		{"none", `{"type": "object"}`, `{}`, "", "", 0},
		{"message", rule("self.b < 5", `"message": "b is to be small"`), `{"b": 1}`, `{"b": 7}`,
			"Box.spec breaks a rule of its schema: b is to be small", 0},
		{"no_message", rule("self.b < 5"), `{"b": 1}`, `{"b": 7}`, "failed rule: self.b < 5", 0},
		{"message_expression", rule("self.b < 5", `"messageExpression": "'b is ' + string(self.b)"`), `{"b": 1}`, `{"b": 7}`,
			"schema: b is 7", 0},
		{"field_path", rule("self.b < 5", `"fieldPath": ".b"`), `{"b": 1}`, `{"b": 7}`, "Box.spec.b breaks a rule", 0},
		{"default", rule("self.a <= self.b"), `{"b": 3}`, `{"b": 2}`, "breaks a rule", 0},
		{"missing_field", rule("self.b < 5"), `{"b": 1}`, `{}`, "no such key: b evaluating rule", 0},
		{"list", rule("true"), `{"list": [{"n": 1}]}`, `{"list": [{"n": 1}, {"n": 0}]}`,
			"Box.spec.list[1] breaks a rule of its schema: n is to be above 0", 0},
		{"null", rule("!has(self.text)"), `{"text": null}`, `{"text": "x"}`, "breaks a rule", 0},
		{"library", rule("quantity(self.text).isLessThan(quantity('1Gi'))"), `{"text": "1Mi"}`, `{"text": "2Gi"}`, "breaks", 0},
		{"transition", rule("self.b == oldSelf.b"), `{"list": [{"n": 1}]}`, `{"list": [{"n": 0}]}`, "n is to be", 1},
		{"optional", rule("self.b > 0 || true", `"optionalOldSelf": true`), `{}`, "", "", 1},
		{"unknown_function", rule("later(self.b)"), `{"list": [{"n": 1}]}`, `{"list": [{"n": 0}]}`, "n is to be", 1},
		{"message_like_error", rule("self.b < 5", `"message": "rule compile error: b is to be small"`), `{"b": 1}`, `{"b": 7}`,
			"schema: rule compile error: b is to be small", 0},
		{"duplicate", rule("self.b < 5", `"message": "b is to be small", "reason": "FieldValueDuplicate"`), `{"b": 1}`,
			`{"b": 7}`, "schema: b is to be small", 0},
		{"unknown_text", rule("false"), `{"text": "${X}"}`, `{"text": "X"}`, "failed rule: false", 2},
		{"too_many", `{"type": "integer", "x-kubernetes-validations": [` + many + `]}`, `0`, "", "", maxRules + 1},
		{"too_long", rule("self.b > 0" + strings.Repeat(" ", maxRuleBytes)), `{}`, "", "", 2},
		{"not_structural", `{"type": "array", "items": [{}], "x-kubernetes-validations": [{"rule": "false"}]}`, `[]`, "", "", 1},
		{"expensive", rule(`self.list.all(a, self.list.all(b, self.list.all(c, self.list.all(d, a.n + b.n + c.n + d.n > 0))))`),
			`{"list": [{"n": 1}]}`, `{"list": [` + strings.Repeat(`{"n": 1}, `, 99) + `{"n": 1}]}`, "cost exceeds limit", 0},
		{"control_characters", rule("self.b < 5", `"message": "\u001b[2J"`), `{"b": 1}`, `{"b": 7}`, "schema: \ufffd[2J", 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			if broken, unchecked, err := checkRules(t, c.schema, c.valid); err != nil || len(broken) > 0 ||
				unchecked != c.unchecked {
				t.Errorf("%.100s: %q, %d unchecked, error %v", c.valid, broken, unchecked, err)
			}
			if c.invalid == "" {
				return
			}
			broken, _, err := checkRules(t, c.schema, c.invalid)
			if err != nil || len(broken) != 1 || !strings.Contains(broken[0].Text, c.want) {
				t.Errorf("%.100s: %q, want %q, error %v", c.invalid, broken, c.want, err)
			}
		})
	}
}

// TestCheckRules_root has rules about metadata and about the status, which an apply does not set. The metadata is a
// reference, as API servers write it.
func TestCheckRules_root(t *testing.T) {
	d, err := Parse([]byte(`{"openapi": "3.0.0", "components": {"schemas": {"com.example.v1.Box": {"type": "object",
		"x-kubernetes-group-version-kind": [{"group": "example.com", "version": "v1", "kind": "Box"}],
		"properties": {"metadata": {"allOf": [{"$ref": "#/components/schemas/M"}], "default": {}},
			"status": {"type": "object", "properties": {"a": {"type": "string"}}}},
		"x-kubernetes-validations": [{"rule": "self.metadata.name == 'only' && !has(self.status)"}]}}}}`))
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]int{"only": 0, "other": 1} {
		object := map[string]any{"apiVersion": "example.com/v1", "kind": "Box", "metadata": map[string]any{"name": name,
			"labels": map[string]any{"a": "b"}}, "status": map[string]any{"a": "x"}, "n": 1}
		broken, unchecked, err := d.Schema(box).CheckRules(t.Context(), "Box", object, func(string) bool { return false })
		if err != nil || unchecked != 0 || len(broken) != want {
			t.Errorf("%s: %q, %d unchecked, error %v", name, broken, unchecked, err)
		}
		if object["status"] == nil || object["n"] != 1 {
			t.Error("the object was changed")
		}
	}
}

// TestCheckRules_work compiles as many rules as are allowed, of a large schema, within seconds, once.
func TestCheckRules_work(t *testing.T) {
	field := `{"type": "object", "properties": {"n": {"type": "integer"}}, "x-kubernetes-validations": [{"rule": "` +
		strings.Repeat("self.n > 0 && ", 15) + `true"}]}`
	var fields []string
	for i := range maxRules {
		fields = append(fields, fmt.Sprintf(`"f%d": %s`, i, field))
	}
	d, err := Parse([]byte(boxes(`{"type": "object", "properties": {` + strings.Join(fields[:900], ",") + `}}`)))
	if err != nil {
		t.Fatal(err)
	}
	started := time.Now()
	for range 100 {
		_, unchecked, err := d.Schema(box).CheckRules(t.Context(), "Box", map[string]any{"spec": map[string]any{}},
			func(string) bool { return false })
		if err != nil || unchecked != 900 && unchecked != 0 {
			t.Fatal(unchecked, err)
		}
	}
	if took := time.Since(started); took > 30*time.Second {
		t.Errorf("took %s", took)
	}
}

// TestCheckRules_ends checks that a check ends with its context.
func TestCheckRules_ends(t *testing.T) {
	d, err := Parse([]byte(boxes(rule("self.b < 5"))))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, _, err = d.Schema(box).CheckRules(ctx, "Box", map[string]any{"spec": map[string]any{"b": int64(7)}},
		func(string) bool { return false })
	if !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
}

// FuzzCheckRules checks objects against rules of an attacker.
func FuzzCheckRules(f *testing.F) {
	f.Add(rule("self.a < 5 && self.list.all(x, x.n > 0)"), `{"a": 1, "list": [{"n": 1}]}`)
	f.Add(`{"type": "object", "additionalProperties": {"x-kubernetes-int-or-string": true}, "x-kubernetes-validations": `+
		`[{"rule": "self.all(k, self[k] == 'x')"}]}`, `{"a": 1.5}`)
	f.Add(`{"type": "object", "allOf": [{"x-kubernetes-validations": [{"rule": "has(self.a)"}]}]}`, `{"a": null}`)
	f.Add(`{"x-kubernetes-validations": [{"rule": "self"}, 1], "properties": {"a": {"$ref": 1}}}`, `[]`)
	f.Fuzz(func(t *testing.T, schema, spec string) {
		d, err := Parse([]byte(boxes(schema)))
		var value any
		if err != nil || json.Unmarshal([]byte(spec), &value) != nil {
			return
		}
		for kind := range d.Kinds() {
			broken, _, _ := d.Schema(kind).CheckRules(t.Context(), "Box", map[string]any{"spec": value},
				func(string) bool { return false })
			if len(broken) > maxProblems || strings.Contains(joined(broken), "\x1b") {
				t.Errorf("%q", broken)
			}
		}
	})
}
