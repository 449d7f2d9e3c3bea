package apply

import (
	"context"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/navefleet/nave/shared/manifest"
	"github.com/navefleet/nave/spoke/internal/inventory"
	"github.com/navefleet/nave/spoke/internal/kube"
)

// share removes the fields from an object that another controller or user writes, so that they are not overwritten, or
// takes them from the live object, within the memory of await.
func (r *run) share(ctx context.Context, o *manifest.Object, mode inventory.Mode, await kube.Hold) error {
	leaveRules(o)
	if paths := r.generated[manifest.IDOf(o)]; len(paths) > 0 {
		if err := r.keepGenerated(ctx, o, paths); err != nil {
			return err
		}
	}
	if paths := r.ignored.Of(o); len(paths) > 0 {
		if err := r.leaveIgnored(ctx, o, mode, paths, await); err != nil {
			return err
		}
		label(o, r.Application) // the rules may name the labels, and ours is no field to leave
	}
	if mode != inventory.Merge {
		return nil
	}
	return r.leaveReplicas(ctx, o)
}

// leaveRules removes the rules from an aggregated ClusterRole, because a controller of Kubernetes fills them in.
func leaveRules(o *manifest.Object) {
	if gk := o.GroupVersionKind().GroupKind(); gk.Group != "rbac.authorization.k8s.io" || gk.Kind != "ClusterRole" {
		return
	}
	selectors, _, _ := unstructured.NestedSlice(o.Object, "aggregationRule", "clusterRoleSelectors")
	if len(selectors) > 0 {
		delete(o.Object, "rules")
	}
}

// leaveReplicas removes spec.replicas from an object that another manager has scaled, such as a HorizontalPodAutoscaler
// or `kubectl scale`.
func (r *run) leaveReplicas(ctx context.Context, o *manifest.Object) error {
	if _, set, _ := unstructured.NestedFieldNoCopy(o.Object, "spec", "replicas"); !set {
		return nil
	}
	live, err := r.client.Look(ctx, kube.Identify(o), false)
	switch kube.ReasonOf(err) {
	case "":
	case kube.NotFound:
		return nil
	default:
		return err
	}
	if live.Scaled {
		unstructured.RemoveNestedField(o.Object, "spec", "replicas")
	}
	return nil
}
