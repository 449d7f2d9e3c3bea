package kustomize

import (
	"fmt"

	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/manifest"
)

// expansion is how many bytes of JSON one byte of a text takes at most: \u0001.
const expansion = 6

// checkSize refuses an object that no API server takes. Nearly all are small by a glance and not written out for it.
func checkSize(o *manifest.Object) error {
	if weightOf(o.Object) <= bundle.MaxObjectBytes/expansion {
		return nil
	}
	data, err := manifest.Canonical(o)
	if err != nil {
		return err
	}
	if err := bundle.FitsObject(manifest.IDOf(o).String(), data); err != nil {
		return fmt.Errorf("%w: %w", err, ErrLarge)
	}
	return nil
}

// weightOf is at least a sixth of how many bytes a JSON value has when it is written out.
func weightOf(v any) int {
	const atom = 8 // what JSON writes around and between values, and a number or a word
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
