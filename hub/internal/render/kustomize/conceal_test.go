package kustomize

import (
	"errors"
	"strings"
	"testing"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/render"
	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/manifest"
	"github.com/navefleet/nave/shared/sealed"
)

func input(kind, name string, live bool, data map[string]string) api.InputData {
	return api.InputData{Input: api.Input{Kind: kind, Namespace: "flux-system", Name: name}, Live: live, Data: data}
}

func sealedText(s string) string {
	return string(sealed.NewSalt([]byte("other")).Placeholder(s, nil))
}

// Which variables the hub substitutes, and which it leaves to the spoke.
func TestConceal(t *testing.T) {
	readable := input("ConfigMap", "vars", false, map[string]string{"A": "alpha", "B": "beta"})
	live := input("Secret", "live", true, nil)
	withSealed := input("Secret", "db", false, map[string]string{"A": "plain", "P": sealedText("p")})
	for name, c := range map[string]struct {
		sources []api.InputData
		inline  map[string]string
		text    string
		want    string // empty: left to the spoke; "!": an error
	}{
		"readable":          {[]api.InputData{readable}, nil, "${A}", "alpha"},
		"live":              {[]api.InputData{live}, nil, "${A}", ""},
		"live_default":      {[]api.InputData{live}, nil, "${A:-x}", ""},
		"live_before":       {[]api.InputData{live, readable}, nil, "${A}", "alpha"},
		"live_after":        {[]api.InputData{readable, live}, nil, "${A}", ""},
		"inline_beats_live": {[]api.InputData{live}, map[string]string{"A": "inline"}, "${A}", "inline"},
		"in_a_default":      {[]api.InputData{live}, map[string]string{"A": ""}, "${A:-${X}}", ""},
		"no_reference":      {[]api.InputData{live}, nil, "$A $${A}", "$A ${A}"},
		"sealed":            {[]api.InputData{withSealed}, nil, "${P}", ""},
		"beside_sealed":     {[]api.InputData{withSealed}, nil, "${A}", "plain"},
		"sealed_beaten":     {[]api.InputData{withSealed, input("ConfigMap", "c", false, map[string]string{"P": "q"})}, nil, "${P}", "q"},
		"sealed_beats":      {[]api.InputData{readable, input("Secret", "s", false, map[string]string{"A": sealedText("a")})}, nil, "${A}", ""},
		"unset":             {[]api.InputData{withSealed}, nil, "${P}-${X}", "!"},
		"malformed":         {[]api.InputData{live}, nil, "${A", "!"},
	} {
		t.Run(name, func(t *testing.T) {
			o := configMap(c.text)
			vars, err := newVariables(&Spec{Strict: true, Substitute: c.inline, Variables: c.sources}, nil)
			if err != nil {
				t.Fatal(err)
			}
			err = vars.substitute(o)
			if (err != nil) != (c.want == "!") {
				t.Fatal(err)
			}
			got := textIn(o)
			left := vars.remainder([]*manifest.Object{o}, nil)
			switch {
			case err != nil:
			case c.want != "" && (got != "v/"+c.want || left != nil):
				t.Errorf("%q and %v, want %q", got, left, c.want)
			case c.want == "" && (left == nil || len(left.Expressions) != 1 ||
				left.Expressions[0] != (bundle.Expression{Placeholder: got, Text: "v/" + c.text})):
				t.Errorf("%q, %+v", got, left)
			}
		})
	}
}

func textIn(o *manifest.Object) string {
	data, _ := o.Object["data"].(map[string]any)
	for _, v := range data {
		text, _ := v.(string)
		return text
	}
	return ""
}

// The sources as the spoke gets them.
func TestRemainder(t *testing.T) {
	sources := []api.InputData{
		input("ConfigMap", "vars", false, map[string]string{"A": "two\nlines"}),
		input("Secret", "db", false, map[string]string{"A": "plain", "P": sealedText("p")}),
		input("Secret", "live", true, nil),
	}
	sources[1].Optional, sources[2].Optional = true, true
	vars, err := newVariables(&Spec{Strict: true, Substitute: map[string]string{"I": "in\nline"}, Variables: sources}, nil)
	if err != nil {
		t.Fatal(err)
	}
	left := vars.remainder(nil, []render.SealedFile{{}})
	if left == nil || !left.Strict || left.Inline["I"] != "inline" || len(left.Sources) != 3 {
		t.Fatalf("%+v", left)
	}
	a, b, c := left.Sources[0], left.Sources[1], left.Sources[2]
	if a.Live || a.Values["A"] != "twolines" || !b.Live || b.Optional || b.Values != nil || !c.Live || !c.Optional {
		t.Errorf("%+v", left.Sources)
	}
}

// TestRemainder_unused gives the spoke no source to wait for if no object uses a variable, as docs/variables.md says.
func TestRemainder_unused(t *testing.T) {
	spec := &Spec{Strict: true, Variables: []api.InputData{input("ConfigMap", "missing", true, nil)}}
	for name, c := range map[string]struct {
		objects []*manifest.Object
		files   []render.SealedFile
		want    bool
	}{
		"no_variable": {nil, nil, false},
		"sealed_file": {nil, []render.SealedFile{{}}, true},
	} {
		t.Run(name, func(t *testing.T) {
			vars, err := newVariables(spec, nil)
			if err != nil {
				t.Fatal(err)
			}
			if left := vars.remainder(c.objects, c.files); (left != nil) != c.want {
				t.Errorf("the spoke gets %+v", left)
			}
		})
	}
}

// Where the hub must read a text, a variable that it cannot read is an error that names it.
func TestConceal_refused(t *testing.T) {
	for name, c := range map[string]struct{ object, field string }{
		"name":      {`{apiVersion: v1, kind: ConfigMap, metadata: {name: "a-${X}"}}`, "metadata.name"},
		"namespace": {`{apiVersion: v1, kind: ConfigMap, metadata: {name: a, namespace: "${X}"}}`, "metadata.namespace"},
		"key":       {`{apiVersion: v1, kind: ConfigMap, metadata: {name: a}, data: {"${X}": a}}`, "data.${X}"},
		"graph": {`{apiVersion: kustomize.toolkit.fluxcd.io/v1, kind: Kustomization, metadata: {name: a, namespace: b}, spec: {path: "${X}"}}`,
			"spec.path"},
	} {
		t.Run(name, func(t *testing.T) {
			objects, err := manifest.Parse([]byte(c.object))
			if err != nil {
				t.Fatal(err)
			}
			vars, err := newVariables(&Spec{Strict: true, Variables: []api.InputData{input("Secret", "live", true, nil)}}, nil)
			if err != nil {
				t.Fatal(err)
			}
			err = vars.substitute(objects[0])
			for _, part := range []string{c.field, `variable "X"`, "Secret flux-system/live", "postBuild.substitute"} {
				if !errors.Is(err, render.ErrSubstitution) || !strings.Contains(err.Error(), part) {
					t.Errorf("%v, want it to say %s", err, part)
				}
			}
		})
	}
}
