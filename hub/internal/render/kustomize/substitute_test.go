package kustomize

import (
	"errors"
	"testing"

	"github.com/navefleet/nave/hub/internal/render"
	"github.com/navefleet/nave/shared/manifest"
)

// The table of flux-semantics.md §1.5. A is "alpha", E is set and empty, X and UNSET are not set. "!" is an error.
func TestSubstitution(t *testing.T) {
	const fails = "!"
	cases := []struct{ in, strict, lenient string }{
		{"${A}", "alpha", "alpha"},
		{"$A", "$A", "$A"},
		{"$${A}", "${A}", "${A}"},
		{"$$${A}", "$alpha", "$alpha"},
		{"$$$${A}", "$${A}", "$${A}"},
		{"a$$b", "a$b", "a$b"},
		{"$$A", "$A", "$A"},
		{"${X}", fails, ""},
		{"${X:-d}", "d", "d"}, {"${X:=d}", "d", "d"}, {"${X=d}", "d", "d"},
		{"${E:-d}", "d", "d"}, {"${E=d}", "d", "d"},
		{"${X:-${Y:-z}}", "z", "z"},
		{"${UNSET:-a}b}", "ab}", "ab}"},
		{"${A:+yes}", "alpha", "alpha"}, {"${UNSET:+yes}", "yes", "yes"},
		{"${UNSET:?err}", "err", "err"},
		{"${A:1}", "lpha", "lpha"}, {"${A:1:2}", "lp", "lp"}, {"${A: -2}", "alpha", "alpha"}, {"${A:1:-1}", "lph", "lph"},
		{"${#A}", "5", "5"},
		{"${A^}", "Alpha", "Alpha"}, {"${A^^}", "ALPHA", "ALPHA"},
		{"${U,}", "uPPER", "uPPER"}, {"${U,,}", "upper", "upper"},
		{"${A/a/x}", "xlpha", "xlpha"}, {"${A//a/x}", "xlphx", "xlphx"}, {"${A/#al/x}", "xpha", "xpha"}, {"${A/%ha/x}",
			"alpx", "alpx"},
		{"${A#al}", "pha", "pha"}, {"${A##*p}", "ha", "ha"}, {"${A%ha}", "alp", "alp"}, {"${A%%p*}", "al", "al"},
		{"${X-d}", fails, fails}, {"${A+y}", fails, fails}, {"${A.B}", fails, fails}, {"${A-B}", fails, fails}, {"${A[@]}",
			fails, fails}, {"${A@Q}", fails, fails},
		{"${}", fails, fails}, {"${ A }", fails, fails}, {"${!A}", fails, fails},
		{"${A//l}", fails, fails},
		{"${1}", fails, ""},
		{"$(A) `A` {{ A }}", "$(A) `A` {{ A }}", "$(A) `A` {{ A }}"},
	}
	for _, c := range cases {
		for _, strict := range []bool{true, false} {
			want := c.lenient
			if strict {
				want = c.strict
			}
			o := configMap(c.in)
			spec := &Spec{Strict: strict, Substitute: map[string]string{"A": "alpha", "E": "", "U": "UPPER"}}
			vars, err := newVariables(spec, nil)
			if err != nil {
				t.Fatal(err)
			}
			err = vars.substitute(o)
			if want == fails {
				if !errors.Is(err, render.ErrSubstitution) {
					t.Errorf("%s (strict %t): %v, want an error", c.in, strict, err)
				}
				continue
			}
			if err != nil {
				t.Errorf("%s (strict %t): %v", c.in, strict, err)
				continue
			}
			if got := o.Object["data"].(map[string]any)["k"]; got != "v/"+want {
				t.Errorf("%s (strict %t): %q, want %q", c.in, strict, got, "v/"+want)
			}
		}
	}
}

// configMap returns an object whose data.k is "v/" and the text, so that YAML reads it as text again.
func configMap(text string) *manifest.Object {
	return &manifest.Object{Object: map[string]any{
		"apiVersion": "v1", "kind": "ConfigMap", "metadata": map[string]any{"name": "a"},
		"data": map[string]any{"k": "v/" + text},
	}}
}
