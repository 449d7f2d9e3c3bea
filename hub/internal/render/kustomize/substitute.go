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
	plain  bool // all values are plain, see excerpt
	// parts has parts of objects after the substitution, by their canonical JSON before it.
	parts map[string]*manifest.Object

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
	if err := v.conceal(o); err != nil {
		return fmt.Errorf("%s: %w", manifest.IDOf(o), err)
	}
	fresh, ok := v.substitutedParts(o)
	if !ok {
		var err error
		if fresh, err = v.substituted(o); err != nil {
			return err
		}
	}
	if err := checkTexts(o, fresh); err != nil {
		return err
	}
	o.Object = fresh.Object
	return nil
}

// substitutedParts returns the object after the substitution, of which only the parts with references were written and
// read again. If other parts could change, or an error would have to be reported, substitutedParts returns false.
func (v *variables) substitutedParts(o *manifest.Object) (*manifest.Object, bool) {
	part, ok := v.excerpt(o)
	if !ok {
		return nil, false
	}
	after, ok := v.substitutedOnce(part)
	if !ok {
		return nil, false
	}
	whole, ok := graft(o.Object, part.Object, after.Object)
	if !ok {
		return nil, false
	}
	return &manifest.Object{Object: whole.(map[string]any)}, true
}

// substitutedOnce is substituted for the parts of an object, which are often those of other objects, too. Equal parts
// are substituted once. If there is an error, substitutedOnce returns false.
func (v *variables) substitutedOnce(part *manifest.Object) (*manifest.Object, bool) {
	key, err := manifest.Canonical(part)
	if err != nil {
		return nil, false
	}
	after, known := v.parts[string(key)]
	if !known {
		if after, err = v.substituted(part); err != nil {
			return nil, false
		}
		v.parts[string(key)] = after
	}
	return after.DeepCopy(), true
}

// substituted returns the object after the substitution.
func (v *variables) substituted(o *manifest.Object) (*manifest.Object, error) {
	id := manifest.IDOf(o)
	text, err := yaml.Marshal(o.Object)
	if err != nil {
		return nil, fmt.Errorf("%s: %w: %w", id, render.ErrSubstitution, err)
	}
	if size, err := substitution.Bound(string(text), v.value); err == nil && size > maxSubstituted {
		return nil, fmt.Errorf("%s: %w: its variables would make it larger than %d bytes: %w", id, render.ErrSubstitution,
			maxSubstituted, render.ErrLarge)
	}
	replaced, err := v.evaluate(string(text))
	if err != nil {
		return nil, v.unsubstituted(o, err)
	}
	json, err := yaml.YAMLToJSON([]byte(replaced))
	if err != nil {
		return nil, v.unreadable(o, err)
	}
	fresh := &manifest.Object{}
	if err := fresh.UnmarshalJSON(json); err != nil { // err quotes values
		return nil, fmt.Errorf("%s: %w: after the substitution it has no kind", id, render.ErrSubstitution)
	}
	return fresh, nil
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
