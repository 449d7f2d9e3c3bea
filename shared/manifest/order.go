package manifest

import (
	"cmp"
	"slices"
	"strings"
)

// Stages is the number of stages that Stage counts.
const Stages = 4

// Stage returns when an object is applied: everything of a stage is live before the next one begins.
//
//	0  what others are made of: CustomResourceDefinition, Namespace, ClusterRole
//	1  *Class kinds
//	2  the rest
//	3  webhook configurations, which would otherwise call services that are not there yet
func Stage(id ID) int {
	switch id.Kind {
	case "Namespace":
		return pick(id.Group == "", 0)
	case "CustomResourceDefinition":
		return pick(id.Group == "apiextensions.k8s.io", 0)
	case "ClusterRole":
		return pick(id.Group == "rbac.authorization.k8s.io", 0)
	case "MutatingWebhookConfiguration", "ValidatingWebhookConfiguration":
		return pick(id.Group == "admissionregistration.k8s.io", 3)
	}
	if strings.HasSuffix(id.Kind, "Class") {
		return 1
	}
	return 2
}

// pick returns a stage for the Kubernetes kind itself, and that of the rest for a namesake of another group.
func pick(itself bool, stage int) int {
	if itself {
		return stage
	}
	return 2
}

// firstKinds and lastKinds are the order of Flux's kustomize-controller (fluxcd/pkg/ssa ReconcileOrder). Kinds that are
// in neither come between the two.
var (
	firstKinds = []string{
		"CustomResourceDefinition", "Namespace",
		"ClusterClass", "RuntimeClass", "PriorityClass", "StorageClass", "VolumeSnapshotClass", "IngressClass",
		"GatewayClass",
		"ResourceQuota", "ServiceAccount", "Role", "ClusterRole", "RoleBinding", "ClusterRoleBinding",
		"ConfigMap", "Secret", "Service", "LimitRange", "Deployment", "StatefulSet", "CronJob", "PodDisruptionBudget",
	}
	lastKinds = []string{"MutatingWebhookConfiguration", "ValidatingWebhookConfiguration"}
	ranks     = rankKinds()
)

// rankKinds numbers the kinds so that one which is not listed has rank 0.
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

// Compare orders objects as they are applied: by stage, by Flux's order of kinds, by group, kind, namespace and name.
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

// Less reports whether a is applied before b: Compare as a predicate.
func Less(a, b ID) bool { return Compare(a, b) < 0 }

// ApplyOrder sorts objects in place by Less. Objects of the same name keep their order.
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
