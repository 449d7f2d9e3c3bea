package api

import (
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/navefleet/nave/shared/bundle"
)

// SpokeSpec says which image the spokes of clusters run.
type SpokeSpec struct {
	// Image is named by its digest, or by a tag other than latest. Empty: spokes stay as they are installed.
	Image string `json:"image,omitempty"`
	// MaxConcurrent is how many spokes are upgraded at a time: a number, or a share of them, rounded down. At least one
	// is; absent: one. The first one goes alone.
	MaxConcurrent *intstr.IntOrString `json:"maxConcurrent,omitempty"`
}

// Concurrent returns how many of the spokes are upgraded at a time.
func (s SpokeSpec) Concurrent(spokes int) int {
	return max(scaled(s.MaxConcurrent, spokes, 1), 1)
}

// checkSpoke checks a SpokeSpec.
func checkSpoke(s SpokeSpec, at *field.Path) (errs field.ErrorList) {
	if s.Image != "" {
		if err := bundle.CheckImage(s.Image); err != nil {
			errs = append(errs, field.Invalid(at.Child("image"), s.Image, err.Error()))
		}
	}
	if s.MaxConcurrent == nil {
		return errs
	}
	at = at.Child("maxConcurrent")
	if s.Image == "" {
		errs = append(errs, field.Forbidden(at, "it goes with an image only: set that, or remove it"))
	}
	return append(errs, checkShare(s.MaxConcurrent, 1, at)...)
}
