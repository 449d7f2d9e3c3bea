package sealed

import (
	"reflect"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// finishing are the values that TestFinishObject puts in.
var finishing = map[string]Value{
	"plain": Text("s3cret"), "reference": Text("postgres://${USER}:pw@db"), "dollars": Text("a$$b $c"),
	"port": Text("${PORT}"), "unset": Text("${NOBODY}"), "default": Text("${NOBODY:-d}"), "number": Integer(7),
	"expression": Expression("${quote}${PORT}${quote}"), "list": Expression("${LIST}"),
	"mixed": Expression("${USER}-" + string(placeholder("plain"))), "secret_name": Expression("${USER}" + string(placeholder("port"))),
	"map": Expression("${COLON}"),
}

func finishLookup(t Placeholder) (Value, bool) {
	for name, v := range finishing {
		if placeholder(name) == t {
			return v, true
		}
	}
	return Value{}, false
}

func testVariables(strict bool) *Variables {
	values := map[string]string{"USER": "robot", "PORT": "8080", "quote": `"`, "LIST": "[1, 2]", "COLON": "s3cret: x"}
	return &Variables{Strict: strict, Limit: 1000, Value: func(name string) (Value, bool) {
		v, ok := values[name]
		return Text(v), ok
	}}
}

func configMapOf(text any) *unstructured.Unstructured {
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "v1", "kind": "Secret", "metadata": map[string]any{"name": "a"}, "stringData": map[string]any{"k": text},
		"data": map[string]any{"k": encode(string(placeholder("port")))},
	}}
}

func TestFinishObject(t *testing.T) {
	for name, c := range map[string]struct {
		text string
		want any
	}{
		"no_reference":     {string(placeholder("plain")), "s3cret"},
		"reference":        {string(placeholder("reference")), "postgres://robot:pw@db"},
		"dollars":          {string(placeholder("dollars")), "a$b $c"},
		"number":           {string(placeholder("port")), int64(8080)},
		"number_in_text":   {"at " + string(placeholder("port")), "at 8080"},
		"other_type":       {string(placeholder("number")), int64(7)},
		"hub_substituted":  {"$${USER} $x ${USER} " + string(placeholder("port")), "$${USER} $x ${USER} 8080"},
		"default":          {string(placeholder("default")), "d"},
		"expression":       {string(placeholder("expression")), "8080"},
		"list":             {string(placeholder("list")), []any{int64(1), int64(2)}},
		"sealed_inside":    {string(placeholder("mixed")), "robot-s3cret"},
		"reference_inside": {string(placeholder("secret_name")), "robot8080"},
		"not_a_value":      {"${USER}", "${USER}"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := FinishObject(configMapOf(c.text), finishLookup, testVariables(true))
			if err != nil {
				t.Fatal(err)
			}
			if v := got.Object["stringData"].(map[string]any)["k"]; !reflect.DeepEqual(v, c.want) {
				t.Errorf("%#v, want %#v", v, c.want)
			}
			if v := got.Object["data"].(map[string]any)["k"]; v != encode("${PORT}") {
				t.Errorf("what base64 holds became %v", v)
			}
		})
	}
}

func TestFinishObject_off(t *testing.T) {
	got, err := FinishObject(configMapOf(string(placeholder("reference"))), finishLookup, nil)
	if err != nil {
		t.Fatal(err)
	}
	if v := got.Object["stringData"].(map[string]any)["k"]; v != "postgres://${USER}:pw@db" {
		t.Errorf("%v", v)
	}
	if _, err := FinishObject(configMapOf(string(placeholder("expression"))), finishLookup, nil); err == nil {
		t.Error("an expression is put in as it is")
	}
}

func TestFinishObject_errors(t *testing.T) {
	for name, c := range map[string]struct {
		text string
		want string
	}{
		"unset":       {string(placeholder("unset")), `stringData.k: no value and no default for variable "NOBODY"`},
		"not_yaml":    {string(placeholder("map")), "stringData.k: after the substitution it is not YAML"},
		"no_value":    {string(placeholder("stranger")) + string(placeholder("port")), "no value for placeholder"},
		"in_the_text": {"x" + string(placeholder("expression")), ""},
		"too_large":   {strings.Repeat(string(placeholder("reference")), 100), "too large"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := FinishObject(configMapOf(c.text), finishLookup, testVariables(true))
			if c.want == "" {
				if err != nil {
					t.Errorf("%v", err)
				}
				return
			}
			if err == nil || got != nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "s3cret") {
				t.Errorf("%v, %v; want %s", got, err, c.want)
			}
		})
	}
	if _, err := FinishObject(configMapOf(string(placeholder("unset"))), finishLookup, testVariables(false)); err != nil {
		t.Errorf("not strict: %v", err)
	}
}
