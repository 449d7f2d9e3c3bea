package apply

import (
	"strings"

	"github.com/navefleet/nave/shared/manifest"
	"github.com/navefleet/nave/spoke/internal/inventory"
)

// The annotations of Flux's kustomize-controller that steer how one object is treated.
const (
	annotationGroup  = "kustomize.toolkit.fluxcd.io/"
	annotationPrune  = annotationGroup + "prune"     // disabled: never delete
	annotationSSA    = annotationGroup + "ssa"       // Override, Merge, IfNotPresent, Ignore
	annotationForce  = annotationGroup + "force"     // enabled: recreate when an immutable field changes
	annotationReconc = annotationGroup + "reconcile" // disabled: neither apply nor prune
)

func says(annotations map[string]string, key, word string) bool {
	return strings.EqualFold(annotations[key], word)
}

// modeOf reads how an object wants to be applied. A word that is not known means Override, as in Flux.
func modeOf(o *manifest.Object) inventory.Mode {
	a := o.GetAnnotations()
	if says(a, annotationReconc, "disabled") {
		return inventory.Ignore
	}
	for _, m := range []inventory.Mode{inventory.Merge, inventory.IfNotPresent, inventory.Ignore} {
		if says(a, annotationSSA, string(m)) {
			return m
		}
	}
	return inventory.Override
}

// forced reports whether the object may be deleted and made anew when an immutable field changes. What would take data
// or other objects with it may not, whatever the annotation says.
func forced(o *manifest.Object, set bool) bool {
	switch o.GroupVersionKind().GroupKind().String() {
	case "PersistentVolumeClaim", "PersistentVolume", "Namespace", "CustomResourceDefinition.apiextensions.k8s.io":
		return false
	}
	return set || says(o.GetAnnotations(), annotationForce, "enabled")
}

// kept reports whether a live object wants to be left in the cluster when it leaves Git.
func kept(annotations map[string]string) bool {
	return says(annotations, annotationPrune, "disabled") || says(annotations, annotationReconc, "disabled") ||
		says(annotations, annotationSSA, string(inventory.Ignore))
}

// expires reports whether an object is deleted by its own controller when it is done.
func expires(o *manifest.Object) bool {
	if o.GroupVersionKind().Group != "batch" || o.GetKind() != "Job" {
		return false
	}
	spec, _ := o.Object["spec"].(map[string]any)
	return spec["ttlSecondsAfterFinished"] != nil
}
