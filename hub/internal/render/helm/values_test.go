package helm

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
)

func TestMergeValues(t *testing.T) {
	yaml := func(data string) ValuesFrom { return ValuesFrom{Origin: "ConfigMap/a", Data: data} }
	at := func(path, data string) ValuesFrom {
		return ValuesFrom{Origin: "Secret/b", Data: data, TargetPath: path}
	}
	exact := func(path, data string) ValuesFrom {
		return ValuesFrom{Origin: "Secret/b", Data: data, TargetPath: path, Literal: true}
	}
	for name, c := range map[string]struct {
		from   []ValuesFrom
		inline string
		want   string
	}{
		"nothing":        {nil, `{}`, `{}`},
		"order":          {[]ValuesFrom{yaml("a: 1\nb: 1"), yaml("b: 2\nc: 2")}, `{"c": 3}`, `{"a":1,"b":2,"c":3}`},
		"deep":           {[]ValuesFrom{yaml("a: {b: 1, c: 1}")}, `{"a": {"c": 2}}`, `{"a":{"b":1,"c":2}}`},
		"lists_replaced": {[]ValuesFrom{yaml("a: [1, 2]")}, `{"a": [3]}`, `{"a":[3]}`},
		"map_by_text":    {[]ValuesFrom{yaml("a: {b: 1}")}, `{"a": "x"}`, `{"a":"x"}`},
		"null_kept":      {[]ValuesFrom{yaml("a: {b: 1}")}, `{"a": null}`, `{"a":null}`},
		"empty_data":     {[]ValuesFrom{yaml("")}, `{"a": 1}`, `{"a":1}`},
		"path":           {[]ValuesFrom{at("a.b", "x")}, `{}`, `{"a":{"b":"x"}}`},
		"path_in_inline": {[]ValuesFrom{at("a.b", "x")}, `{"a": {"b": "y", "c": 1}}`, `{"a":{"b":"x","c":1}}`},
		"path_of_inline": {[]ValuesFrom{at("a", "x")}, `{"a": "y"}`, `{"a":"y"}`},
		"path_typed":     {[]ValuesFrom{at("a", "true"), at("b", "3")}, `{}`, `{"a":true,"b":3}`},
		"path_quoted":    {[]ValuesFrom{at("a", `"true"`), at("b", "'3'")}, `{}`, `{"a":"true","b":"3"}`},
		"path_list":      {[]ValuesFrom{at("a", "{x,y}"), at("b[1]", "z")}, `{}`, `{"a":["x","y"],"b":[null,"z"]}`},
		"path_commas":    {[]ValuesFrom{at("a", `x\,y`)}, `{}`, `{"a":"x,y"}`},
		"path_dots":      {[]ValuesFrom{at(`a.b\.c`, "x")}, `{}`, `{"a":{"b.c":"x"}}`},
		"path_then_yaml": {[]ValuesFrom{at("a", "x"), yaml("a: z")}, `{}`, `{"a":"z"}`},
		"literal":        {[]ValuesFrom{exact("a", `{x,y}[0]=\1`)}, `{}`, `{"a":"{x,y}[0]=\\1"}`},
		"literal_lines":  {[]ValuesFrom{exact(`a.b\.c`, "x: 1\ny: true\n")}, `{}`, `{"a":{"b.c":"x: 1\ny: true\n"}}`},
		"literal_text":   {[]ValuesFrom{exact("a", "true")}, `{}`, `{"a":"true"}`},
	} {
		t.Run(name, func(t *testing.T) {
			var inline, want map[string]any
			decode(t, c.inline, &inline)
			decode(t, c.want, &want)
			values, err := MergeValues(c.from, inline)
			if err != nil {
				t.Fatal(err)
			}
			text, err := json.Marshal(values) // numbers of a path are int64, others float64
			if err != nil {
				t.Fatal(err)
			}
			var got map[string]any
			decode(t, string(text), &got)
			if !reflect.DeepEqual(got, want) {
				t.Errorf("%s, want %s", text, c.want)
			}
		})
	}
}

func decode(t *testing.T, text string, into any) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), into); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
}

func TestMergeValues_errors(t *testing.T) {
	for name, c := range map[string]struct {
		from ValuesFrom
		want []string
	}{
		"no_map":  {ValuesFrom{Origin: "ConfigMap/a, key k", Data: "[1]"}, []string{"ConfigMap/a, key k"}},
		"no_yaml": {ValuesFrom{Origin: "ConfigMap/a, key k", Data: "a: {"}, []string{"ConfigMap/a, key k"}},
		"path":    {ValuesFrom{Origin: "Secret/b, key k", Data: "x", TargetPath: "a[x]"}, []string{"Secret/b", "a[x]"}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := MergeValues([]ValuesFrom{c.from}, nil)
			for _, part := range c.want {
				if err == nil || !strings.Contains(err.Error(), part) {
					t.Errorf("error %v, want it to say %s", err, part)
				}
			}
		})
	}
}
