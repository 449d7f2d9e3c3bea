package api

import (
	"slices"

	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/navefleet/nave/shared/bundle"
)

// DriftAnnotation of a Kustomization says what the spoke does about drift of its objects: off, warn or correct.
const DriftAnnotation = "fleet.nave.io/drift"

// driftModes are the modes that users name. The spoke corrects if they name none.
var driftModes = []string{"off", "warn", "correct"}

// checkDrift checks the name of a drift mode, which may be empty.
func checkDrift(mode string, at *field.Path) field.ErrorList { return oneOf(mode, at, driftModes...) }

// checkDriftAnnotation checks the annotation with the drift mode.
func checkDriftAnnotation(annotations map[string]string) field.ErrorList {
	return checkDrift(annotations[DriftAnnotation], field.NewPath("metadata", "annotations").Key(DriftAnnotation))
}

// DriftModeOf returns the drift mode of an object. The first of the given names that is not empty counts: those of the
// object's annotation, its Cluster and its Fleet.
func DriftModeOf(names ...string) bundle.DriftMode {
	at := slices.IndexFunc(names, func(name string) bool { return name != "" })
	if at < 0 || names[at] == "correct" {
		return bundle.CorrectDrift
	}
	return bundle.DriftMode(names[at])
}
