package objects

import (
	"context"
	"fmt"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/navefleet/nave/shared/bundle"
	sharedhealth "github.com/navefleet/nave/shared/health"
	"github.com/navefleet/nave/shared/wait"
	"github.com/navefleet/nave/shared/wording"
	"github.com/navefleet/nave/spoke/internal/apply"
	"github.com/navefleet/nave/spoke/internal/kube"
	"github.com/navefleet/nave/spoke/internal/release"
)

const (
	firstPause = 100 * time.Millisecond
	mostPause  = 2 * time.Second
	mostNamed  = 5 // objects in a message
	// definedTimeout is how long definitions may take until they are served.
	definedTimeout = time.Minute
)

var jobs = schema.GroupKind{Group: "batch", Kind: "Job"}

// Await waits until the objects that were applied last are healthy, and Jobs complete if forJobs is true. Otherwise
// Jobs are not awaited.
func (o *Objects) Await(ctx context.Context, forJobs bool) error {
	waiting := slices.DeleteFunc(slices.Clone(o.awaited()), func(id bundle.ObjectIdentity) bool {
		return sharedhealth.MetadataOnly(id.ID().GroupKind()) || id.ID().GroupKind() == jobs && !forJobs
	})
	pauses := wait.Backoff{First: firstPause, Most: mostPause}
	for known := []string(nil); ; {
		unready, why, err := o.unreadyOf(ctx, waiting)
		switch {
		case err != nil:
			return err
		case len(unready) == 0:
			return nil
		case ctx.Err() == nil || known == nil: // otherwise the reason is only that there was no time to ask
			known = why
		}
		waiting = unready
		if pauses.Pause(ctx) != nil {
			return fmt.Errorf("not healthy: %s", wording.List(known, len(known), mostNamed))
		}
	}
}

// unreadyOf returns the objects that are not ready yet, and why each is not.
func (o *Objects) unreadyOf(ctx context.Context, ids []bundle.ObjectIdentity) (unready []bundle.ObjectIdentity,
	why []string, err error) {
	for _, id := range ids {
		reason, err := o.unready(ctx, id)
		if err != nil {
			return nil, nil, err
		}
		if reason != "" {
			unready, why = append(unready, id), append(why, fmt.Sprintf("%s: %s", id.ID(), reason))
		}
	}
	return unready, why, nil
}

// awaited returns the objects that were applied last; all of the inventory if this Objects applied none, because the
// spoke was killed.
func (o *Objects) awaited() (ids []bundle.ObjectIdentity) {
	for _, object := range o.current {
		ids = append(ids, object.ObjectIdentity)
	}
	if o.current == nil && o.Set.Previous != nil {
		for _, id := range o.Set.Previous.IDs() {
			ids = append(ids, o.Set.Previous.Identity(id))
		}
	}
	return ids
}

// unready returns why an object is not ready yet; empty if it is. An error means that it will not be.
func (o *Objects) unready(ctx context.Context, id bundle.ObjectIdentity) (string, error) {
	live, err := o.Client.Look(ctx, id, true)
	switch {
	case err != nil && kube.Retryable(err):
		return string(kube.ReasonOf(err)), nil
	case err != nil:
		return "", err
	case id.ID().GroupKind() == jobs:
		done, progress, err := release.Outcome(live.Object)
		if err != nil {
			err = fmt.Errorf("%s: %w", id.ID(), err)
		}
		if done {
			progress = ""
		}
		return progress, err
	}
	report := o.Applier.Health.Judge(o.Set.Application, live)
	if report.Status == sharedhealth.Current {
		return "", nil
	}
	return fmt.Sprintf("%s %s", report.Status, report.Reason), nil // a message may quote a secret
}

// Define applies the definitions of the chart, and waits until they are served. They are in no inventory: a release
// never deletes them.
func (o *Objects) Define(ctx context.Context, policy bundle.CRDPolicy) error {
	for _, d := range o.Definitions {
		if err := o.define(ctx, d, policy); err != nil {
			return err
		}
	}
	ctx, cancel := context.WithTimeout(ctx, definedTimeout)
	defer cancel()
	served := Objects{Applier: o.Applier, Client: o.Client, Release: o.Release, current: o.Definitions}
	served.Set.Application = o.Set.Application
	return served.Await(ctx, false)
}

func (o *Objects) define(ctx context.Context, d apply.Object, policy bundle.CRDPolicy) error {
	if err := o.Applier.Permits(d.ObjectIdentity); err != nil {
		return err
	}
	loaded, err := d.Load(ctx)
	if err == nil && loaded.Object == nil {
		err = errNoContent
	}
	if err != nil {
		return fmt.Errorf("%s: %w", d.ID(), err)
	}
	if loaded.Release != nil {
		defer loaded.Release()
	}
	if policy == bundle.ReplaceCRDs {
		_, err = o.Client.Apply(ctx, loaded.Object, kube.ApplyOptions{})
		return err
	}
	_, err = o.Client.Create(ctx, loaded.Object, kube.ApplyOptions{})
	if kube.ReasonOf(err) == kube.Exists {
		return nil
	}
	return err
}
