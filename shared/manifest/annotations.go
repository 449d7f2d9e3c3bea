package manifest

import "strings"

// The annotations of Flux that hub and spoke read.
const (
	// RequestedAtAnnotation: a new value asks for a reconciliation.
	RequestedAtAnnotation = "reconcile.fluxcd.io/requestedAt"
	DecryptAnnotation     = "kustomize.toolkit.fluxcd.io/decrypt" // disabled: encrypted values stay as they are

	// The following count as labels, too; see Marks.

	PruneAnnotation     = "kustomize.toolkit.fluxcd.io/prune"     // disabled: never delete
	ReconcileAnnotation = "kustomize.toolkit.fluxcd.io/reconcile" // disabled: neither apply nor delete
	SSAAnnotation       = "kustomize.toolkit.fluxcd.io/ssa"       // Override, Merge, IfNotPresent, Ignore
	ForceAnnotation     = "kustomize.toolkit.fluxcd.io/force"     // enabled: recreate when an immutable field changes
	// DriftDetectionAnnotation: disabled: drift of an object of a HelmRelease is left as it is.
	DriftDetectionAnnotation = "helm.toolkit.fluxcd.io/driftDetection"
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

// Marks are the labels and annotations of an object. Flux reads most of its own in either.
type Marks struct{ Labels, Annotations map[string]string }

// MarksOf returns the marks of an object.
func MarksOf(o *Object) Marks { return Marks{o.GetLabels(), o.GetAnnotations()} }

// Has reports whether a label or an annotation has a value. Case is ignored.
func (m Marks) Has(name, value string) bool {
	return strings.EqualFold(m.Labels[name], value) || HasAnnotation(m.Annotations, name, value)
}

// IsSkipped reports whether marks keep an object from being applied.
func (m Marks) IsSkipped() bool {
	return m.Has(ReconcileAnnotation, Disabled) || m.Has(SSAAnnotation, "Ignore")
}

// IsDriftIgnored reports whether marks keep drift of an object of a HelmRelease from being repaired.
func (m Marks) IsDriftIgnored() bool { return m.Has(DriftDetectionAnnotation, Disabled) }

// IsPruneDisabled reports whether marks forbid to delete an object that left Git.
func (m Marks) IsPruneDisabled() bool { return m.Has(PruneAnnotation, Disabled) || m.IsSkipped() }

// DiffersInCluster reports whether marks let the object in the cluster differ from the one in Git: Git does not reach
// it, or others may add to it.
func (m Marks) DiffersInCluster() bool {
	for _, in := range []map[string]string{m.Labels, m.Annotations} {
		if in[SSAAnnotation] != "" && !HasAnnotation(in, SSAAnnotation, "Override") {
			return true
		}
	}
	return m.Has(ReconcileAnnotation, Disabled)
}

// FormAnnotation has, for generated fields of an object by their JSON pointers, the digests of the texts around times
// and random numbers, as JSON. What the cluster has in such a field stays as long as the digest does.
const FormAnnotation = "fleet.nave.io/generated-forms"
