package main

import (
	"cmp"
	"context"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/plan"
	adminv1 "github.com/navefleet/nave/proto/nave/admin/v1"
	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/manifest"
)

// walkBelow walks the clusters again in which a source has no folder or something is suspended, with what the hub has
// of what is not rendered. So Kustomizations are compared whose own source has a folder, and variables have values that
// come from what is not rendered.
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
	read := newLastReader(client)
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(8)
	for i, p := range all {
		last := read.lastOf(p, released)
		if len(last.Known)+len(last.Entries) == 0 {
			continue
		}
		group.Go(func() (err error) {
			all[i], err = v.Cluster(ctx, p.Cluster, last)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	return read.err
}

// keptBy returns the objects that a walk did not render because they are suspended, or because their source has no
// folder.
func keptBy(walk *plan.Previewed) map[api.Key]bool {
	kept := map[api.Key]bool{}
	for key := range walk.Holders {
		kept[key] = true
	}
	for _, p := range walk.Problems {
		kept[p.Key] = kept[p.Key] || isUnmapped(p)
	}
	return kept
}

// knownBelow returns the objects of a graph below those that are kept.
func knownBelow(kept map[api.Key]bool, graph map[api.Key]plan.Known) (below []plan.Known) {
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

// lastReader reads Applications that the hub released, and their objects, each once.
type lastReader struct {
	client adminv1.AdminServiceClient

	mu    sync.Mutex
	apps  map[manifest.Digest]*bundle.Application
	blobs map[manifest.Digest][]byte // objects
	err   error                      // the first one
}

func newLastReader(client adminv1.AdminServiceClient) *lastReader {
	return &lastReader{client: client, apps: map[manifest.Digest]*bundle.Application{},
		blobs: map[manifest.Digest][]byte{}}
}

// lastOf returns what the hub has of what a walk did not render: the objects below it and, if objects of the cluster
// read variables, the Applications.
func (r *lastReader) lastOf(walk *plan.Previewed, p *published) plan.Last {
	kept, apps := keptBy(walk), p.clusters[walk.Cluster]
	last := plan.Last{Known: knownBelow(kept, p.graphs[walk.Cluster])}
	if !readsVariables(walk, last.Known) {
		return last
	}
	for _, k := range last.Known {
		kept[k.Object.Key.In(walk.Cluster)] = true
	}
	for _, problem := range walk.Problems {
		kept[problem.Key] = true
	}
	for key := range kept {
		if a, released := apps[key.Application()]; released {
			last.Entries = append(last.Entries, bundle.Entry{Name: key.Application(), Digest: a.digest})
		}
	}
	last.Application = func(ctx context.Context, e bundle.Entry) (*bundle.Application, error) {
		return r.application(ctx, apps[e.Name])
	}
	last.Object = func(ctx context.Context, e bundle.Entry, d manifest.Digest) ([]byte, error) {
		return r.object(ctx, apps[e.Name], d)
	}
	return last
}

// readsVariables reports whether an object of a walk, or a known one, reads variables from others.
func readsVariables(walk *plan.Previewed, known []plan.Known) bool {
	reads := func(o *api.Object) bool {
		r, err := o.Renderable()
		return err == nil && len(r.Inputs) > 0
	}
	for _, n := range walk.Nodes {
		if reads(n.Object) {
			return true
		}
	}
	return slices.ContainsFunc(known, func(k plan.Known) bool { return reads(k.Object) })
}

// application returns a released Application.
func (r *lastReader) application(ctx context.Context, a publishedApplication) (*bundle.Application, error) {
	return once(r, r.apps, a.digest, func() (*bundle.Application, error) {
		found, err := content(ctx, r.client, a, nil)
		if err != nil {
			return nil, err
		}
		return bundle.DecodeApplication(found[a.digest])
	})
}

// object returns the JSON of an object of a released Application.
func (r *lastReader) object(ctx context.Context, a publishedApplication, d manifest.Digest) ([]byte, error) {
	return once(r, r.blobs, d, func() ([]byte, error) {
		found, err := content(ctx, r.client, a, []manifest.Digest{d})
		return found[d], err
	})
}

// once returns what known has of a digest. If it has nothing, once reads the value and remembers it.
func once[T any](r *lastReader, known map[manifest.Digest]T, d manifest.Digest, read func() (T, error)) (T, error) {
	r.mu.Lock()
	value, ok := known[d]
	r.mu.Unlock()
	if ok {
		return value, nil
	}
	value, err := read()
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.err = cmp.Or(r.err, err); err == nil {
		known[d] = value
	}
	return value, err
}
