package helm

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"github.com/navefleet/nave/hub/api"
)

func TestMergeValues(t *testing.T) {
	yaml := func(data string) api.ChartValues { return api.ChartValues{Data: &data} }
	at := func(path, data string) api.ChartValues { return api.ChartValues{Data: &data, TargetPath: path} }
	exact := func(path, data string) api.ChartValues {
		return api.ChartValues{Data: &data, TargetPath: path, Literal: true}
	}
	missing := api.ChartValues{Input: api.Input{Optional: true}}
	for name, c := range map[string]struct {
		from   []api.ChartValues
		inline string
		want   string
	}{
		"nothing":        {nil, `{}`, `{}`},
		"order":          {[]api.ChartValues{yaml("a: 1\nb: 1"), yaml("b: 2\nc: 2")}, `{"c": 3}`, `{"a":1,"b":2,"c":3}`},
		"deep":           {[]api.ChartValues{yaml("a: {b: 1, c: 1}")}, `{"a": {"c": 2}}`, `{"a":{"b":1,"c":2}}`},
		"lists_replaced": {[]api.ChartValues{yaml("a: [1, 2]")}, `{"a": [3]}`, `{"a":[3]}`},
		"map_by_text":    {[]api.ChartValues{yaml("a: {b: 1}")}, `{"a": "x"}`, `{"a":"x"}`},
		"null_kept":      {[]api.ChartValues{yaml("a: {b: 1}")}, `{"a": null}`, `{"a":null}`},
		"empty_data":     {[]api.ChartValues{yaml("")}, `{"a": 1}`, `{"a":1}`},
		"missing":        {[]api.ChartValues{missing, yaml("a: 1")}, `{}`, `{"a":1}`},
		"path":           {[]api.ChartValues{at("a.b", "x")}, `{}`, `{"a":{"b":"x"}}`},
		"path_in_inline": {[]api.ChartValues{at("a.b", "x")}, `{"a": {"b": "y", "c": 1}}`, `{"a":{"b":"x","c":1}}`},
		"path_of_inline": {[]api.ChartValues{at("a", "x")}, `{"a": "y"}`, `{"a":"y"}`},
		"path_typed":     {[]api.ChartValues{at("a", "true"), at("b", "3")}, `{}`, `{"a":true,"b":3}`},
		"path_quoted":    {[]api.ChartValues{at("a", `"true"`), at("b", "'3'")}, `{}`, `{"a":"true","b":"3"}`},
		"path_list":      {[]api.ChartValues{at("a", "{x,y}"), at("b[1]", "z")}, `{}`, `{"a":["x","y"],"b":[null,"z"]}`},
		"path_commas":    {[]api.ChartValues{at("a", `x\,y`)}, `{}`, `{"a":"x,y"}`},
		"path_dots":      {[]api.ChartValues{at(`a.b\.c`, "x")}, `{}`, `{"a":{"b.c":"x"}}`},
		"path_then_yaml": {[]api.ChartValues{at("a", "x"), yaml("a: z")}, `{}`, `{"a":"z"}`},
		"literal":        {[]api.ChartValues{exact("a", `{x,y}[0]=\1`)}, `{}`, `{"a":"{x,y}[0]=\\1"}`},
		"literal_lines":  {[]api.ChartValues{exact(`a.b\.c`, "x: 1\ny: true\n")}, `{}`, `{"a":{"b.c":"x: 1\ny: true\n"}}`},
		"literal_text":   {[]api.ChartValues{exact("a", "true")}, `{}`, `{"a":"true"}`},
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
	list, broken, one := "[1]", "a: {", "x"
	ref := api.Input{Field: "spec.valuesFrom[0]", Kind: "Secret", Namespace: "ns", Name: "b"}
	for name, c := range map[string]struct {
		from api.ChartValues
		want string
	}{
		"no_map":      {api.ChartValues{Input: ref, Key: "k", Data: &list}, "spec.valuesFrom[0]: Secret ns/b, key k: "},
		"no_yaml":     {api.ChartValues{Input: ref, Key: "k", Data: &broken}, "spec.valuesFrom[0]: Secret ns/b, key k: "},
		"missing":     {api.ChartValues{Input: ref, Key: "k"}, "spec.valuesFrom[0]: Secret ns/b, key k: no such object"},
		"missing_key": {api.ChartValues{Input: ref, Key: "k", Keys: []string{"a", "b"}}, "no such key; the object has a, b"},
		"path":        {api.ChartValues{Input: ref, Key: "k", Data: &one, TargetPath: "a[x]"}, "key k, for a[x]: "},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := MergeValues([]api.ChartValues{c.from}, nil)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want it to say %s", err, c.want)
			}
		})
	}
}
