package expression

import (
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/util/yaml"
)

// object is what a JSON decoder makes of some YAML.
func object(t testing.TB, text string) map[string]any {
	t.Helper()
	var o map[string]any
	if err := yaml.Unmarshal([]byte(text), &o); err != nil {
		t.Fatal(err)
	}
	return o
}

const claim = `
apiVersion: database.example.com/v1
kind: Claim
metadata: {name: db, generation: 2, labels: {app/version: '1.2'}}
spec: {replicas: 3}
status:
  replicas: 3
  phase: Running
  ratio: 0.5
  startedAt: '2026-01-01T00:00:00Z'
  conditions: [{type: Ready, status: 'True', reason: Up}, {type: Synced, status: 'False'}]
`

func TestEvaluate(t *testing.T) {
	for _, c := range []struct {
		name, text string
		want       bool
		err        string
	}{
		{"exists", "status.conditions.exists(c, c.type == 'Ready' && c.status == 'True')", true, ""},
		{"filter_all", "status.conditions.filter(e, e.type == 'Synced').all(e, e.status == 'True')", false, ""},
		{"filter_of_none_all", "status.conditions.filter(e, e.type == 'No').all(e, e.status == 'True')", true, ""},
		{"fields", "status.replicas == spec.replicas", true, ""},
		{"whole_and_float", "status.ratio < 1 && status.replicas >= 2.5", true, ""},
		{"has", "has(status.observedGeneration) && status.observedGeneration == metadata.generation", false, ""},
		{"has_parent_missing", "has(status.a.b)", false, "no such key: a"},
		{"label", "metadata.labels['app/version'] == '1.2'", true, ""},
		{"in", "status.phase in ['Running', 'Succeeded']", true, ""},
		{"key_in", "'conditions' in status", true, ""},
		{"optional", "status.?observedGeneration.orValue(2) == metadata.generation", true, ""},
		{"optional_index", "status.conditions[?0].type.orValue('') == 'Ready'", true, ""},
		{"strings", "status.phase.lowerAscii() == 'running' && 'a,b'.split(',')[1] == 'b'", true, ""},
		{"matches", "status.phase.matches('^Run')", true, ""},
		{"sets", "sets.contains(['a', 'b'], ['a'])", true, ""},
		{"base64", "string(base64.decode('aGk=')) == 'hi'", true, ""},
		{"time", "timestamp(status.startedAt) < timestamp('2026-02-01T00:00:00Z')", true, ""},
		{"mixed_list", "status.phase in [1, 'Running']", true, ""},
		{"unlike_types", "status.phase == 1", false, ""},
		{"missing_section", "data.a == 'b'", false, "no such attribute"},
		{"missing_field", "status.ready == true", false, "no such key: ready"},
		{"no_bool", "status.replicas", false, "the expression is a int, want true or false"},
		{"error_behind_true", "status.phase == 'Running' || status.ready", true, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			e, err := Parse(c.text)
			if err != nil {
				t.Fatal(err)
			}
			got, err := e.Evaluate(object(t, claim))
			if got != c.want || (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) {
				t.Errorf("%t, %v; want %t, %q", got, err, c.want, c.err)
			}
		})
	}
}

func TestParse(t *testing.T) {
	for _, c := range []struct {
		name, text string
		variables  []string
		err        string
	}{
		{"empty", "", nil, "line 1, column 1: Syntax error"},
		{"unfinished", "status.conditions.exists(c, c.type ==", nil, "line 1, column 38: Syntax error"},
		{"second_line", "status.a == 'b' &&\n  status.c = 'd'", nil, "line 2, column 12: Syntax error"},
		{"unknown_function", "status.conditions.any(c, c.type == 'Ready')", nil, `column 22: unknown function "any"`},
		{"unknown_namespaced_function", "math.abs(status.a) > 1", nil, `unknown function "abs"`},
		{"macro_with_one_argument", "status.conditions.exists(c)", nil, `unknown function "exists"`},
		{"wrong_number_of_arguments", "status.phase.startsWith()", nil,
			"the function startsWith does not take 0 arguments like this"},
		{"bad_regular_expression", "status.phase.matches('(')", nil, "missing closing )"},
		{"pattern_of_the_object", "status.phase.matches(spec.pattern)", nil, "line 1, column 26: want the regular expression"},
		{"large_pattern", "status.phase.matches('a{900}')", nil, "the regular expression is too large"},
		{"function_of_texts", "['a', 'b'].join(',') == 'a,b'", nil, "the function join is not supported"},
		{"json_encode", "json.encode(status) == ''", nil, "the function json.encode is not supported"},
		{"too_long", strings.Repeat(" ", MaxBytes) + "true", nil, "4100 bytes: more than 4096"},
		{"too_deep", strings.Repeat("(", 500) + "true" + strings.Repeat(")", 500), nil, "line 1"},
		{"chain_of_lists", "[1].map(a, [a, a]).map(a, [a, a]).map(a, [a, a]).size() == 1", nil, "more than 2 of the macros"},
		{"variables", "dep.status.a == self.metadata.b && dep.status.c.all(x, x.y == sets.contains([x], [x]))",
			[]string{"dep", "self"}, ""},
		{"unknown_variable", "dep.status.a == status.a", []string{"dep", "self"},
			`column 17: unknown variable "status": there are dep, self`},
		{"type_as_variable", "type(dep) == map", []string{"dep", "self"}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := Parse(c.text, c.variables...)
			if (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) {
				t.Errorf("%v, want %q", err, c.err)
			}
		})
	}
}

// TestEvaluate_limits ends what takes too much.
func TestEvaluate_limits(t *testing.T) {
	long := map[string]any{"list": make([]any, 5000), "text": strings.Repeat("a", 100_000)}
	for i := range long["list"].([]any) {
		long["list"].([]any)[i] = int64(i)
	}
	for name, text := range map[string]string{
		"nested_loops":  "status.list.all(a, status.list.all(b, a + b >= 0))",
		"doubled_text":  "status.text + status.text + status.text + status.text + status.text == ''",
		"split":         "status.list.all(a, status.text.split('').size() > 0)",
		"sets":          "sets.contains(status.list, status.list)",
		"many_patterns": "status.list.all(a, status.text.matches('a*b*c*d*e*f*g*'))",
	} {
		t.Run(name, func(t *testing.T) {
			e, err := Parse(text)
			if err != nil {
				t.Fatal(err)
			}
			_, err = e.Evaluate(map[string]any{"status": long})
			if err == nil || !strings.Contains(err.Error(), "cost limit") {
				t.Error(err)
			}
		})
	}
	e, err := Parse("true")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := e.Evaluate(map[string]any{"status": make([]any, maxValues)}); err == nil {
		t.Error("too many values are evaluated")
	}
	if _, err := e.Evaluate(map[string]any{"status": strings.Repeat("a", maxText+1)}); err == nil {
		t.Error("too much text is evaluated")
	}
}

// FuzzParse looks for expressions that take long, or panic.
func FuzzParse(f *testing.F) {
	for _, text := range []string{
		"status.conditions.exists(c, c.type == 'Ready' && c.status == 'True')", "status.?a[?0].orValue(1) == 1",
		"sets.contains([1, 2], [1])", "'a'.split('')[0] == b'a'", "status.conditions.map(c, [c, c]).map(c, [c, c]) == [1]",
		"timestamp('2026-01-01T00:00:00Z') - duration('1s') > status.startedAt", "has(status.a)", "((((", "a.b.c(d)",
		"{'a': status}.a.replicas == 1u", "status.conditions.filter(c, c.type.matches(c.status)).size() == 0",
	} {
		f.Add(text)
	}
	o := object(f, claim)
	f.Fuzz(func(t *testing.T, text string) {
		started := time.Now()
		e, err := Parse(text)
		if err == nil {
			_, _ = e.Evaluate(o)
		}
		if took := time.Since(started); took > 10*time.Second {
			t.Errorf("%q took %s", text, took)
		}
	})
}
