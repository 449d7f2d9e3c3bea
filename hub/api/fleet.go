package api

import (
	"cmp"
	"encoding/json"
	"fmt"
	"strings"

	fluxkustomize "github.com/fluxcd/pkg/apis/kustomize"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// FleetKind is the kind of Fleets.
const FleetKind = "Fleet"

func init() {
	Register(Kind{
		Name: FleetKind, Plural: "fleets", Group: GroupFleet, Version: Version, Role: FleetRole,
		Required: map[string]string{"template": "", "clusterSelector": "{} selects every cluster"},
		Check:    checked(checkFleet), View: viewed(itself[Fleet]),
		Columns: []Column{
			nameColumn, readyColumn, {Name: "CLUSTERS", Value: fieldOf("status", "clusters", "selected")},
			{Name: "CONNECTED", Value: fieldOf("status", "clusters", "connected")},
			{Name: "UPDATED", Value: fieldOf("status", "clusters", "updated")},
			{Name: "HEALTHY", Value: fieldOf("status", "clusters", "ready")},
			suspendedColumn, messageColumn,
			{Name: "SPOKE IMAGE", Wide: true, Value: fieldOf("spec", "spoke", "image")},
			{Name: "SPOKES UPGRADED", Wide: true, Value: fieldOf("status", "spokes", "upgraded")},
		},
	})
}

// Fleet gives one root Kustomization to every cluster that it selects.
type Fleet struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata"`
	Spec              FleetSpec `json:"spec"`
}

// FleetSpec has the selected clusters of a Fleet, and the template of their root.
type FleetSpec struct {
	// ClusterSelector selects by the labels of the Clusters. The empty selector selects all of them.
	ClusterSelector metav1.LabelSelector `json:"clusterSelector"`
	// Template is the root Kustomization, with ${variables} of the cluster in any string.
	Template Template `json:"template"`
	// Overrides change what the template gives to some of the clusters, one after the other.
	Overrides []FleetOverride `json:"overrides,omitempty"`
	// Suspend suspends the root Kustomizations of this Fleet and all objects below them.
	Suspend bool `json:"suspend,omitempty"`
	// Drift is what the spokes do about drift of the Fleet's Kustomizations, unless these or their Cluster say it: off,
	// warn or correct.
	Drift string `json:"drift,omitempty"`
	// KeepFluxComponents applies the components of Flux itself that are in the tree. Otherwise they are left out.
	KeepFluxComponents bool `json:"keepFluxComponents,omitempty"`
	// PassThrough lists kinds of Flux as Kind.group. Their objects are applied to the clusters, for the controllers there.
	PassThrough []string `json:"passThrough,omitempty"`
	// Rollout is how a change moves through the clusters; nil: to all of them at once.
	Rollout *RolloutSpec `json:"rollout,omitempty"`
	// Spoke is what the spokes of the clusters run, unless their Cluster says it.
	Spoke SpokeSpec `json:"spoke,omitzero"`
}

const maxOverrides = 256

// FleetOverride changes what the template of a Fleet gives to some of its clusters.
type FleetOverride struct {
	// ClusterSelector selects among the clusters of the Fleet. The empty selector selects all of them.
	ClusterSelector *metav1.LabelSelector `json:"clusterSelector"`
	// Vars are variables of the template, for clusters that do not set them in their spec.vars. Of two overrides that set
	// one variable the later one counts.
	Vars map[string]string `json:"vars,omitempty"`
	// Patches are added to spec.patches of the root, with ${variables} as in the template.
	Patches []fluxkustomize.Patch `json:"patches,omitempty"`
}

// Template is a Kustomization whose variables are not replaced yet.
type Template struct {
	Metadata Metadata `json:"metadata"` // its name and its namespace are flux-system unless given
	// Spec is a KustomizationSpec. It stays JSON because a ${variable} may be the value of a field whose type is a number
	// or a duration.
	Spec json.RawMessage `json:"spec"`
}

// checkFleet checks a Fleet. In its template it replaces the variables by samples.
func checkFleet(f *Fleet) (errs field.ErrorList) {
	if _, err := metav1.LabelSelectorAsSelector(&f.Spec.ClusterSelector); err != nil {
		errs = append(errs, field.Invalid(specPath().Child("clusterSelector"), field.OmitValueType{}, err.Error()))
	}
	if err := checkTemplate(f); err != nil {
		at, detail, _ := strings.Cut(err.Error(), ": ")
		errs = append(errs, field.Invalid(specPath().Child(at), field.OmitValueType{}, detail))
	}
	errs = append(errs, tooMany(len(f.Spec.Overrides), maxOverrides, specPath().Child("overrides"))...)
	for i, o := range f.Spec.Overrides {
		errs = append(errs, o.check(specPath().Child("overrides").Index(i))...)
	}
	errs = append(errs, checkDrift(f.Spec.Drift, specPath().Child("drift"))...)
	errs = append(errs, checkRollout(f.Spec.Rollout, specPath().Child("rollout"))...)
	errs = append(errs, checkSpoke(f.Spec.Spoke, specPath().Child("spoke"))...)
	return append(errs, checkPassThrough(f.Spec.PassThrough, specPath().Child("passThrough"))...)
}

// check checks an override, its variables apart from what they are put into.
func (o FleetOverride) check(at *field.Path) (errs field.ErrorList) {
	if o.ClusterSelector == nil {
		errs = append(errs, field.Required(at.Child("clusterSelector"), "{} selects every cluster of the Fleet"))
	} else if _, err := metav1.LabelSelectorAsSelector(o.ClusterSelector); err != nil {
		errs = append(errs, field.Invalid(at.Child("clusterSelector"), field.OmitValueType{}, err.Error()))
	}
	if _, ok := o.Vars[ClusterNameVariable]; ok {
		errs = append(errs, field.Forbidden(at.Child("vars").Key(ClusterNameVariable),
			"it is the name of the Cluster, always: choose another name"))
	}
	errs = append(errs, checkVariables(o.Vars, at.Child("vars"))...)
	errs = append(errs, checkPatches(o.Patches, nil, at)...)
	if len(o.Vars) == 0 && len(o.Patches) == 0 {
		errs = append(errs, field.Required(at, "vars or patches"))
	}
	return errs
}

func (f *Fleet) key() Key { return FleetKey(f.Name) }

// sourceReference returns the key of the source that the template names, without a cluster. If the template cannot be
// decoded before its variables are replaced, sourceReference returns false.
func (f *Fleet) sourceReference() (Key, bool) {
	var spec struct {
		SourceRef struct{ Kind, Namespace, Name string } `json:"sourceRef"`
	}
	if err := json.Unmarshal(f.Spec.Template.Spec, &spec); err != nil {
		return Key{}, false
	}
	ref := spec.SourceRef
	namespace := cmp.Or(ref.Namespace, f.Spec.Template.Metadata.Namespace, DefaultNamespace)
	return Key{Kind: ref.Kind, Namespace: namespace, Name: ref.Name}, true
}

// Selects reports whether the Fleet selects a Cluster with these ClusterLabels. If the selector is invalid, Selects
// returns an error.
func (f *Fleet) Selects(cluster labels.Labels) (bool, error) {
	selector, err := f.Selector()
	if err != nil {
		return false, err
	}
	return selector.Matches(cluster), nil
}

// Selector returns the selector of the Fleet, for many clusters.
func (f *Fleet) Selector() (labels.Selector, error) {
	selector, err := metav1.LabelSelectorAsSelector(&f.Spec.ClusterSelector)
	if err != nil {
		return nil, fmt.Errorf("%s: spec.clusterSelector: %w", f.key(), err)
	}
	return selector, nil
}
