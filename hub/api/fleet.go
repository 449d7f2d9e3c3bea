package api

import (
	"cmp"
	"encoding/json"
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/navefleet/nave/shared/manifest"
)

// FleetKind is the kind of Fleets.
const FleetKind = "Fleet"

func init() {
	Register(Kind{
		Name: FleetKind, Plural: "fleets", Group: GroupFleet, Version: Version, Role: FleetRole, Check: checkFleet,
		Columns: []Column{
			nameColumn, readyColumn, {Name: "CLUSTERS", Value: fieldOf("status", "clusters", "selected")},
			{Name: "CONNECTED", Value: fieldOf("status", "clusters", "connected")},
			{Name: "UPDATED", Value: fieldOf("status", "clusters", "updated")},
			{Name: "HEALTHY", Value: fieldOf("status", "clusters", "ready")},
			suspendedColumn, messageColumn,
		},
	})
}

// Fleet gives every cluster it selects one root Kustomization.
type Fleet struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata"`
	Spec              FleetSpec `json:"spec"`
}

// FleetSpec says which clusters, and what they get.
type FleetSpec struct {
	// ClusterSelector selects by the labels of the Clusters. The empty selector selects all of them.
	ClusterSelector metav1.LabelSelector `json:"clusterSelector"`
	// Template is the root Kustomization, with ${variables} of the cluster in any string.
	Template Template `json:"template"`
	// Suspend suspends the root Kustomizations of this Fleet and everything below them.
	Suspend bool `json:"suspend,omitempty"`
}

// Template is a Kustomization before its variables are known.
type Template struct {
	Metadata TemplateMetadata `json:"metadata"`
	// Spec is a KustomizationSpec. It stays JSON because a ${variable} may stand where the type wants a number or a
	// duration.
	Spec json.RawMessage `json:"spec"`
}

// TemplateMetadata names the root Kustomization.
type TemplateMetadata struct {
	Name        string            `json:"name"`
	Namespace   string            `json:"namespace,omitempty"` // flux-system unless given
	Labels      map[string]string `json:"labels,omitempty"`
	Annotations map[string]string `json:"annotations,omitempty"`
}

// fleetRefused are the fields that are not carried out.
var fleetRefused = []refused{
	{"rollout", "not supported yet: remove it; a change goes to all selected clusters at once"},
}

// checkFleet checks a Fleet, its template with samples for what the variables stand for.
func checkFleet(o *manifest.Object) field.ErrorList {
	errs := checkRequired(o, "template")
	errs = append(errs, checkRefused(o, fleetRefused)...)
	if v, ok := specField(o, "clusterSelector"); !ok || v == nil {
		errs = append(errs, field.Required(specPath().Child("clusterSelector"), "{} selects every cluster"))
	}
	if len(errs) > 0 {
		return errs
	}
	f, errs := decode[Fleet](o.Object, nil)
	if len(errs) > 0 {
		return errs
	}
	if _, err := metav1.LabelSelectorAsSelector(&f.Spec.ClusterSelector); err != nil {
		errs = append(errs, field.Invalid(specPath().Child("clusterSelector"), field.OmitValueType{}, err.Error()))
	}
	if err := checkTemplate(f); err != nil {
		errs = append(errs, field.Invalid(specPath().Child("template"), field.OmitValueType{}, err.Error()))
	}
	return errs
}

func (f *Fleet) key() Key { return FleetKey(f.Name) }

// sourceReference returns the key of the source that the template names, without a cluster; false if that cannot be
// told before its variables are known.
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

// Selects reports whether the cluster's labels match. The error says what is wrong with the selector.
func (f *Fleet) Selects(c *Cluster) (bool, error) {
	selector, err := metav1.LabelSelectorAsSelector(&f.Spec.ClusterSelector)
	if err != nil {
		return false, fmt.Errorf("%s: spec.clusterSelector: %w", f.key(), err)
	}
	return selector.Matches(labels.Set(c.Labels)), nil
}
