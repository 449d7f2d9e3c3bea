package helm

import (
	"cmp"
	"slices"
)

// kindOrder is the order in which Helm installs kinds. Kinds that are not listed come last, sorted by name.
var kindOrder = []string{
	"PriorityClass", "Namespace", "NetworkPolicy", "ResourceQuota", "LimitRange", "PodSecurityPolicy",
	"PodDisruptionBudget", "ServiceAccount", "Secret", "SecretList", "ConfigMap", "StorageClass", "PersistentVolume",
	"PersistentVolumeClaim", "CustomResourceDefinition", "ClusterRole", "ClusterRoleList", "ClusterRoleBinding",
	"ClusterRoleBindingList", "Role", "RoleList", "RoleBinding", "RoleBindingList", "Service", "DaemonSet", "Pod",
	"ReplicationController", "ReplicaSet", "Deployment", "HorizontalPodAutoscaler", "StatefulSet", "Job", "CronJob",
	"IngressClass", "Ingress", "APIService",
	// Helm 3 does not list these.
	"MutatingWebhookConfiguration", "ValidatingWebhookConfiguration",
}

// webhookKinds is the number of kinds at the end of kindOrder that Helm 3 does not list.
const webhookKinds = 2

// sortByKind sorts values stably by the kind that each has.
func sortByKind[T any](values []T, compat Compat, kindOf func(T) string) {
	known := kindOrder
	if compat == Helm3 {
		known = kindOrder[:len(kindOrder)-webhookKinds]
	}
	rank := make(map[string]int, len(known))
	for i, kind := range known {
		rank[kind] = i - len(known) // below the rank of others, which is 0
	}
	slices.SortStableFunc(values, func(a, b T) int {
		kindA, kindB := kindOf(a), kindOf(b)
		return cmp.Or(cmp.Compare(rank[kindA], rank[kindB]), cmp.Compare(kindA, kindB))
	})
}
