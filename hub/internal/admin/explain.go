package admin

import (
	"cmp"
	"context"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/navefleet/nave/hub/api"
	fold "github.com/navefleet/nave/hub/internal/status"
	"github.com/navefleet/nave/hub/internal/store"
	adminv1 "github.com/navefleet/nave/proto/nave/admin/v1"
)

// Limits on the number of events that ListEvents returns.
const (
	defaultEvents = 500
	maxEvents     = 10_000
)

// filterOf returns which events of its set a request asks for.
func filterOf(r *adminv1.ListEventsRequest) store.EventFilter {
	f := store.EventFilter{Namespace: r.Namespace, Types: r.Types, After: r.After}
	if r.Since != nil {
		f.Since = r.Since.AsTime()
	}
	return f
}

// requireSubject returns NOT_FOUND if a request for events names a cluster or an object that does not exist. The hub
// does not know the payload of clusters, so an object of another kind may exist.
func (s *Server) requireSubject(ctx context.Context, r *adminv1.ListEventsRequest) error {
	if !r.AllClusters || r.Key != nil {
		if err := s.requireCluster(ctx, cmp.Or(r.Key.GetCluster(), r.Cluster)); err != nil {
			return err
		}
	}
	if _, ok := api.KindByName(r.Key.GetKind()); r.Key == nil || !ok {
		return nil
	}
	key, err := readKey(r.Key)
	if err != nil {
		return err
	}
	return s.requireObject(ctx, key)
}

// eventsOf returns the set of the events that a request asks for. Any kind is valid, because payload has events, too.
func eventsOf(r *adminv1.ListEventsRequest) (store.EventSet, error) {
	switch {
	case r.Key == nil && r.AllClusters:
		return store.AllEvents(), nil
	case r.Key == nil:
		return store.EventsOfCluster(r.Cluster), nil
	}
	want := fold.KeyOf(r.Key)
	if _, ok := api.KindByName(want.Kind); ok {
		var err error
		if want, err = readKey(r.Key); err != nil {
			return nil, err
		}
	}
	if want.Name == "" {
		return nil, status.Error(codes.InvalidArgument, "the name of the object is missing: events are of one "+
			"object, of a cluster, or of all clusters")
	}
	return store.EventsOf(want), nil
}

// Tree implements adminv1.AdminServiceServer.
func (s *Server) Tree(ctx context.Context, r *adminv1.TreeRequest) (*adminv1.TreeResponse, error) {
	_, key, err := s.subject(ctx, r.Key)
	if err != nil {
		return nil, err
	}
	world, err := s.load(ctx, worldOf(key))
	if err != nil {
		return nil, err
	}
	root, ok := fold.Tree(world, key)
	if !ok {
		return nil, notFound(key)
	}
	return &adminv1.TreeResponse{Root: root}, nil
}

// Locate implements adminv1.AdminServiceServer.
func (s *Server) Locate(ctx context.Context, r *adminv1.LocateRequest) (*adminv1.LocateResponse, error) {
	if _, err := s.operator(ctx); err != nil {
		return nil, err
	}
	if r.GetName() == "" {
		return nil, status.Error(codes.InvalidArgument, "the name is missing: give that of the object")
	}
	world, err := s.load(ctx, "")
	if err != nil {
		return nil, err
	}
	return &adminv1.LocateResponse{Objects: fold.Locate(world, r.GetName()), Clusters: uint32(world.CountClusters())}, nil
}

// worldOf returns the cluster whose objects an answer about key needs. For objects that concern many clusters it
// returns "", which means all of them.
func worldOf(key api.Key) (cluster string) {
	if key.Role() == api.ClusterRole {
		return key.Name
	}
	return key.Cluster
}

// Explain implements adminv1.AdminServiceServer.
func (s *Server) Explain(ctx context.Context, r *adminv1.ExplainRequest) (*adminv1.ExplainResponse, error) {
	if _, err := s.operator(ctx); err != nil {
		return nil, err
	}
	key := fold.KeyOf(r.Key)
	if key.Kind != "" {
		kind, err := readKind(key.Kind)
		if err != nil {
			return nil, err
		}
		key.Kind = kind.Name
	}
	world, err := s.load(ctx, worldOf(key))
	if err != nil {
		return nil, err
	}
	if key.Name != "" && !world.Names(key) {
		if err := s.requireObject(ctx, key); err != nil {
			return nil, err
		}
	}
	if key.Name == "" && key.Namespace != "" && !world.Names(key) {
		return nil, status.Errorf(codes.NotFound, "namespace %q has no objects that Nave knows: nave get all -A lists those "+
			"of all namespaces", key.Namespace)
	}
	encryption, err := s.encryption(ctx, key)
	if err != nil {
		return nil, s.fail(err)
	}
	unreadable, err := s.unreadable(ctx, key)
	if err != nil {
		return nil, s.fail(err)
	}
	response := &adminv1.ExplainResponse{Explanations: append(fold.Explain(world, key), unreadable...),
		Encryption: encryption}
	if worldOf(key) == "" {
		response.OfClusters = uint32(world.CountClusters())
	}
	if key.Name != "" && key.Cluster == "" {
		response.Clusters = world.Clusters(key)
	}
	return response, nil
}

// load returns the World of a cluster. If the cluster does not exist, load returns NOT_FOUND. With cluster "" it
// returns the World of all clusters.
func (s *Server) load(ctx context.Context, cluster string) (world *fold.World, err error) {
	if err := s.requireCluster(ctx, cluster); err != nil {
		return nil, err
	}
	err = s.store.View(ctx, func(tx *store.Tx) (err error) {
		world, err = fold.Load(tx, cluster)
		return err
	})
	if err != nil {
		return nil, s.fail(err)
	}
	return world.At(s.now()), nil
}
