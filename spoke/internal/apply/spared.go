package apply

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/navefleet/nave/shared/bundle"
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
		if r.Previous.Items[d.ID()].UID == "" && r.Permits(d.ObjectIdentity) == nil {
			kinds[d.ID().GroupKind().WithVersion(d.Version)] = true
		}
	}
	owner := kube.FluxLabels(r.Application)
	if owner == nil || len(kinds) == 0 {
		return nil
	}
	if _, err := r.Applier.Client.Mapping(ctx, kube.FluxOwner); isMissing(err) {
		return nil
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

// findSpared notes the objects of one kind. A kind that is not served yet has none. If they cannot be listed, the kind
// is noted. The error is one that every other kind would get.
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
	switch {
	case hopeless(err):
		return fmt.Errorf("look for objects that are marked in the cluster: %w", err)
	case err != nil && !isMissing(err):
		r.mu.Lock()
		defer r.mu.Unlock()
		r.unlisted[kind.GroupKind()] = true
	}
	return nil
}

// spares returns an error for an object that is marked in the cluster alone. If the marks of the kind could not be
// listed, the API server is asked for the object; if it does not tell, the object is refused.
func (r *run) spares(ctx context.Context, id bundle.ObjectIdentity) error {
	marked := r.leftAlone[id.ID()]
	if r.unlisted[id.ID().GroupKind()] && r.Previous.Items[id.ID()].UID == "" {
		live, err := r.Applier.Client.Look(ctx, id, false)
		switch {
		case hopeless(err):
			return err
		case err != nil && !isMissing(err):
			return notSeen(err)
		}
		marked = err == nil && r.isSpared(live)
	}
	if marked {
		return fmt.Errorf("%s: %w", id.ID(), errSpared)
	}
	return nil
}

// notSeen adds to the error of a look that it is why an object is refused, and what to do.
func notSeen(err error) error {
	refused, ok := errors.AsType[*kube.Error](err)
	if !ok {
		return err
	}
	e := *refused
	e.Message = "it is not applied, because it may be marked in the cluster alone as one that Flux leaves alone, and " +
		"the API server does not show it: let the API server show objects of this kind (kubectl get), or delete Flux's " +
		"CustomResourceDefinitions if Flux is gone. The answer was: " + e.Message
	return &e
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
