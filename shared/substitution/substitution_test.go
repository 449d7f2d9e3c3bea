package substitution

import (
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/fluxcd/pkg/envsubst"
	"sigs.k8s.io/yaml"
)

var values = map[string]string{
	"A": "alpha", "EMPTY": "", "PORT": "8080", "ON": "true", "quote": `"`, "LIST": "[a, b]", "MAP": "{a: 1}",
	"COLON": "a: b", "ALIAS": "[&x 1, *x]", "DOLLAR": "${A}",
	"LONG": "[" + strings.Repeat("1, ", 20) + "1]",
}

func lookup(name string) (string, bool) { v, ok := values[name]; return v, ok }

func TestEvaluate(t *testing.T) {
	for name, c := range map[string]struct{ text, want string }{
		"plain":   {"a ${A} b", "a alpha b"},
		"bare":    {"$A", "$A"},
		"escaped": {"$${A} a$$b", "${A} a$b"},
		"default": {"${X:-${Y:-z}} ${EMPTY:-d}", "z d"},
		"casing":  {"${A^^}", "ALPHA"},
		"once":    {"${DOLLAR}", "${A}"},
	} {
		t.Run(name, func(t *testing.T) {
			if got, err := Evaluate(c.text, lookup); got != c.want || err != nil {
				t.Errorf("%q, %v; want %q", got, err, c.want)
			}
			if got, err := Evaluate(Escape(c.text), lookup); got != c.text || err != nil {
				t.Errorf("escaped: %q, %v; want %q", got, err, c.text)
			}
		})
	}
}

func TestEvaluate_unset(t *testing.T) {
	_, err := Evaluate("${A} ${X} ${Y}", lookup)
	if unset, ok := errors.AsType[*UnsetError](err); !ok || unset.Name != "X" {
		t.Errorf("got %v", err)
	}
	if _, err := Evaluate("${A", lookup); err == nil || strings.Contains(err.Error(), "A") {
		t.Errorf("got %v", err)
	}
	if _, err := Evaluate(strings.Repeat("$", maxReferences+1), lookup); err == nil {
		t.Error("a text of dollar signs is evaluated")
	}
}

func TestScalar(t *testing.T) {
	for name, c := range map[string]struct {
		text string
		want any
	}{
		"no_reference":   {"8080", "8080"},
		"text":           {"${A}-x", "alpha-x"},
		"number":         {"${PORT}", int64(8080)},
		"number_pieces":  {"1${PORT}", int64(18080)},
		"quoted":         {"${quote}${PORT}${quote}", "8080"},
		"boolean":        {"${ON}", true},
		"null":           {"${EMPTY}", nil},
		"list":           {"${LIST}", []any{"a", "b"}},
		"map":            {"${MAP}", map[string]any{"a": int64(1)}},
		"several_lines":  {"a: ${PORT}\nb\n", "a: 8080\nb\n"},
		"quoted_by_yaml": {"x: ${PORT}", "x: 8080"},
		"escaped":        {"$${A}", "${A}"},
		"default":        {"${X:-5}", int64(5)},
	} {
		t.Run(name, func(t *testing.T) {
			got, _, err := Scalar(c.text, lookup, 1000)
			if err != nil || !reflect.DeepEqual(got, c.want) {
				t.Errorf("%#v, %v; want %#v", got, err, c.want)
			}
		})
	}
}

func TestScalar_refused(t *testing.T) {
	for name, c := range map[string]struct{ text, want string }{
		"unset":  {"${X}", `no value and no default for variable "X"`},
		"map":    {"${COLON}", "not YAML"},
		"alias":  {"${ALIAS}", "aliases"},
		"large":  {strings.Repeat("${A}", 300), "too large"},
		"list":   {"${LONG}", "too large"},
		"larger": {"${A//a/" + strings.Repeat("x", 900) + "}", "too large"},
	} {
		t.Run(name, func(t *testing.T) {
			got, _, err := Scalar(c.text, lookup, 1000)
			if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "a: b") {
				t.Errorf("%#v, %v", got, err)
			}
		})
	}
}

// FuzzScalar compares with what Flux does to the same field, and holds the bound.
func FuzzScalar(f *testing.F) {
	for _, text := range []string{"${A}", "a${PORT}b", "${A//l/xyz}", "${X:-d}", "$$", "${A:1:2}", "${#A}", "'${A}",
		"${LIST}",
		"a\n${A}\n", "# ${A}", "${A/#a/b}", "${A%%a*}", "${A=${PORT}}"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		got, _, err := Scalar(text, lookup, 1<<20)
		out, evaluateErr := Evaluate(text, lookup)
		if size, boundErr := Bound(text, lookup); evaluateErr == nil && (boundErr != nil || len(out) > size) {
			t.Fatalf("%q: %d bytes, more than %d (%v)", text, len(out), size, boundErr)
		}
		if err != nil || !strings.Contains(text, "$") {
			return
		}
		written, _ := yaml.Marshal(map[string]string{field: text})
		want, err := envsubst.Eval(string(written), lookup)
		if err != nil {
			t.Fatalf("%q: Flux: %v", text, err)
		}
		var fields map[string]any
		if err := yaml.Unmarshal([]byte(want), &fields); err != nil {
			t.Fatalf("%q: Flux: %v", text, err)
		}
		a, _ := yaml.Marshal(got)
		b, _ := yaml.Marshal(fields[field])
		if string(a) != string(b) {
			t.Fatalf("%q: %s, Flux: %s", text, a, b)
		}
	})
}
