package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/plan"
	"github.com/navefleet/nave/hub/internal/render/worker"
	adminv1 "github.com/navefleet/nave/proto/nave/admin/v1"
	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/manifest"
	"github.com/navefleet/nave/shared/substitution"
)

// localCluster is the cluster of a recursive build.
const localCluster = "local"

// ask returns the Kustomization of the hub. If the hub does not have it and --ignore-not-found is set, ask returns one
// that sets nothing but what is required.
func (b *kustomizationBuild) ask(ctx context.Context) (*api.Object, error) {
	client, done, err := b.session.dial()
	if err != nil {
		return nil, fmt.Errorf("without --kustomization-file the hub is asked: %w", err)
	}
	defer done()
	key := &adminv1.ObjectKey{Cluster: b.session.cluster, Kind: b.kind.Name, Name: b.name,
		Namespace: cmp.Or(b.namespace, api.DefaultNamespace)}
	answer, err := client.Get(ctx, &adminv1.GetRequest{Key: key})
	if status.Code(err) == codes.NotFound && b.ignoreNotFound {
		return api.Admit(&manifest.Object{Object: map[string]any{
			"apiVersion": b.kind.Group + "/" + b.kind.Version, "kind": b.kind.Name,
			"metadata": map[string]any{"name": key.GetName(), "namespace": key.GetNamespace()},
			"spec": map[string]any{"interval": "10m", "prune": true,
				"sourceRef": map[string]any{"kind": api.GitRepositoryKind, "name": api.FluxRoot}},
		}}, api.ClusterGraph)
	}
	if err != nil {
		return nil, elsewhere(ctx, client, key, err)
	}
	return readmit(answer.GetObject(), api.ClusterGraph)
}

// runRecursive builds the Kustomization and those among its objects, as the root of a cluster.
func (b *kustomizationBuild) runRecursive(ctx context.Context, out io.Writer, object *api.Object, root,
	below string) error {
	trees, err := b.checkoutFlags.open(root)
	if err != nil {
		return err
	}
	defer trees.composer.close()
	objects, err := objectsAround(object, below)
	if err == nil {
		objects, err = trees.complete(objects)
	}
	if err != nil {
		return err
	}
	trees.claim(objects)
	worker.DenyNetwork()
	v, err := plan.NewPreview(ctx, plan.PreviewConfig{Objects: objects, Tree: trees.tree, Bases: trees.bases,
		Renderer: worker.All(), Salt: []byte(buildSalt), LenientSubstitution: !b.strict,
		Capabilities: new(capabilityFlags).anyCluster})
	if err != nil {
		return err
	}
	p, err := v.Cluster(ctx, localCluster, plan.Last{})
	if err != nil {
		return err
	}
	rendered, err := renderedBy(p)
	if err != nil {
		return err
	}
	return errors.Join(b.print(ctx, out, rendered), problemsError(v, []*plan.Previewed{p}))
}

// renderedBy returns all rendered objects, those of a parent in front of those of its children.
func renderedBy(p *plan.Previewed) (objects []renderedObject, err error) {
	slices.SortStableFunc(p.Applications, func(x, y plan.PreviewedApplication) int {
		return cmp.Compare(p.Depth(x.Key), p.Depth(y.Key))
	})
	for _, a := range p.Applications {
		for _, reference := range allOf(a) {
			decoded, err := decodeObject(a, reference.Digest)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", reference.ID(), err)
			}
			objects = append(objects, renderedObject{decoded, a.Origin})
		}
	}
	return objects, nil
}

// allOf returns all objects of a render, with those that belong to the graph. Of a chart they are between its
// definitions and its hooks.
func allOf(a plan.PreviewedApplication) (all []bundle.ObjectReference) {
	if a.Application.Release != nil {
		all = append(all, a.Application.Release.CRDs...)
	}
	for o := range a.Rendered() {
		all = append(all, o.Reference)
	}
	for _, h := range a.Application.Hooks {
		all = append(all, h.ObjectReference)
	}
	return all
}

// objectsAround returns a Cluster, and a Fleet that gives it the Kustomization with another path.
func objectsAround(object *api.Object, path string) (objects []*api.Object, err error) {
	var ks struct {
		Metadata map[string]any `json:"metadata"`
		Spec     map[string]any `json:"spec"`
	}
	if err := json.Unmarshal(object.JSON, &ks); err != nil {
		return nil, fmt.Errorf("read %s: %w", object.Key, err)
	}
	ks.Spec["path"] = path
	delete(ks.Spec, "suspend")   // a build is asked for
	delete(ks.Spec, "dependsOn") // what it depends on is not built
	template := map[string]any{"metadata": ks.Metadata, "spec": ks.Spec}
	mapStrings(template, func(_, text string) string { return substitution.Escape(text) })
	if objects, err = clusterAndFleet(localCluster, localCluster, template); err != nil {
		return nil, fmt.Errorf("%s as a root: %w", object.Key, err)
	}
	return objects, nil
}
