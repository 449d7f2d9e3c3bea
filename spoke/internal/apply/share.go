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
	if err := r.takeFields(ctx, o, mode, await); err != nil {
		return err
	}
	if mode != inventory.Merge {
		return nil
	}
	return r.leaveReplicas(ctx, o)
}

// takeFields makes an object say in its generated and its ignored fields what the live object says. The object may
// become as large as the live one. It looks once for both, because an object may wait only once for memory for the live
// one.
func (r *run) takeFields(ctx context.Context, o *manifest.Object, mode inventory.Mode, await kube.Hold) error {
	generated := r.generated[manifest.IDOf(o)]
	if len(generated) == 0 && len(r.ignored.Of(o)) == 0 {
		return nil
	}
	live, err := r.lookWithin(ctx, kube.Identify(o), true, await)
	switch kube.ReasonOf(err) {
	case "":
	case kube.NotFound, kube.NoMatch:
		return nil
	default:
		return err
	}
	KeepGenerated(o, live.Object, generated) // may move fields of a Secret, so the ignored ones are found afterwards
	leaveFields(o, live, mode.Takeover(r.Application), r.ignored.Of(o))
	label(o, r.Application) // the rules may name the labels, and ours is no field to leave
	return nil
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
