package kustomize

import (
	"errors"
	"strings"
	"testing"

	"github.com/fluxcd/pkg/envsubst"

	"github.com/navefleet/nave/hub/internal/render"
	"github.com/navefleet/nave/shared/manifest"
)

// TestSubstitution compares objects with a table and with Flux's library. A is "alpha", E is set and empty, X and UNSET
// are not set.
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
		{"${X:-}", "", ""}, {"${E}", "", ""}, {"${E:-${A}}", "alpha", "alpha"}, {"${A}${A}", "alphaalpha", "alphaalpha"},
		{"${a}", fails, ""}, {"${_A:-d}", "d", "d"},
		{"$(A) `A` {{ A }}", "$(A) `A` {{ A }}", "$(A) `A` {{ A }}"},
	}
	values := map[string]string{"A": "alpha", "E": "", "U": "UPPER"}
	for _, c := range cases {
		for mode, want := range map[string]string{"strict": c.strict, "lenient": c.lenient} {
			t.Run(c.in+"/"+mode, func(t *testing.T) {
				o := configMap(c.in)
				vars, err := newVariables(&Spec{Strict: mode == "strict", Substitute: values}, nil)
				if err != nil {
					t.Fatal(err)
				}
				flux, fluxErr := envsubst.Eval("v/"+c.in, func(name string) (string, bool) {
					value, ok := values[name]
					return value, ok || mode == "lenient"
				})
				err = vars.substitute(o)
				if want == fails {
					if !errors.Is(err, render.ErrSubstitution) || fluxErr == nil {
						t.Errorf("got %v, Flux %v; want errors", err, fluxErr)
					}
					return
				}
				got := o.Object["data"].(map[string]any)["k"]
				if err != nil || fluxErr != nil || got != "v/"+want || flux != "v/"+want {
					t.Errorf("got %q (%v), Flux %q (%v), want %q", got, err, flux, fluxErr, "v/"+want)
				}
			})
		}
	}
}

// TestSubstitution_no_kind refuses an object whose kind becomes empty, and shows none of its values.
func TestSubstitution_no_kind(t *testing.T) {
	vars, err := newVariables(&Spec{Substitute: map[string]string{"kind": "", "password": "canary"}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	o := configMap("${password}")
	o.SetKind("${kind}")
	err = vars.substitute(o)
	if !errors.Is(err, render.ErrSubstitution) || strings.Contains(err.Error(), "canary") {
		t.Errorf("got %v", err)
	}
}

// TestSubstitution_bomb refuses a text that names a long value too often before the text is substituted.
func TestSubstitution_bomb(t *testing.T) {
	vars, err := newVariables(&Spec{Substitute: map[string]string{"long": strings.Repeat("x", 1<<20)}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := vars.substitute(configMap(strings.Repeat("${long}", 1<<12))); !errors.Is(err, render.ErrLarge) {
		t.Errorf("got %v", err)
	}
}

// configMap returns an object whose data.k is "v/" and the text, so that YAML reads it as text again.
func configMap(text string) *manifest.Object {
	return &manifest.Object{Object: map[string]any{
		"apiVersion": "v1", "kind": "ConfigMap", "metadata": map[string]any{"name": "a"},
		"data": map[string]any{"k": "v/" + text},
	}}
}
