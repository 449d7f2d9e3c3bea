package api

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/navefleet/nave/shared/condition"
)

// The API group and version of Nave's own kinds.
const (
	GroupFleet = "fleet.nave.io"
	Version    = "v1alpha1"
)

// ClusterKind is the kind of Clusters.
const ClusterKind = "Cluster"

func init() {
	Register(Kind{
		Name: ClusterKind, Plural: "clusters", Group: GroupFleet, Version: Version, Role: ClusterRole,
		Check: checked(checkCluster), View: viewed(itself[Cluster]),
		Columns: []Column{
			nameColumn, readyColumn, {Name: "CONNECTED", Value: conditionOf(condition.Connected, "status")}, suspendedColumn,
			{Name: "BUNDLE", Value: fieldOf("status", "bundle", "sequence")},
			{Name: "VERSION", Value: fieldOf("status", "version")},
			{Name: "KUBERNETES", Value: fieldOf("status", "kubernetesVersion")}, messageColumn,
			{Name: "LABELS", Wide: true, Value: labelsOf},
			{Name: "CERTIFICATE EXPIRES", Wide: true, Value: fieldOf("status", "certificateExpires")},
			{Name: "IMAGE", Wide: true, Value: fieldOf("status", "image")},
			{Name: "UPGRADE", Wide: true, Value: fieldOf("status", "upgrade", "reason")},
		},
	})
}

// NameLabel is a label that selectors find on every Cluster, whatever its labels are. Its value is the Cluster's name,
// as that of Kubernetes' Namespaces is.
const NameLabel = "kubernetes.io/metadata.name"

// ClusterLabels are the labels of a Cluster for selectors.
func ClusterLabels(name string, set map[string]string) labels.Labels { return clusterLabels{name, set} }

type clusterLabels struct {
	name string
	set  labels.Set
}

func (c clusterLabels) Has(label string) bool { return label == NameLabel || c.set.Has(label) }

func (c clusterLabels) Get(label string) string {
	value, _ := c.Lookup(label)
	return value
}

func (c clusterLabels) Lookup(label string) (value string, exists bool) {
	if label == NameLabel {
		return c.name, true
	}
	return c.set.Lookup(label)
}

// Cluster is a registered cluster with the settings of its operators. The reports of its spoke are only in the status.
type Cluster struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata"`
	Spec              ClusterSpec `json:"spec,omitzero"`
}

// ClusterSpec has the settings of operators for a cluster.
type ClusterSpec struct {
	// Vars are the variables that a Fleet's template may use as ${name}. Names match [_A-Za-z][_A-Za-z0-9]*.
	Vars map[string]string `json:"vars,omitempty"`
	// Blocked makes the hub refuse the sessions of the cluster's spoke.
	Blocked bool `json:"blocked,omitempty"`
	// Suspend freezes the cluster at its present bundle. Its spoke continues to repair drift.
	Suspend bool `json:"suspend,omitempty"`
	// StopRepair makes the spoke of a suspended cluster leave drift alone, too.
	StopRepair bool `json:"stopRepair,omitempty"`
	// Drift is what the spoke does about drift of Kustomizations that do not say it themselves: off, warn or correct.
	Drift string `json:"drift,omitempty"`
	// PassThrough lists kinds of Flux as Kind.group. Their objects are applied to the cluster, for the controllers there.
	PassThrough []string `json:"passThrough,omitempty"`
	// Spoke is what the cluster's spoke runs, whatever its Fleets say. Its maxConcurrent counts for the Clusters that name
	// the same image; the smallest one does.
	Spoke SpokeSpec `json:"spoke,omitzero"`
}

// checkCluster checks a Cluster. Its name is part of certificates and paths, so it is one DNS label.
func checkCluster(c *Cluster) field.ErrorList {
	errs := required(c.Name, field.NewPath("metadata", "name"), validation.IsDNS1123Label)
	if name, ok := c.Labels[NameLabel]; ok && name != c.Name {
		errs = append(errs, field.Forbidden(field.NewPath("metadata", "labels").Key(NameLabel),
			"selectors find the name of the Cluster there, always: remove it"))
	}
	if c.Spec.StopRepair && !c.Spec.Suspend {
		errs = append(errs, field.Forbidden(specPath().Child("stopRepair"),
			"it goes with suspend: true only: set that, or remove it"))
	}
	errs = append(errs, checkDrift(c.Spec.Drift, specPath().Child("drift"))...)
	errs = append(errs, checkPassThrough(c.Spec.PassThrough, specPath().Child("passThrough"))...)
	errs = append(errs, checkSpoke(c.Spec.Spoke, specPath().Child("spoke"))...)
	vars := specPath().Child("vars")
	if _, ok := c.Spec.Vars[ClusterNameVariable]; ok {
		errs = append(errs, field.Forbidden(vars.Key(ClusterNameVariable),
			"it is the name of the Cluster, always: choose another name"))
	}
	return append(errs, checkVariables(c.Spec.Vars, vars)...)
}
