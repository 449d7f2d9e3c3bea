package render

import (
	"fmt"

	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/manifest"
)

// expansion is how many bytes of JSON one byte of a text takes at most: \u0001.
const expansion = 6

// atom is the number of bytes that JSON needs around and between values, or for a number, a boolean or null.
const atom = 8

// CheckSize refuses an object that is too large for an API server or a spoke. The error is ErrLarge and a
// *bundle.TooLargeError. Most objects are small by a rough estimate, and CheckSize does not encode them: so few bytes
// have no more than bundle.MaxObjectValues values either.
func CheckSize(o *manifest.Object) error {
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

// weightOf returns at least a sixth of the number of bytes of the JSON of a value.
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
