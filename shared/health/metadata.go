package health

import (
	"slices"

	"k8s.io/apimachinery/pkg/runtime/schema"
)

// statusless are the built-in kinds whose existence is their health.
var statusless = map[string][]string{
	"": {"ConfigMap", "Secret", "ServiceAccount", "Namespace", "LimitRange", "PodTemplate",
		"Endpoints", "Event"},
	"rbac.authorization.k8s.io": {"Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding"},
	"networking.k8s.io":         {"NetworkPolicy", "IngressClass"},
	"scheduling.k8s.io":         {"PriorityClass"},
	"storage.k8s.io": {"StorageClass", "CSIDriver", "CSINode", "CSIStorageCapacity",
		"VolumeAttributesClass"},
	"node.k8s.io":         {"RuntimeClass"},
	"coordination.k8s.io": {"Lease"},
	"discovery.k8s.io":    {"EndpointSlice"},
	"apps":                {"ControllerRevision"},
	"admissionregistration.k8s.io": {"MutatingWebhookConfiguration", "ValidatingWebhookConfiguration",
		"ValidatingAdmissionPolicyBinding", "MutatingAdmissionPolicy", "MutatingAdmissionPolicyBinding"},
}

// MetadataOnly reports whether an object of a kind is healthy if it exists, so that only its metadata is read. This
// also keeps the data of Secrets and ConfigMaps out of every answer.
func MetadataOnly(gk schema.GroupKind) bool { return slices.Contains(statusless[gk.Group], gk.Kind) }
