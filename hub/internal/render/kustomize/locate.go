package kustomize

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/navefleet/nave/hub/internal/render/tree"
	"github.com/navefleet/nave/shared/manifest"
)

// objectError is the error of an object, or of several with the same name.
type objectError struct {
	object *manifest.Object
	err    error
}

// Error implements error.
func (e *objectError) Error() string { return e.err.Error() }

// Unwrap returns the cause.
func (e *objectError) Unwrap() error { return e.err }

// locate adds the files that hold an object to an error about the object.
func (f *fileSystem) locate(err error) error {
	at, ok := errors.AsType[*objectError](err)
	if _, named := errors.AsType[*substitutionError](err); !ok || named { // that one names files and lines
		return err
	}
	var files []string
	for _, p := range f.resources {
		data, rerr := f.content(p)
		if rerr == nil && !slices.Contains(files, tree.Local(p)) && holds(data, at.object) {
			files = append(files, tree.Local(p))
		}
	}
	if len(files) == 0 {
		return err // it was generated or renamed
	}
	return fmt.Errorf("%s: %w", strings.Join(files, ", "), err)
}

// holds reports whether a file has an object of the kind and the name.
func holds(data []byte, o *manifest.Object) bool {
	metadata, _ := o.Object["metadata"].(map[string]any)
	name, kind := fmt.Sprint(metadata["name"]), fmt.Sprint(o.Object["kind"])
	for doc := range documents(data) {
		if len(doc.Content) == 0 {
			continue
		}
		if textAt(doc.Content[0], "kind") == kind && textAt(doc.Content[0], "metadata", "name") == name {
			return true
		}
	}
	return false
}

// textAt returns the text of a scalar at a path of keys. If there is none, textAt returns "<nil>".
func textAt(n *yaml.Node, keys ...string) string {
	for _, key := range keys {
		i := slices.IndexFunc(n.Content, func(c *yaml.Node) bool { return c.Value == key })
		if n.Kind != yaml.MappingNode || i < 0 || i+1 == len(n.Content) {
			return fmt.Sprint(nil)
		}
		n = n.Content[i+1]
	}
	return n.Value
}
