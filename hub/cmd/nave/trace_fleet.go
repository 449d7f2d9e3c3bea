package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc/codes"

	"github.com/navefleet/nave/hub/api"
	adminv1 "github.com/navefleet/nave/proto/nave/admin/v1"
	"github.com/navefleet/nave/shared/manifest"
	"github.com/navefleet/nave/shared/wording"
)

// fleetTracing finds what an object comes from in all clusters that have it.
type fleetTracing struct{ client adminv1.AdminServiceClient }

// maxTraces is how many clusters are traced at a time.
const maxTraces = 8

// trace returns the object and what it comes from. If no cluster has it, the exit code of the error is notFound. If
// clusters have it from different places, the error lists them.
func (f *fleetTracing) trace(ctx context.Context, want manifest.ID) (*traced, error) {
	answer, err := f.client.Locate(ctx, &adminv1.LocateRequest{Name: want.Name})
	if isTooOld(err) {
		return f.traceEach(ctx, want)
	}
	if err != nil {
		return nil, err
	}
	all, names := locatedBy(answer.GetObjects())
	shared := newSharedReads(ctx, f.client, names)
	return f.traceIn(ctx, names, int(answer.GetClusters()), want, func(ctx context.Context, cluster string) (*traced,
		error) {
		t := &tracing{client: f.client, cluster: cluster, shared: shared}
		return t.follow(ctx, all[cluster], want)
	})
}

// locatedBy returns objects by cluster, and the clusters in order.
func locatedBy(objects []*adminv1.LocatedObject) (all map[string][]located, names []string) {
	all = map[string][]located{}
	for _, o := range objects {
		if all[o.GetCluster()] == nil {
			names = append(names, o.GetCluster())
		}
		node := &adminv1.TreeNode{Object: o.GetObject(), Status: o.GetStatus(), Message: o.GetMessage()}
		id, _ := objectOf(node, o.GetCluster())
		found := located{id: id, node: node}
		for _, name := range o.GetAbove() {
			id, _ := objectOf(&adminv1.TreeNode{Object: name}, o.GetCluster())
			found.above = append(found.above, id)
		}
		all[o.GetCluster()] = append(all[o.GetCluster()], found)
	}
	return all, names
}

// traceEach is trace for an older hub, which is asked about each cluster.
func (f *fleetTracing) traceEach(ctx context.Context, want manifest.ID) (*traced, error) {
	clusters, err := list(ctx, f.client, &adminv1.ListRequest{Kind: api.ClusterKind}, chunkSize)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, c := range clusters {
		names = append(names, c.GetKey().GetName())
	}
	return f.traceIn(ctx, names, len(names), want, func(ctx context.Context, cluster string) (*traced, error) {
		return (&tracing{client: f.client, cluster: cluster}).trace(ctx, want)
	})
}

// traceIn traces an object in those of all clusters that may have it.
func (f *fleetTracing) traceIn(ctx context.Context, names []string, clusters int, want manifest.ID,
	trace func(ctx context.Context, cluster string) (*traced, error)) (*traced, error) {
	results, causes := make([]*traced, len(names)), make([]untraced, len(names))
	running, ctx := errgroup.WithContext(ctx)
	running.SetLimit(maxTraces)
	for i, name := range names {
		running.Go(func() (err error) {
			result, err := trace(ctx, name)
			cause, is := errors.AsType[untraced](err)
			switch {
			case is:
				causes[i] = cause
			case statusOf(err).Code() == codes.NotFound: // the cluster was removed meanwhile
			case err != nil:
				return err
			default:
				results[i] = result
			}
			return nil
		})
	}
	if err := running.Wait(); err != nil {
		return nil, err
	}
	missing := slices.DeleteFunc(causes, func(u untraced) bool { return u.why == nil })
	found := slices.DeleteFunc(results, func(t *traced) bool { return t == nil })
	if len(found) == 0 {
		return nil, exitError{inNoCluster(clusters, missing, want), notFound}
	}
	return together(found)
}

// inNoCluster is the error about an object that none of the clusters has. Of several causes, the one of a cluster with
// a like object tells most.
func inNoCluster(clusters int, missing []untraced, want manifest.ID) error {
	if clusters == 0 {
		return errors.New("the hub has no clusters: nave cluster add registers one")
	}
	for _, u := range missing {
		if !errors.Is(u.why, errUnmanaged) {
			return u
		}
	}
	_, err := choose(nil, want)
	return fmt.Errorf("in %s, %w", wording.Count(clusters, "cluster"), err)
}

// sharedReads reads what the traces of many clusters have in common, each once.
type sharedReads struct {
	client    adminv1.AdminServiceClient
	published func() (*published, error)

	mu      sync.Mutex
	objects map[api.Key]func() (map[string]any, error) // of the hub
}

func newSharedReads(ctx context.Context, client adminv1.AdminServiceClient, clusters []string) *sharedReads {
	return &sharedReads{client: client, objects: map[api.Key]func() (map[string]any, error){},
		published: sync.OnceValues(func() (*published, error) { return askPublished(ctx, client, clusters, false) })}
}

// get returns an object of the hub; nil if there is none.
func (r *sharedReads) get(ctx context.Context, key api.Key) (map[string]any, error) {
	r.mu.Lock()
	read, known := r.objects[key]
	if !known {
		read = sync.OnceValues(func() (map[string]any, error) { return getObject(ctx, r.client, key) })
		r.objects[key] = read
	}
	r.mu.Unlock()
	return read()
}

// together returns one trace of an object that clusters have from the same place.
func together(found []*traced) (*traced, error) {
	places := map[string][]string{} // the clusters of each
	for _, t := range found {
		places[t.place()] = append(places[t.place()], t.Object.Cluster)
	}
	if len(places) > 1 {
		var texts []string
		for place, clusters := range places {
			texts = append(texts, fmt.Sprintf("%s has it from %s", listed(clusters), place))
		}
		slices.Sort(texts)
		return nil, fmt.Errorf("clusters have the object from different places; choose one with --cluster: %s",
			several(texts))
	}
	if len(found) == 1 {
		return found[0], nil
	}
	all := *found[0]
	for _, t := range found {
		all.Clusters = append(all.Clusters, t.Object.Cluster)
	}
	all.Object = merged(found, func(t *traced) traceStep { return t.Object })
	all.GivenBy = merged(found, func(t *traced) traceStep { return t.GivenBy })
	all.Sources, all.Parents = []traceStep{}, []traceStep{}
	for i := range found[0].Sources {
		all.Sources = append(all.Sources, merged(found, func(t *traced) traceStep { return t.Sources[i] }))
	}
	for i := range found[0].Parents {
		all.Parents = append(all.Parents, merged(found, func(t *traced) traceStep { return t.Parents[i] }))
	}
	return &all, nil
}

// place names what an object comes from, without its cluster, revision and status.
func (t *traced) place() string {
	var names []string
	for _, s := range slices.Concat([]traceStep{t.GivenBy}, t.Sources, t.Parents) {
		key := api.Key{Kind: s.Kind, Namespace: s.Namespace, Name: s.Name}
		names = append(names, strings.TrimSpace(key.String()+" "+strings.Join(nonEmpty(s.Path, s.Chart, s.URL,
			s.Reference), " ")))
	}
	return strings.Join(names, ", ")
}

// maxDifferences is how many places or values of clusters are told. Each cluster can have its own.
const maxDifferences = 10

// several joins texts about clusters that differ.
func several(texts []string) string {
	if more := len(texts) - maxDifferences; more > 0 {
		texts = append(texts[:maxDifferences:maxDifferences], fmt.Sprintf("and %d more", more))
	}
	return strings.Join(texts, "; ")
}

func nonEmpty(texts ...string) []string {
	return slices.DeleteFunc(texts, func(s string) bool { return s == "" })
}

// merged returns a step that clusters have in common. What differs is told for each of them.
func merged(found []*traced, of func(*traced) traceStep) traceStep {
	step := of(found[0])
	onClusters := step.Cluster != ""
	step.Cluster = ""
	for _, field := range []func(*traceStep) *string{
		func(s *traceStep) *string { return &s.Revision }, func(s *traceStep) *string { return &s.Author },
		func(s *traceStep) *string { return &s.CommitTime }, func(s *traceStep) *string { return &s.Subject },
		func(s *traceStep) *string { return &s.Status }, func(s *traceStep) *string { return &s.Message },
	} {
		var values []string
		clusters := map[string][]string{}
		for _, t := range found {
			one := of(t)
			value := *field(&one)
			if clusters[value] == nil {
				values = append(values, value)
			}
			clusters[value] = append(clusters[value], t.Object.Cluster)
		}
		if len(values) < 2 {
			continue
		}
		var texts []string
		for _, value := range nonEmpty(values...) {
			texts = append(texts, value+" on "+listed(clusters[value]))
		}
		*field(&step) = several(texts)
	}
	if onClusters {
		step.Since = "" // each cluster has its own
	}
	return step
}
