package admin

import (
	"context"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/navefleet/nave/hub/api"
	fold "github.com/navefleet/nave/hub/internal/status"
	"github.com/navefleet/nave/hub/internal/store"
	adminv1 "github.com/navefleet/nave/proto/nave/admin/v1"
	"github.com/navefleet/nave/shared/wording"
)

// readKey resolves the name of a kind, which may be short or plural, and sets the default namespace of namespaced
// objects of the hub.
func readKey(p *adminv1.ObjectKey) (api.Key, error) {
	kind, err := readKind(p.GetKind())
	if err != nil {
		return api.Key{}, err
	}
	key := api.Key{Cluster: p.GetCluster(), Kind: kind.Name, Namespace: p.GetNamespace(), Name: p.GetName()}
	if key.Name == "" {
		return api.Key{}, status.Errorf(codes.InvalidArgument, "the name is missing: give that of one %s", kind.Name)
	}
	switch {
	case !kind.Namespaced && key.Cluster != "":
		return api.Key{}, notOfCluster(kind)
	case !kind.Namespaced:
		key.Namespace = ""
	case key.Namespace == "":
		key.Namespace = api.DefaultNamespace
	}
	return key, nil
}

func readKind(word string) (api.Kind, error) {
	kind, err := api.FindKind(word)
	if err != nil {
		return kind, status.Error(codes.InvalidArgument, err.Error())
	}
	return kind, nil
}

// notOfCluster returns the error for a kind that exists on the hub only.
func notOfCluster(kind api.Kind) error {
	return status.Errorf(codes.InvalidArgument, "%s is an object of the hub, not of a cluster: leave out --cluster",
		wording.A(kind.Name))
}

// requireCluster returns NOT_FOUND if cluster names a cluster that does not exist. An empty list would mean that the
// cluster exists and has no objects.
func (s *Server) requireCluster(ctx context.Context, cluster string) error {
	if cluster == "" {
		return nil
	}
	return s.fail(s.store.View(ctx, func(tx *store.Tx) error { return requireClusterRow(tx, cluster) }))
}

func requireClusterRow(tx *store.Tx, cluster string) error {
	there, err := store.ClusterExists(tx, cluster)
	if err == nil && !there {
		err = noCluster(cluster)
	}
	return err
}

// noCluster is the error about a cluster that does not exist, or that the caller does not see.
func noCluster(name string) error {
	return status.Errorf(codes.NotFound, "cluster %q does not exist: nave cluster list shows all clusters", name)
}

// requireObject returns NOT_FOUND if the store has no object, no Condition and no report with this key. The hub keeps a
// Condition of objects that it refused, and a report of those that it removed and the cluster still has.
func (s *Server) requireObject(ctx context.Context, key api.Key) error {
	return s.fail(s.store.View(ctx, func(tx *store.Tx) error {
		path := key.Path()
		_, there, err := store.Resources.Get(tx, path)
		if err == nil && !there && key.Role() == api.CredentialRole {
			_, there, err = store.Secrets.Get(tx, store.CredentialPath(key.Namespace, key.Name))
		}
		if err == nil && !there {
			_, there, err = store.Conditions.Get(tx, path)
		}
		if err == nil && !there {
			_, there, err = store.Reports.Get(tx, path)
		}
		if err == nil && !there {
			err = notFound(key)
		}
		return err
	}))
}

func negativeLimit(limit int64) error {
	return status.Errorf(codes.InvalidArgument, "limit %d: want 0 or more", limit)
}

// notFound returns the error about an object that does not exist, with its key as a detail.
func notFound(k api.Key) error {
	s := status.Newf(codes.NotFound, "%s not found", k)
	if detailed, err := s.WithDetails(fold.KeyMessage(k)); err == nil { // nil: the message can be encoded
		s = detailed
	}
	return s.Err()
}
