package kustomize

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/render"
	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/manifest"
	"github.com/navefleet/nave/shared/sealed"
	"github.com/navefleet/nave/shared/substitution"
)

// origin returns the object that a variable may come from and that the hub cannot read. If the hub knows the value, or
// knows that there is none, origin returns "".
func (v *variables) origin(name string) string {
	if _, known := v.values[name]; known {
		return ""
	}
	if source, ok := v.hidden[name]; ok {
		return source
	}
	return v.live
}

// unknown returns a variable of a text that the hub cannot read. If there is none, or if the text cannot be substituted
// with any value of the variable, unknown returns "".
func (v *variables) unknown(text string) (found string) {
	if !strings.Contains(text, "${") || v.live == "" && len(v.hidden) == 0 {
		return ""
	}
	_, err := substitution.Evaluate(text, func(name string) (string, bool) {
		hidden := v.origin(name) != ""
		if hidden && found == "" {
			found = name
		}
		value, ok := v.values[name]
		return value, ok || hidden || !v.strict
	})
	if err != nil {
		return ""
	}
	return found
}

// conceal replaces texts with variables that the hub cannot read by placeholders. The whole text of a field becomes one
// placeholder, with all of its variables, because its type in YAML depends on all of it.
func (v *variables) conceal(o *manifest.Object) error {
	if v.live == "" && len(v.hidden) == 0 {
		return nil
	}
	if err := v.checkReadable(o); err != nil {
		return err
	}
	replaceTexts(o.Object, "", func(_, text string) string {
		if v.unknown(text) == "" {
			return text
		}
		placeholder := string(v.salt.Placeholder(text, []string{"text with variables"}))
		if v.expressions == nil {
			v.expressions = map[string]string{}
		}
		v.expressions[placeholder] = text
		return placeholder
	})
	return nil
}

// checkReadable refuses variables that the hub cannot read where it must read the text: in the name of an object, in a
// key, and anywhere in an object that the hub itself acts on.
func (v *variables) checkReadable(o *manifest.Object) error {
	for field, text := range map[string]string{"apiVersion": o.GetAPIVersion(), "kind": o.GetKind(),
		"metadata.name": o.GetName(), "metadata.namespace": o.GetNamespace()} {
		if name := v.unknown(text); name != "" {
			return v.refuse(field, name, "the name of an object")
		}
	}
	if err := v.checkKeys(o.Object, ""); err != nil || !api.Known(o) {
		return err
	}
	return mapTexts(o.Object, "", "", func(field, text string) (string, error) {
		if name := v.unknown(text); name != "" {
			return text, v.refuse(field, name, "a "+o.GetKind())
		}
		return text, nil
	})
}

// checkKeys refuses variables that the hub cannot read in the keys of maps.
func (v *variables) checkKeys(value any, field string) error {
	switch value := value.(type) {
	case map[string]any:
		for _, key := range slices.Sorted(maps.Keys(value)) {
			at := strings.TrimPrefix(field+"."+key, ".")
			if name := v.unknown(key); name != "" {
				return v.refuse(at, name, "a key")
			}
			if err := v.checkKeys(value[key], at); err != nil {
				return err
			}
		}
	case []any:
		for i, item := range value {
			if err := v.checkKeys(item, fmt.Sprintf("%s[%d]", field, i)); err != nil {
				return err
			}
		}
	}
	return nil
}

func (v *variables) refuse(field, name, what string) error {
	return fmt.Errorf("%s: %w: variable %q may come from %s, which only the cluster can read, but the hub must read %s: "+
		"give the variable in postBuild.substitute, or in a ConfigMap in Git that comes later in substituteFrom", field,
		render.ErrSubstitution, name, v.origin(name), what)
}

// expressions returns the texts that the spoke evaluates, by placeholder.
func (r *rendering) expressions() map[string]string {
	if r.variables == nil {
		return nil
	}
	return r.variables.expressions
}

// matchExpressions notes which placeholders of both builds have the same text.
func (m *placeholderMap) matchExpressions(first, second map[string]string) {
	if len(first) == 0 {
		return
	}
	byText := make(map[string]string, len(first))
	for placeholder, text := range first {
		byText[text] = placeholder
	}
	matched := map[string]string{}
	for placeholder, text := range second {
		if same, ok := byText[m.inFirst(text)]; ok {
			matched[placeholder] = same
		}
	}
	maps.Copy(m.first, matched)
}

// remainder returns the part of the substitution that the spoke does: texts that the hub cannot evaluate, and
// references in sealed values. If there are neither, remainder returns nil.
func (v *variables) remainder(objects []*manifest.Object, files []render.SealedFile) *bundle.Substitution {
	var expressions []bundle.Expression
	if len(v.expressions) > 0 {
		occurring := occurringIn(objects)
		for _, placeholder := range slices.Sorted(maps.Keys(v.expressions)) {
			if occurring[placeholder] {
				expressions = append(expressions, bundle.Expression{Placeholder: placeholder, Text: v.expressions[placeholder]})
			}
		}
	}
	if !v.on || len(files) == 0 && len(expressions) == 0 {
		return nil
	}
	s := &bundle.Substitution{Strict: v.strict, Expressions: expressions, Inline: oneLines(v.inline)}
	for _, source := range v.sources {
		s.Sources = append(s.Sources, sourceOf(source))
	}
	return s
}

// sourceOf returns a source in the form for the spoke. If some of the values are sealed, the spoke reads the Secret
// from the cluster. Then the source is not optional, because an Application has the Secret.
func sourceOf(source api.InputData) bundle.VariableSource {
	out := bundle.VariableSource{Kind: source.Kind, Namespace: source.Namespace, Name: source.Name,
		Optional: source.Optional, Live: source.Live}
	for _, value := range source.Data {
		if len(sealed.Find(value)) > 0 {
			out.Live, out.Optional = true, false
			return out
		}
	}
	out.Values = oneLines(source.Data)
	return out
}

// oneLines returns values as Flux substitutes them. If there are none, oneLines returns nil.
func oneLines(values map[string]string) map[string]string {
	if len(values) == 0 {
		return nil
	}
	lines := make(map[string]string, len(values))
	for name, value := range values {
		lines[name] = substitution.OneLine(value)
	}
	return lines
}
