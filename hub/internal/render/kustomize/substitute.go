package kustomize

import (
	"fmt"
	"slices"
	"strings"

	"github.com/fluxcd/pkg/envsubst"
	"sigs.k8s.io/yaml"

	"github.com/navefleet/nave/hub/internal/render"
	"github.com/navefleet/nave/shared/manifest"
)

// SubstituteKey is Flux's label and annotation that, when "disabled", keeps an object as it is.
const SubstituteKey = "kustomize.toolkit.fluxcd.io/substitute"

const disabled = "disabled"

// variables are the values of a post-build substitution. If on is false, nothing is substituted.
type variables struct {
	values map[string]string
	strict bool
	on     bool
}

// substitute replaces variables in an object's YAML text and reads the text again, as Flux does: a value can change
// its type, and can become several.
func (v *variables) substitute(o *manifest.Object) error {
	if !v.on || isDisabled(o) || !hasReference(o.Object) {
		return nil
	}
	id := manifest.IDOf(o)
	text, err := yaml.Marshal(o.Object)
	if err != nil {
		return fmt.Errorf("%s: %w: %w", id, render.ErrSubstitution, err)
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

// evaluate replaces the variables in a text.
func (v *variables) evaluate(text string) (out string, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("expression is not supported: %v", r)
		}
	}()
	return envsubst.Eval(text, func(name string) (string, bool) {
		value, ok := v.values[name]
		return value, ok || !v.strict
	})
}

func isDisabled(o *manifest.Object) bool {
	return o.GetLabels()[SubstituteKey] == disabled || o.GetAnnotations()[SubstituteKey] == disabled
}

// hasReference reports whether any text or key holds a dollar sign; nothing else is ever replaced.
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
