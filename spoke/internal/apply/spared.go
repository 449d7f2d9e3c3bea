package apply

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/navefleet/nave/shared/manifest"
	"github.com/navefleet/nave/spoke/internal/kube"
)

// errSpared is the error of an object that is marked in the cluster alone. What Flux was told to leave alone is not
// changed by the first apply after Flux.
var errSpared = errors.New("it is marked in the cluster, and not in Git, as not to be applied (" +
	manifest.ReconcileAnnotation + ": disabled, or " + manifest.SSAAnnotation + ": Ignore), and Flux left it alone: put " +
	"the mark into Git, or take it away with kubectl")

// noteSpared notes the objects that Flux applied for an application of this name, that are not ours yet, and that are
// marked in the cluster as not to be applied. Objects of ours are not asked for, and none where there is no Flux.
func (r *run) noteSpared(ctx context.Context, send []int) error {
	kinds := map[schema.GroupVersionKind]bool{}
	for _, i := range send {
		d := r.Objects[i]
		if r.Previous.Items[d.ID()].UID == "" && r.permits(d.ObjectIdentity) == nil {
			kinds[d.ID().GroupKind().WithVersion(d.Version)] = true
		}
	}
	owner := kube.FluxLabels(r.Application)
	if owner == nil || len(kinds) == 0 {
		return nil
	}
	if _, err := r.Applier.Client.Mapping(ctx, kube.FluxOwner); err != nil {
		return lookError(err)
	}
	selector, errs := labels.SelectorFromSet(owner).String(), make(chan error, len(kinds))
	each(slices.Collect(maps.Keys(kinds)), func(kind schema.GroupVersionKind) {
		errs <- r.findSpared(ctx, kind, selector)
	})
	close(errs)
	for err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// findSpared notes the objects of one kind. A kind that is not served yet has none.
func (r *run) findSpared(ctx context.Context, kind schema.GroupVersionKind, selector string) error {
	m, err := r.Applier.Client.Mapping(ctx, kind)
	if err == nil {
		_, err = r.Applier.Client.List(ctx, m, kube.Scope{Selector: selector}, func(l kube.Live) error {
			if r.isSpared(l) {
				r.mu.Lock()
				defer r.mu.Unlock()
				r.leftAlone[l.ID.ID()] = true
			}
			return nil
		})
	}
	return lookError(err)
}

// lookError returns the error of looking for marks; nil for a kind that is not served.
func lookError(err error) error {
	if reason := kube.ReasonOf(err); err == nil || reason == kube.NoMatch || reason == kube.NotFound {
		return nil
	}
	return fmt.Errorf("look for objects that are marked in the cluster: %w", err)
}

// isSpared reports whether a live object that is not ours is marked as not to be applied by Flux, which applied it for
// an application of this name.
func (r *run) isSpared(l kube.Live) bool {
	for name, value := range kube.FluxLabels(r.Application) {
		if l.Labels[name] != value {
			return false
		}
	}
	return l.Managed.IsZero() && l.Marks().IsSkipped()
}
