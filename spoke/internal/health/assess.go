package health

import (
	"context"
	"fmt"
	"slices"

	"github.com/fluxcd/cli-utils/pkg/kstatus/status"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/health"
	"github.com/navefleet/nave/shared/manifest"
	"github.com/navefleet/nave/spoke/internal/kube"
)

// Report is the health of one object. Message may quote the object's status, and a controller may quote its spec there.
// Reason is a single identifier, of kstatus or of the controller; it may be empty.
type Report struct {
	Status          health.Status
	Reason, Message string
}

// assess returns the health of a whole object.
func assess(o *manifest.Object) Report {
	r, err := status.Compute(o)
	if err != nil {
		return Report{Status: health.Unknown, Message: fmt.Sprintf("status that cannot be read: %v", err)}
	}
	if r.Status == status.CurrentStatus {
		return Report{Status: health.Current} // without the library's message
	}
	report := Report{Status: health.Parse(string(r.Status)), Message: r.Message}
	if len(r.Conditions) > 0 {
		report.Reason = r.Conditions[0].Reason
	}
	return report
}

// Judge returns the health of an object: of the whole object if live holds it, else as its metadata tells.
func Judge(l kube.Live) Report {
	switch {
	case l.Deleting:
		return Report{Status: health.Terminating, Message: waitsFor(l.Finalizers)}
	case l.Object != nil:
		return assess(l.Object)
	}
	return Report{Status: health.Current}
}

func waitsFor(finalizers []string) string {
	if len(finalizers) == 0 {
		return "being deleted"
	}
	return fmt.Sprintf("being deleted; waits for finalizers %v", finalizers)
}

// Check asks the API server for the health of an object that no watch covers, such as one of spec.healthChecks. If the
// object or its kind does not exist, Check returns NotFound and no error.
func Check(ctx context.Context, c *kube.Client, id bundle.ObjectIdentity) (Report, error) {
	live, err := c.Look(ctx, id, !MetadataOnly(id.ID().GroupKind()))
	switch kube.ReasonOf(err) {
	case "":
		return Judge(live), nil
	case kube.NotFound, kube.NoMatch:
		return Report{Status: health.NotFound, Message: "not in the cluster"}, nil
	}
	return Report{Status: health.Unknown, Message: "cannot be read"}, err
}

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
