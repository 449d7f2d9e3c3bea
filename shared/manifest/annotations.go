package manifest

import "strings"

// The annotations of Flux that hub and spoke read.
const (
	// RequestedAtAnnotation: a new value asks for a reconciliation.
	RequestedAtAnnotation = "reconcile.fluxcd.io/requestedAt"

	PruneAnnotation     = "kustomize.toolkit.fluxcd.io/prune"     // disabled: never delete
	ReconcileAnnotation = "kustomize.toolkit.fluxcd.io/reconcile" // disabled: neither apply nor delete
	SSAAnnotation       = "kustomize.toolkit.fluxcd.io/ssa"       // Override, Merge, IfNotPresent, Ignore
	ForceAnnotation     = "kustomize.toolkit.fluxcd.io/force"     // enabled: recreate when an immutable field changes
	DecryptAnnotation   = "kustomize.toolkit.fluxcd.io/decrypt"   // disabled: encrypted values stay as they are
)

// LastAppliedAnnotation is the annotation in which kubectl keeps a copy of the object.
const LastAppliedAnnotation = "kubectl.kubernetes.io/last-applied-configuration"

// Disabled is the value of annotations that turn something off.
const Disabled = "disabled"

// SubstituteKey is a label or annotation that, when "disabled", keeps the object from post-build substitution.
const SubstituteKey = "kustomize.toolkit.fluxcd.io/substitute"

// IsSubstitutionDisabled reports whether a label or an annotation keeps an object from post-build substitution.
func IsSubstitutionDisabled(o *Object) bool {
	return o.GetLabels()[SubstituteKey] == Disabled || o.GetAnnotations()[SubstituteKey] == Disabled
}

// HasAnnotation reports whether an annotation has a value. Case is ignored.
func HasAnnotation(annotations map[string]string, name, value string) bool {
	return strings.EqualFold(annotations[name], value)
}

// IsPruneDisabled reports whether annotations forbid to delete an object that left Git.
func IsPruneDisabled(annotations map[string]string) bool {
	return HasAnnotation(annotations, PruneAnnotation, "disabled") ||
		HasAnnotation(annotations, ReconcileAnnotation, "disabled") ||
		HasAnnotation(annotations, SSAAnnotation, "Ignore")
}

// DiffersInCluster reports whether annotations let the object in the cluster differ from the one in Git: Git does not
// reach it, or others may add to it.
func DiffersInCluster(annotations map[string]string) bool {
	return HasAnnotation(annotations, ReconcileAnnotation, "disabled") ||
		annotations[SSAAnnotation] != "" && !HasAnnotation(annotations, SSAAnnotation, "Override")
}
