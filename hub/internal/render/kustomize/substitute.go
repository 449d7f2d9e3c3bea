package kustomize

import (
	"fmt"
	"slices"
	"strings"

	"sigs.k8s.io/yaml"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/render"
	"github.com/navefleet/nave/shared/manifest"
	"github.com/navefleet/nave/shared/sealed"
	"github.com/navefleet/nave/shared/substitution"
)

// variables are the values of a post-build substitution. If on is false, there is no substitution.
type variables struct {
	values map[string]string
	strict bool
	on     bool

	// Variables that the hub cannot read (conceal.go):
	hidden map[string]string // variables with a sealed value, and the object that has the value
	live   string            // an object that only the cluster has, and that may give any other variable; empty: none
	given  bool              // a source gives variables

	sources     []api.InputData
	inline      map[string]string
	salt        sealed.Salt
	expressions map[string]string // texts that the spoke evaluates, by placeholder
}

// maxSubstituted limits the bytes of YAML of an object after the substitution. No object that a spoke accepts has so
// many, but a short text may name a long value a thousand times.
const maxSubstituted = 32 << 20

// substitute replaces variables in an object's YAML text and decodes the text again, as Flux does. So a value can
// change its type, and can become several values.
func (v *variables) substitute(o *manifest.Object) error {
	if !v.on || manifest.IsSubstitutionDisabled(o) || !hasReference(o.Object) {
		return nil
	}
	id := manifest.IDOf(o)
	if err := v.conceal(o); err != nil {
		return fmt.Errorf("%s: %w", id, err)
	}
	text, err := yaml.Marshal(o.Object)
	if err != nil {
		return fmt.Errorf("%s: %w: %w", id, render.ErrSubstitution, err)
	}
	if size, err := substitution.Bound(string(text), v.value); err == nil && size > maxSubstituted {
		return fmt.Errorf("%s: %w: its variables would make it larger than %d bytes: %w", id, render.ErrSubstitution,
			maxSubstituted, render.ErrLarge)
	}
	replaced, err := v.evaluate(string(text))
	if err != nil {
		return v.unsubstituted(o, err)
	}
	json, err := yaml.YAMLToJSON([]byte(replaced))
	if err != nil {
		return v.unreadable(o, err)
	}
	fresh := &manifest.Object{}
	if err := fresh.UnmarshalJSON(json); err != nil {
		return fmt.Errorf("%s: %w: after the substitution it has no kind", id, render.ErrSubstitution) // err quotes values
	}
	if err := checkTexts(o, fresh); err != nil {
		return err
	}
	o.Object = fresh.Object
	return nil
}

// evaluate replaces the variables in a text. Variables that the hub cannot read count as set.
func (v *variables) evaluate(text string) (string, error) {
	return substitution.Evaluate(text, v.value)
}

// value returns the value of a variable, and whether a reference to it can be substituted.
func (v *variables) value(name string) (string, bool) {
	value, ok := v.values[name]
	return value, ok || !v.strict || v.origin(name) != ""
}

// hasReference reports whether any text or key has a dollar sign. Only such texts are replaced.
func hasReference(v any) bool {
	switch v := v.(type) {
	case string:
		return strings.Contains(v, "$")
	case map[string]any:
		for k, e := range v {
			if strings.Contains(k, "$") || hasReference(e) {
				return true
			}
		}
	case []any:
		return slices.ContainsFunc(v, hasReference)
	}
	return false
}
