package kustomize

import (
	"fmt"

	"github.com/navefleet/nave/hub/internal/render"
	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/manifest"
)

// expansion is how many bytes of JSON one byte of a text takes at most: \u0001.
const expansion = 6

// atom is how many bytes JSON writes around and between values, or for a number or a word.
const atom = 8

// checkSize refuses an object that no API server or no spoke takes. Most objects are small by a rough estimate, and
// checkSize does not encode them: so few bytes hold no more than bundle.MaxObjectValues values either.
func checkSize(o *manifest.Object) error {
	if weightOf(o.Object) <= bundle.MaxObjectBytes/expansion {
		return nil
	}
	data, err := manifest.Canonical(o)
	if err != nil {
		return err
	}
	if err := bundle.FitsObject(manifest.IDOf(o).String(), data); err != nil {
		return fmt.Errorf("%w: %w", err, render.ErrLarge)
	}
	return nil
}

// weightOf is at least a sixth of how many bytes a JSON value has when it is written out.
func weightOf(v any) int {
	switch v := v.(type) {
	case map[string]any:
		n := atom
		for k, e := range v {
			n += len(k) + atom + weightOf(e)
		}
		return n
	case []any:
		n := atom
		for _, e := range v {
			n += weightOf(e)
		}
		return n
	case string:
		return atom + len(v)
	}
	return atom
}
