package kustomize

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/navefleet/nave/hub/internal/render"
	"github.com/navefleet/nave/shared/manifest"
	"github.com/navefleet/nave/shared/telemetry"
)

// textMaps are the fields of every object, and of ConfigMaps and Secrets, that are maps of text.
var textMaps = [][]string{
	{"metadata", "labels"}, {"metadata", "annotations"}, {"data"}, {"stringData"}, {"binaryData"},
}

// checkTexts refuses an object in which the substitution changed the type of a text, in fields where an API server
// accepts only text.
func checkTexts(before, after *manifest.Object) error {
	for _, path := range textMaps {
		if len(path) == 1 && binaryFields(before) == "" {
			continue
		}
		was, _, _ := unstructured.NestedMap(before.Object, path...)
		is, _, _ := unstructured.NestedFieldNoCopy(after.Object, path...)
		now, _ := is.(map[string]any)
		for _, key := range slices.Sorted(maps.Keys(was)) {
			text, wasText := was[key].(string)
			value, stays := now[key]
			if _, isText := value.(string); !wasText || isText || !stays {
				continue
			}
			field := strings.Join(path, ".") + "." + key
			return fmt.Errorf("%s: %w: %s is %s after the substitution, want text: write %s and give the variable quote the "+
				`value '"'`, manifest.IDOf(before), render.ErrSubstitution, field, typeOf(value), quoted(text))
		}
	}
	return nil
}

// quoted returns an expression that stays text when it is substituted.
func quoted(text string) string {
	return "${quote}" + telemetry.Printable(text, shownExpression) + "${quote}"
}

// typeOf returns the type of a value in the terms of YAML's users.
func typeOf(v any) string {
	switch v.(type) {
	case nil:
		return "nothing (null)"
	case bool:
		return "true or false"
	case map[string]any:
		return "a map"
	case []any:
		return "a list"
	}
	return "a number"
}

// unreadable returns the error of an object whose text is not YAML after the substitution. It has the cause, and the
// fields whose own text is not YAML, because the line numbers in the cause are those of a text that users do not see.
func (v *variables) unreadable(o *manifest.Object, cause error) error {
	e := &substitutionError{
		object: manifest.IDOf(o), cause: fmt.Errorf("after the substitution it is not YAML: %w", cause),
		wayOut: "put the expression between quotes that are variables, as ${quote}${name}${quote}, and give quote the " +
			"value '\"'",
	}
	replaceTexts(o.Object, "", func(field, text string) string {
		alone, err := yaml.Marshal(map[string]any{"field": text})
		if err != nil {
			return text
		}
		replaced, err := v.evaluate(string(alone))
		if err != nil {
			return text
		}
		if _, err := yaml.YAMLToJSON([]byte(replaced)); err != nil {
			e.fields = append(e.fields, field+": "+telemetry.Printable(text, shownExpression))
			e.expressions = append(e.expressions, text)
		}
		return text
	})
	slices.Sort(e.fields)
	return e
}
