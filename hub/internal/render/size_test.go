package render

import (
	"testing"

	"github.com/navefleet/nave/shared/bundle"
)

// TestCheckSize_light checks that no object is light by the estimate and has too many values.
func TestCheckSize_light(t *testing.T) {
	if light := bundle.MaxObjectBytes / expansion / atom; light > bundle.MaxObjectValues {
		t.Errorf("an object of %d values passes without being counted", light)
	}
}
