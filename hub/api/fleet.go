package api

import (
	"encoding/json"
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/navefleet/nave/shared/manifest"
)

// The API group and version of Nave's own kinds.
const (
	GroupFleet = "fleet.nave.io"
	Version    = "v1alpha1"
)

// Cluster is a registered cluster: what operators say about it. What a spoke reports is in its status only.
type Cluster struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata"`
	Spec              ClusterSpec `json:"spec,omitzero"`
}

// ClusterSpec is what operators decide about a cluster.
type ClusterSpec struct {
	// Vars are the variables that a Fleet's template may use as ${name}. Names match [_A-Za-z][_A-Za-z0-9]*.
	Vars map[string]string `json:"vars,omitempty"`
	// Blocked shuts the cluster out: the hub accepts no session of its spoke.
	Blocked bool `json:"blocked,omitempty"`
	// Suspend freezes the cluster at its present bundle. Its spoke goes on repairing drift.
	Suspend bool `json:"suspend,omitempty"`
	// StopRepair makes the spoke of a suspended cluster leave drift alone, too.
	StopRepair bool `json:"stopRepair,omitempty"`
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

// checkCluster checks a Cluster. Its name is part of certificates and paths, so it is one DNS label.
func checkCluster(o *manifest.Object, meta metadata) field.ErrorList {
	c, errs := decode[Cluster](o.Object, nil)
	if len(errs) > 0 {
		return errs
	}
	errs = append(errs, required(meta.Name, field.NewPath("metadata", "name"), validation.IsDNS1123Label)...)
	if c.Spec.StopRepair && !c.Spec.Suspend {
		errs = append(errs, field.Forbidden(specPath().Child("stopRepair"),
			"it goes with suspend: true only: set that, or remove it"))
	}
	vars := specPath().Child("vars")
	if _, ok := c.Spec.Vars[ClusterNameVariable]; ok {
		errs = append(errs, field.Forbidden(vars.Key(ClusterNameVariable),
			"it is the name of the Cluster, always: choose another name"))
	}
	return append(errs, checkVariables(c.Spec.Vars, vars)...)
}

// checkFleet checks a Fleet, its template with samples for what the variables stand for.
func checkFleet(o *manifest.Object, _ metadata) field.ErrorList {
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

func (f *Fleet) key() Key { return Key{Kind: FleetKind, Name: f.Name} }

// Selects reports whether the cluster's labels match. The error says what is wrong with the selector.
func (f *Fleet) Selects(c *Cluster) (bool, error) {
	selector, err := metav1.LabelSelectorAsSelector(&f.Spec.ClusterSelector)
	if err != nil {
		return false, fmt.Errorf("%s: spec.clusterSelector: %w", f.key(), err)
	}
	return selector.Matches(labels.Set(c.Labels)), nil
}

// AsCluster returns an admitted Cluster.
func AsCluster(o *manifest.Object) (*Cluster, error) { return as[Cluster](o, ClusterKind) }

// AsFleet returns an admitted Fleet.
func AsFleet(o *manifest.Object) (*Fleet, error) { return as[Fleet](o, FleetKind) }
