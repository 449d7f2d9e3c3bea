package api

import (
	"encoding/json"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
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
	// Suspend freezes the root Kustomizations of this Fleet.
	Suspend bool `json:"suspend,omitempty"`
}

// Template is a Kustomization before its variables are known.
type Template struct {
	Metadata TemplateMetadata `json:"metadata"`
	// Spec is a KustomizationSpec. It stays JSON because a ${variable} may stand where the type wants a number or a duration.
	Spec json.RawMessage `json:"spec"`
}

// TemplateMetadata names the root Kustomization.
type TemplateMetadata struct {
	Name        string            `json:"name"`
	Namespace   string            `json:"namespace,omitempty"` // flux-system unless given
	Labels      map[string]string `json:"labels,omitempty"`
	Annotations map[string]string `json:"annotations,omitempty"`
}
