package decrypt

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	"helm.sh/helm/v3/pkg/strvals"

	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/sealed"
)

// TestReadValues_set reads single values as Flux reads them for a targetPath.
func TestReadValues_set(t *testing.T) {
	for text, want := range map[string]string{
		"true": "bool", "FALSE": "bool", "8080": "int", "0": "int", "-5": "int", "007": "str", "1.5": "str", "null": "null",
		"": "str", "8080\n": "str", `"8080"`: "str", "'true'": "str", "x=y": "str", "a,b": "", "{a}": "", `a\b`: "", "a[0]": "",
	} {
		v, err := ReadValues(text, bundle.ShapeSet)
		if (err != nil) != (want == "") {
			t.Errorf("%q: %v", text, err)
			continue
		}
		if s, _ := v.Shape("key", false, nil); err == nil && strings.Trim(string(s), `"`) != want {
			t.Errorf("%q: %s, want %s", text, s, want)
		}
	}
}

// FuzzReadValues_set compares single values with what the parser of helm --set makes of them, as Flux calls it.
func FuzzReadValues_set(f *testing.F) {
	for _, seed := range []string{"", "true", "False", "null", "0", "-0", "00", "007", "+5", "-5", "123456", "1000000",
		"9223372036854775807", "9223372036854775808", "1e3", "1.5", "0x1F", "1_000", " 1", "1\n", "a=b", "'1'", `"a"`, `"`, `'"`,
		`"true`, "2020-01-01", "~", "yes", "a b", "a.b", "é", "\xff", `"a'`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		got, err := ReadValues(text, bundle.ShapeSet)
		if err != nil {
			return // lists, maps and escapes
		}
		if !utf8.ValidString(text) {
			return // JSON cannot tell
		}
		values, parse, set := map[string]any{}, strvals.ParseInto, text
		for _, quote := range []string{`"`, "'"} {
			if strings.HasPrefix(text, quote) && strings.HasSuffix(text, quote) {
				parse, set = strvals.ParseIntoString, strings.Trim(text, `'"`)
			}
		}
		if err := parse("k="+set, values); err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		want, _ := json.Marshal(values["k"])
		if mine, _ := json.Marshal(got.tree); string(mine) != string(want) {
			t.Errorf("%q: %s, want %s", text, mine, want)
		}
	})
}

// TestReadValues_yaml reads values as Helm reads them: YAML 1.1, and a text without a map is an error.
func TestReadValues_yaml(t *testing.T) {
	for text, want := range map[string]string{
		"": "{}", "null": "{}", "# none": "{}", "on: yes": `{"true":"bool"}`, "a: 0777": `{"a":"int"}`, "a: 1.0": `{"a":"int"}`,
		"a: 1e3": `{"a":"int"}`, "a: .5": `{"a":"float"}`, "a: 2020-01-01": `{"a":"str"}`, "1: x": `{"1":"str"}`,
		"a: &x [1]\nb: *x": `{"a":["int"],"b":["int"]}`, "[a]": "", "a: .inf": "", "a: b: c": "", "- a": "",
		"a: 1\n---\nb: 2": `{"a":"int"}`,
	} {
		v, err := ReadValues(text, bundle.ShapeYAML)
		if (err != nil) != (want == "") {
			t.Errorf("%q: %v", text, err)
			continue
		}
		if s, _ := v.Shape("key", false, nil); err == nil && string(s) != want {
			t.Errorf("%q: %s, want %s", text, s, want)
		}
	}
}

// TestValues_Shape_whole reveals a value that is a whole entry by the name of the entry.
func TestValues_Shape_whole(t *testing.T) {
	v, err := ReadValues("8080", bundle.ShapeSet)
	if err != nil {
		t.Fatal(err)
	}
	for reveal, want := range map[string]string{"port": `"=8080"`, "other": `"int"`} {
		if s, err := v.Shape("port", false, []string{reveal}); err != nil || string(s) != want {
			t.Errorf("%s: %s, %v", reveal, s, err)
		}
	}
	if text := fmt.Sprintf("%v %+v %#v %s", v, v, v, v); strings.Contains(text, "8080") {
		t.Errorf("printed: %s", text)
	}
}

// FuzzReadValues reads texts as a hostile Secret may hold them. Each leaf of a shape has a value, and no error quotes
// the text.
func FuzzReadValues(f *testing.F) {
	for _, seed := range []string{"a: {b: [1, true, null]}", "a: &x {b: 1}\nc: *x", "on: 0777",
		"{", "a: .inf", "x: !!binary aGk=",
		"'1': 2\n\"a.b\": c", "<<: {a: 1}"} {
		f.Add(seed, byte(0))
	}
	f.Add("8080", byte(1))
	f.Fuzz(func(t *testing.T, text string, form byte) {
		forms := []bundle.ShapeForm{bundle.ShapeYAML, bundle.ShapeSet, bundle.ShapeText}
		v, err := ReadValues(text, forms[int(form)%len(forms)])
		if err != nil {
			return
		}
		s, err := v.Shape("key", false, nil)
		if err != nil {
			return
		}
		if _, err := sealed.ReadShape(s); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
		if _, err := s.Fill(func(l sealed.Leaf) string {
			if _, ok := v.Find(l.Path); !ok {
				t.Errorf("%s has no value at %q", s, l.Path)
			}
			return "x"
		}); err != nil {
			t.Fatal(err)
		}
	})
}
