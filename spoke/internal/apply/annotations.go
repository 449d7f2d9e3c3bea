package apply

import (
	"github.com/navefleet/nave/shared/manifest"
	"github.com/navefleet/nave/spoke/internal/inventory"
)

// modeOf returns the mode in which an object is applied, by its labels and annotations. An unknown value means
// Override, as in Flux.
func modeOf(o *manifest.Object) inventory.Mode {
	marks := manifest.MarksOf(o)
	if marks.IsSkipped() {
		return inventory.Ignore
	}
	for _, m := range []inventory.Mode{inventory.IfNotPresent, inventory.Merge} {
		if marks.Has(manifest.SSAAnnotation, string(m)) {
			return m
		}
	}
	return inventory.Override
}

// forced reports whether an object must be deleted and made anew if an immutable field changes.
func forced(o *manifest.Object, set bool) bool {
	return set || manifest.MarksOf(o).Has(manifest.ForceAnnotation, "enabled")
}

// holdsOthers reports whether the deletion of an object would delete data or other objects. Such an
// object is never made anew.
func holdsOthers(o *manifest.Object) bool {
	switch o.GroupVersionKind().GroupKind().String() {
	case "PersistentVolumeClaim", "PersistentVolume", "Namespace", "CustomResourceDefinition.apiextensions.k8s.io":
		return true
	}
	return false
}

// expires reports whether the object's own controller deletes it when it is done.
func expires(o *manifest.Object) bool {
	if o.GroupVersionKind().Group != "batch" || o.GetKind() != "Job" {
		return false
	}
	spec, _ := o.Object["spec"].(map[string]any)
	return spec["ttlSecondsAfterFinished"] != nil
}
