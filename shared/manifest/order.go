package manifest

import (
	"cmp"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/runtime/schema"
)

// Stages is the number of stages.
const Stages = 4

// Stage returns the stage in which an object is applied, from 0 to Stages-1. All objects of a stage are live before the
// next stage begins.
//
//	0  objects that others need: CustomResourceDefinition, Namespace, ClusterRole
//	1  *Class kinds
//	2  all others
//	3  webhook configurations, because they call services of stage 2
func Stage(id ID) int {
	switch id.GroupKind() { // a kind of the same name in another group is not special
	case schema.GroupKind{Kind: "Namespace"},
		schema.GroupKind{Group: "apiextensions.k8s.io", Kind: "CustomResourceDefinition"},
		schema.GroupKind{Group: "rbac.authorization.k8s.io", Kind: "ClusterRole"}:
		return 0
	case schema.GroupKind{Group: "admissionregistration.k8s.io", Kind: "MutatingWebhookConfiguration"},
		schema.GroupKind{Group: "admissionregistration.k8s.io", Kind: "ValidatingWebhookConfiguration"}:
		return 3
	}
	if strings.HasSuffix(id.Kind, "Class") {
		return 1
	}
	return 2
}

// firstKinds and lastKinds are the order of Flux's kustomize-controller (fluxcd/pkg/ssa ReconcileOrder). All other
// kinds come between the two.
var (
	firstKinds = [...]string{
		"CustomResourceDefinition", "Namespace",
		"ClusterClass", "RuntimeClass", "PriorityClass", "StorageClass", "VolumeSnapshotClass", "IngressClass",
		"GatewayClass",
		"ResourceQuota", "ServiceAccount", "Role", "ClusterRole", "RoleBinding", "ClusterRoleBinding",
		"ConfigMap", "Secret", "Service", "LimitRange", "Deployment", "StatefulSet", "CronJob", "PodDisruptionBudget",
	}
	lastKinds = [...]string{"MutatingWebhookConfiguration", "ValidatingWebhookConfiguration"}
	ranks     = rankKinds()
)

// rankKinds returns the rank of each listed kind. Other kinds have rank 0.
func rankKinds() map[string]int {
	ranks := map[string]int{}
	for i, kind := range firstKinds {
		ranks[kind] = i - len(firstKinds)
	}
	for i, kind := range lastKinds {
		ranks[kind] = i + 1
	}
	return ranks
}

// Compare orders objects for apply: by stage, then by Flux's order of kinds, by group, kind, namespace and name.
// Objects are deleted in the reverse order.
func Compare(a, b ID) int {
	return cmp.Or(
		cmp.Compare(Stage(a), Stage(b)),
		cmp.Compare(ranks[a.Kind], ranks[b.Kind]),
		cmp.Compare(a.Group, b.Group),
		cmp.Compare(a.Kind, b.Kind),
		cmp.Compare(a.Namespace, b.Namespace),
		cmp.Compare(a.Name, b.Name),
	)
}

// ApplyOrder sorts objects in place by Compare. Objects of the same name keep their order.
func ApplyOrder(objects []*Object) {
	type named struct {
		id     ID
		object *Object
	}
	all := make([]named, len(objects))
	for i, o := range objects {
		all[i] = named{IDOf(o), o}
	}
	slices.SortStableFunc(all, func(a, b named) int { return Compare(a.id, b.id) })
	for i, n := range all {
		objects[i] = n.object
	}
}
