package kustomize

import (
	"cmp"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"

	"go.yaml.in/yaml/v3"
	"sigs.k8s.io/kustomize/api/types"

	"github.com/navefleet/nave/hub/internal/render/tree"
	"github.com/navefleet/nave/shared/wording"
)

// checkKeys refuses unknown and repeated keys of a kustomization file, all of them at once, each with its line. Flux
// ignores unknown keys of the file at spec.path, and kustomize takes the last of repeated ones. If the file cannot be
// parsed, checkKeys returns nil; kustomize reports the error.
func checkKeys(p string, data []byte) error {
	for doc := range documents(data) {
		if len(doc.Content) == 0 {
			return nil
		}
		found := repeatedKeys(doc.Content[0], 0)
		if doc.Content[0].Kind == yaml.MappingNode {
			found = append(found, unknownKeys(doc.Content[0])...)
		}
		slices.SortStableFunc(found, func(a, b keyError) int { return cmp.Compare(a.line, b.line) })
		var errs []error
		for _, e := range found {
			errs = append(errs, fmt.Errorf("%s:%d: %s", tree.Local(p), e.line, e.text))
		}
		return errors.Join(errs...)
	}
	return nil
}

// keyError is the error of a key.
type keyError struct {
	line int
	text string
}

// repeatedKeys returns the errors of keys that a map in the node has twice.
func repeatedKeys(n *yaml.Node, depth int) (found []keyError) {
	if depth > maxPluginDepth {
		return nil
	}
	first := map[string]int{}
	for i, c := range n.Content {
		if n.Kind == yaml.MappingNode && i%2 == 0 {
			if line, twice := first[c.Value]; twice {
				found = append(found, keyError{c.Line, fmt.Sprintf("duplicate key %q: it is in line %d already", c.Value, line)})
			} else {
				first[c.Value] = c.Line
			}
			continue
		}
		found = append(found, repeatedKeys(c, depth+1)...)
	}
	return found
}

// unknownKeys returns the errors of keys that kustomize does not know. Like kustomize, it ignores case.
func unknownKeys(fields *yaml.Node) (found []keyError) {
	known := kustomizationKeys()
	for i := 0; i+1 < len(fields.Content); i += 2 {
		key := fields.Content[i]
		isKey := func(name string) bool { return strings.EqualFold(name, key.Value) }
		if slices.ContainsFunc(known, isKey) || key.Value == "<<" {
			continue
		}
		text := fmt.Sprintf("unknown field %q: kustomize has none of this name", key.Value)
		if nearest := wording.Nearest(key.Value, known); nearest != "" {
			text += "; did you mean " + nearest + "?"
		}
		found = append(found, keyError{key.Line, text})
	}
	return found
}

// kustomizationKeys returns the keys that a kustomization file may have.
var kustomizationKeys = sync.OnceValue(func() (names []string) {
	for f := range fieldsOf(reflect.TypeFor[types.Kustomization]()) {
		names = append(names, f)
	}
	return names
})

// fieldsOf yields the JSON names of the fields of a struct.
func fieldsOf(t reflect.Type) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		for f := range t.Fields() {
			name, rest, _ := strings.Cut(f.Tag.Get("json"), ",")
			if name == "" && rest == "inline" {
				for inner := range fieldsOf(f.Type) {
					if !yield(inner) {
						return
					}
				}
			}
			if name != "" && name != "-" && !yield(name) {
				return
			}
		}
	}
}
