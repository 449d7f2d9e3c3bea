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
		{"has_parent_missing", "has(status.a.b)", false, "column 4: no such key: a"},
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
		{"huge_pattern", "status.phase.matches('" + strings.Repeat("(.{1000})", 400) + "')", nil,
			"the regular expression is too large"},
		{"function_of_texts", "['a', 'b'].join(',') == 'a,b'", nil, "the function join is not supported"},
		{"json_encode", "json.encode(status) == ''", nil, "the function json.encode is not supported"},
		{"too_long", strings.Repeat(" ", MaxBytes) + "true", nil, "4100 bytes: more than 4096"},
		{"too_deep", strings.Repeat("(", 500) + "true" + strings.Repeat(")", 500), nil, "line 1"},
		{"chain_of_lists", "[1].map(a, [a, a]).map(a, [a, a]).map(a, [a, a]).size() == 1", nil, "more than 2 of the macros"},
		{"variables", "dep.status.a == self.metadata.b && dep.status.c.all(x, x.y == sets.contains([x], [x]))",
			[]string{"dep", "self"}, ""},
		{"unknown_variable", "dep.status.a == status.a", []string{"dep", "self"},
			`column 17: unknown variable "status": there are dep, self`},
		{"optional_element", "[?status.?a] == []", nil, "column 1: optional elements of lists and entries of maps are not"},
		{"optional_entry", "{?'a': status.?a} == {}", nil, "optional elements of lists and entries of maps are not supported"},
		{"protobuf_object", "google.protobuf.Value{string_value: status.a} == 'a'", nil,
			"objects of type google.protobuf.Value are not supported"},
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

// TestEvaluate_limits ends what takes too much, before the work is done.
func TestEvaluate_limits(t *testing.T) {
	long := map[string]any{"list": make([]any, 2000), "text": strings.Repeat("a", 100_000),
		"part": strings.Repeat("a", 50_000) + "b", "short": strings.Repeat("a", 500)}
	for i := range long["list"].([]any) {
		long["list"].([]any)[i] = int64(i)
	}
	nested := func(list, body string) string { // 40 macros, each of which makes a list of the list before
		return strings.Repeat(list+".all(a, ", 40) + body + strings.Repeat(")", 40)
	}
	for name, text := range map[string]string{
		"nested_loops":    "status.list.all(a, status.list.all(b, a + b >= 0))",
		"doubled_text":    "status.text + status.text + status.text + status.text + status.text == ''",
		"split":           "status.list.all(a, status.text.split('').size() > 0)",
		"sets":            "sets.contains(status.list, status.list)",
		"many_patterns":   "status.list.all(a, status.text.matches('a*b*c*d*e*f*g*'))",
		"large_pattern":   "status.text.matches('(a?){30}a{30}b')",
		"index_of":        "status.text.indexOf(status.part) > 0",
		"last_index_of":   "status.text.lastIndexOf(status.part) > 0",
		"many_index_of":   "status.list.all(a, status.short.indexOf('aaaaaaaaaaaaaaab') < 0)",
		"equal_lists":     "status.list.all(a, status.list == status.list)",
		"unequal_lists":   "status.list.all(a, status.list != [status.list] + status.list.filter(b, b > 0))",
		"in_list":         "status.list.all(a, !(-1 in status.list))",
		"equal_maps":      "status.list.all(a, {'a': status.list} == {'a': status.list})",
		"optional_values": "status.list.all(a, status.?list == status.?list)",
		"time_zones": "status.list.all(a, timestamp('2026-01-01T00:00:00Z').getHours('Europe/Berlin') == " +
			"timestamp('2026-01-01T00:00:00Z').getHours('Europe/Berlin'))",
		"doubled_list":      "[status.list].all(a, " + nested("[a + a]", "a.size() > 0") + ")",
		"tree_of_lists":     "[status.list].all(a, " + nested("[[a, a, a]]", "a == a") + ")",
		"tree_in_list":      "[status.list].all(a, " + nested("[[a, a, a]]", "a in [a]") + ")",
		"tree_in_sets":      "[status.list].all(a, " + nested("[[a, a, a]]", "sets.intersects(a, a)") + ")",
		"tree_in_its_error": "[status.list].all(a, " + nested("[[a, a, a]]", "optional.unwrap(a) == []") + ")",
	} {
		t.Run(name, func(t *testing.T) {
			e, err := Parse(text)
			if err != nil {
				t.Fatal(err)
			}
			started := time.Now()
			_, err = e.Evaluate(map[string]any{"status": long})
			if err == nil || !strings.Contains(err.Error(), "too many steps: more than 20000") {
				t.Error(err)
			}
			if took := time.Since(started); took > 5*time.Second {
				t.Errorf("took %s", took)
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

// TestEvaluate_named gives fewer steps to expressions with named variables.
func TestEvaluate_named(t *testing.T) {
	for _, c := range []struct {
		elements int
		want     string
	}{{100, ""}, {1000, "too many steps: more than 5000"}} {
		e, err := Parse("dep.all(a, a == null)", "dep")
		if err != nil {
			t.Fatal(err)
		}
		_, err = e.Evaluate(map[string]any{"dep": make([]any, c.elements)})
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%d elements: %v", c.elements, err)
		}
	}
}

// TestEvaluate_secret tells the place and the kind of an error, and never a value, however it was changed.
func TestEvaluate_secret(t *testing.T) {
	o := object(t, `{spec: {v: correct-horse, num: 4711, list: [1]}, labels: {a: b}}`)
	for _, c := range []struct{ text, want string }{
		{"labels[spec.v] == 'x'", "line 1, column 7: no such key or index"},
		{"labels[spec.v.reverse()] == 'x'", "line 1, column 7: no such key or index"},
		{"labels[?spec.v].value() == 'x'", "column 22: optional.none() dereference"},
		{"spec.list.exists(x, x == labels[spec.v.upperAscii()])", "column 32: no such key or index"},
		{"{'a': 1}[spec.v.substring(0, 6)] == 1", "column 9: no such key or index"},
		{"spec.list[spec.num] == 1", "line 1, column 10: no such key or index"},
		{"spec.v.charAt(spec.num) == ''", "column 14: index out of bounds"},
		{"spec.v.substring(spec.num) == ''", "index out of bounds"},
		{"int(spec.v) == 1", "line 1, column 4: type conversion error"},
		{"double(spec.v) == 1.0", "type conversion error"},
		{"bool(spec.v)", "type conversion error"},
		{"timestamp(spec.v) > timestamp(0)", "type conversion error"},
		{"duration(spec.v) > duration('1s')", "type conversion error"},
		{"base64.decode(spec.v) == b''", "the text is not base64"},
		{"timestamp(0).getHours(spec.v) == 0", "unknown time zone"},
		{"timestamp(0).getHours(spec.v + ':0') == 0", "type conversion error"},
		{"optional.unwrap([optional.of(1), spec.v]) == []", "the evaluation failed"},
		{"spec.num / 0 == 1", "division by zero"},
		{"spec.v + 1 == 1", "no such overload"},
		{"spec.v.all(x, true)", "the macro needs a list or a map"},
		{"spec.v", "the expression is a string, want true or false"},
	} {
		e, err := Parse(c.text)
		if err != nil {
			t.Fatal(c.text, err)
		}
		_, err = e.Evaluate(o)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %s", c.text, err, c.want)
			continue
		}
		for _, secret := range []string{"correct", "CORRECT", "esroh", "horse", "4711"} {
			if strings.Contains(err.Error(), secret) {
				t.Errorf("%s: %v", c.text, err)
			}
		}
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
