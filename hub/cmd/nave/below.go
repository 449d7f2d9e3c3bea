package main

import (
	"context"
	"slices"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/plan"
	adminv1 "github.com/navefleet/nave/proto/nave/admin/v1"
)

// walkBelow walks the clusters again in which a source has no folder or something is suspended, with the objects that
// the hub has below what is not rendered. So Kustomizations are compared whose own source has a folder.
func walkBelow(ctx context.Context, client adminv1.AdminServiceClient, v *plan.Preview, all []*plan.Previewed) error {
	var clusters []string
	for _, p := range all {
		if slices.ContainsFunc(p.Problems, isUnmapped) || len(p.Holders) > 0 {
			clusters = append(clusters, p.Cluster)
		}
	}
	if len(clusters) == 0 {
		return nil
	}
	released, err := askPublished(ctx, client, clusters, true)
	if err != nil {
		return err
	}
	for i, p := range all {
		known := knownBelow(p, released.graphs[p.Cluster])
		if len(known) == 0 {
			continue
		}
		if all[i], err = v.Cluster(ctx, p.Cluster, known...); err != nil {
			return err
		}
	}
	return nil
}

// knownBelow returns the objects of a graph below those that a walk did not render because they are suspended, or
// because their source has no folder.
func knownBelow(walk *plan.Previewed, graph map[api.Key]plan.Known) (below []plan.Known) {
	kept := map[api.Key]bool{}
	for key := range walk.Holders {
		kept[key] = true
	}
	for _, p := range walk.Problems {
		kept[p.Key] = kept[p.Key] || isUnmapped(p)
	}
	for _, k := range graph {
		owner := k.Owner
		for n := 0; n < maxAbove && !kept[owner] && graph[owner].Object != nil; n++ {
			owner = graph[owner].Owner
		}
		if kept[owner] {
			below = append(below, k)
		}
	}
	return below
}
