package apply

import (
	"context"
	"errors"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/navefleet/nave/shared/bundle"
	sharedhealth "github.com/navefleet/nave/shared/health"
	"github.com/navefleet/nave/shared/manifest"
	"github.com/navefleet/nave/shared/telemetry"
	"github.com/navefleet/nave/shared/wait"
	"github.com/navefleet/nave/spoke/internal/health"
	"github.com/navefleet/nave/spoke/internal/kube"
)

const (
	establishTimeout = 60 * time.Second // as Flux
	recreateTimeout  = 60 * time.Second
	pollFast         = 50 * time.Millisecond
	pollSlow         = 2 * time.Second
)

// define notes the kind that a CustomResourceDefinition defines.
func (r *run) define(o *manifest.Object) {
	if gk, ok := definedKind(o); ok {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.defined[gk] = kube.Identify(o)
	}
}

func isDefinition(id manifest.ID) bool {
	return id.Group == "apiextensions.k8s.io" && id.Kind == "CustomResourceDefinition"
}

func isNamespace(id manifest.ID) bool { return id.Group == "" && id.Kind == "Namespace" }

func definedKind(o *manifest.Object) (schema.GroupKind, bool) {
	if !isDefinition(manifest.IDOf(o)) {
		return schema.GroupKind{}, false
	}
	spec, _ := o.Object["spec"].(map[string]any)
	names, _ := spec["names"].(map[string]any)
	group, _ := spec["group"].(string)
	kind, _ := names["kind"].(string)
	return schema.GroupKind{Group: group, Kind: kind}, kind != ""
}

// awaitKinds waits for the CustomResourceDefinitions that were just sent, if the rest of the set uses their kinds.
func (r *run) awaitKinds(ctx context.Context, send []int) {
	used := map[schema.GroupKind]schema.GroupVersionKind{}
	for _, i := range send {
		o := r.Objects[i].ObjectIdentity
		used[o.ID().GroupKind()] = o.ID().GroupKind().WithVersion(o.Version)
	}
	for gk, crd := range r.defined {
		r.client.Invalidate(gk.Group)
		gvk, ok := used[gk]
		if !ok {
			continue
		}
		if r.refused[crd.ID()] {
			r.broken[gk] = crd
			continue
		}
		if err := r.awaitServed(ctx, crd, gvk); err != nil {
			r.Log.WarnContext(ctx, "custom resource definition is not established", telemetry.Object(crd.ID()),
				telemetry.Err(err))
		}
	}
}

// awaitServed waits until a definition is established and the API serves its kind. If that takes too long, the objects
// of the kind are sent all the same, and fail with errors of their own.
func (r *run) awaitServed(ctx context.Context, crd bundle.ObjectIdentity, gvk schema.GroupVersionKind) error {
	ctx, cancel := context.WithTimeoutCause(ctx, establishTimeout,
		fmt.Errorf("not established after %s", establishTimeout))
	defer cancel()
	for {
		live, err := r.client.Look(ctx, crd, true)
		if err == nil && health.Judge(live).Status == sharedhealth.Current {
			r.client.Invalidate(gvk.Group)
			if _, err = r.client.Mapping(ctx, gvk); err == nil {
				return nil
			}
		}
		if err := wait.For(ctx, pollFast); err != nil {
			return err
		}
	}
}

// lacks returns an error for an object that cannot be made because its kind's definition or its Namespace was refused
// in the same set. An object that is in the cluster already is sent, because its kind and Namespace evidently exist.
func (r *run) lacks(o bundle.ObjectIdentity) error {
	if r.Previous.Items[o.ID()].UID != "" {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if crd, broken := r.broken[o.ID().GroupKind()]; broken {
		return fmt.Errorf("%s needs %s, which was refused", o.ID(), crd.ID())
	}
	ns := manifest.ID{Kind: "Namespace", Name: o.Namespace}
	if o.Namespace != "" && r.refused[ns] && r.Previous.Items[ns].UID == "" {
		return fmt.Errorf("%s needs %s, which was refused", o.ID(), ns)
	}
	return nil
}

// awaitGone waits until the object with this UID is not in the cluster any more.
func (r *run) awaitGone(ctx context.Context, id bundle.ObjectIdentity, uid string, timeout time.Duration) error {
	until, cancel := context.WithTimeoutCause(ctx, timeout, errStillThere)
	defer cancel()
	var finalizers []string
	for pauses := (wait.Backoff{First: pollFast, Most: pollSlow}); ; {
		live, err := r.client.Look(until, id, false)
		switch {
		case kube.ReasonOf(err) == kube.NotFound || kube.ReasonOf(err) == kube.NoMatch, err == nil && live.UID != uid:
			return nil
		case err == nil:
			finalizers = live.Finalizers
		case until.Err() == nil && !kube.Retryable(err):
			return err
		}
		if err := pauses.Pause(until); err != nil {
			return stillThere(err, id, timeout, finalizers)
		}
	}
}

var errStillThere = errors.New("still there")

func stillThere(err error, id bundle.ObjectIdentity, timeout time.Duration, finalizers []string) error {
	if !errors.Is(err, errStillThere) {
		return err
	}
	if len(finalizers) > 0 {
		return fmt.Errorf("%s is still there %s after it was deleted: it waits for finalizers %v", id.ID(), timeout,
			finalizers)
	}
	return fmt.Errorf("%s is still there %s after it was deleted: %w", id.ID(), timeout, err)
}
