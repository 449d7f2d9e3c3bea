package agent

import (
	"context"
	"fmt"
	"slices"

	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/manifest"
	"github.com/navefleet/nave/spoke/internal/inventory"
	"github.com/navefleet/nave/spoke/internal/kube"
)

// rivalOf returns the object by which Flux's helm-controller manages the release of an application, without a version.
func rivalOf(name bundle.ApplicationName) bundle.ObjectIdentity {
	return bundle.ObjectIdentity{Group: "helm.toolkit.fluxcd.io", Kind: "HelmRelease", Namespace: name.Namespace,
		Name: name.Name}
}

// passOn returns the removals of a bundle. One of a release for which another application has Flux's object deletes
// nothing: the controller in the cluster goes on with the release, whatever the hub knew when it decided on the
// removal.
func passOn(b *bundle.Bundle, apps applications) []bundle.Removal {
	passed := map[manifest.ID]bool{}
	for _, app := range apps {
		for _, o := range app.Objects {
			passed[o.ID()] = true
		}
	}
	removals := slices.Clone(b.Removals)
	for i, r := range removals {
		if rival := rivalOf(r.Name); r.Name.Kind == rival.Kind && passed[rival.ID()] {
			removals[i].Policy = bundle.Orphan
		}
	}
	return removals
}

// rivalError means that Flux may change the release, too.
type rivalError struct {
	bundle.ApplicationName
	why string
}

func (e *rivalError) Error() string {
	return fmt.Sprintf("HelmRelease %s/%s of Flux is in the cluster and not suspended, so that Flux changes the release, "+
		"too: %s", e.Namespace, e.Name, e.why)
}

// yield returns an error if Flux manages the release, too. If this spoke gave the cluster Flux's object, for the
// controller there, yield suspends the object: the controller then neither upgrades nor uninstalls the release.
func (c *carrier) yield(ctx context.Context) error {
	live, err := c.rival(ctx)
	switch kube.ReasonOf(err) {
	case kube.NotFound, kube.NoMatch, kube.Forbidden:
		return nil
	}
	if err != nil {
		return fmt.Errorf("look whether Flux manages the release: %w", err)
	}
	spec, _ := live.Object.Object["spec"].(map[string]any)
	if spec["suspend"] == true {
		return nil
	}
	if owner, _, owned := c.Index.Application(live.ID.ID()); owned {
		return &rivalError{c.name, fmt.Sprintf("waiting for %s to give the object up", owner)}
	}
	if live.Labels[inventory.Label] == "" {
		return &rivalError{c.name, fmt.Sprintf("flux suspend helmrelease %s --namespace %s", c.name.Name, c.name.Namespace)}
	}
	return c.Releases.Client.Suspend(ctx, live)
}

// rival returns Flux's object of the same name in the cluster.
func (c *carrier) rival(ctx context.Context) (kube.Live, error) {
	id := rivalOf(c.name)
	served, err := c.Releases.Client.AnyVersion(ctx, id.ID().GroupKind())
	if err != nil {
		return kube.Live{}, err
	}
	id.Version = served.Version
	return c.Releases.Client.Look(ctx, id, true)
}
