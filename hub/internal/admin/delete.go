package admin

import (
	"cmp"
	"context"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/store"
	adminv1 "github.com/navefleet/nave/proto/nave/admin/v1"
	"github.com/navefleet/nave/shared/identity"
)

// maxDeleted is how many objects one request deletes.
const maxDeleted = 1_000

// Delete implements adminv1.AdminServiceServer. The objects that were rendered from an object leave the hub with it.
// The workloads of a deleted cluster keep running.
func (s *Server) Delete(ctx context.Context, r *adminv1.DeleteRequest) (*adminv1.DeleteResponse, error) {
	who, err := s.operator(ctx)
	if err != nil {
		return nil, err
	}
	keys, err := deletedKeys(r)
	if err != nil {
		return nil, err
	}
	err = s.deleteAll(ctx, who, keys, r.GetConfirmed(), r.GetDigest())
	return &adminv1.DeleteResponse{}, err
}

// deleteAll deletes objects in one transaction.
func (s *Server) deleteAll(ctx context.Context, who identity.ID, keys []api.Key, confirmed bool, digest string) error {
	err := s.readApplications(ctx, s.update, func(tx *store.Tx, apps *applications) error {
		if confirmed {
			i, err := impactOfDelete(tx, apps, keys...)
			if err != nil {
				return err
			}
			if err := s.confirmed(i, digest); err != nil {
				return err
			}
		}
		var refused refusals
		for _, key := range keys {
			if err := refused.note("", remove(tx, key)); err != nil {
				return err
			}
		}
		if err := refused.err(); err != nil {
			return err
		}
		return s.audit(ctx, tx, "deleted", "", keys...)
	})
	if err == nil {
		for _, key := range keys {
			s.did(who, "deleted", key)
		}
	}
	return s.fail(err)
}

// deletedKeys returns the keys of a request, each once.
func deletedKeys(r *adminv1.DeleteRequest) ([]api.Key, error) {
	if len(r.GetKeys()) == 0 {
		key, err := readKey(r.GetKey())
		return []api.Key{key}, err
	}
	if r.GetKey() != nil {
		return nil, status.Error(codes.InvalidArgument, "both key and keys are set: set one of them")
	}
	return readKeys(r.GetKeys())
}

// readKeys returns the keys of objects, each once.
func readKeys(all []*adminv1.ObjectKey) (keys []api.Key, err error) {
	if len(all) > maxDeleted {
		return nil, status.Errorf(codes.InvalidArgument, "%d objects: at most %d are deleted at once: choose fewer",
			len(all), maxDeleted)
	}
	return (&keySet{}).add(all)
}

// keySet has keys, each once.
type keySet struct {
	keys []api.Key
	seen map[api.Key]bool
}

// add adds the keys of objects and returns all keys.
func (k *keySet) add(all []*adminv1.ObjectKey) ([]api.Key, error) {
	if k.seen == nil {
		k.seen = map[api.Key]bool{}
	}
	for _, m := range all {
		key, err := readKey(m)
		if err != nil {
			return nil, err
		}
		if !k.seen[key] {
			k.seen[key] = true
			k.keys = append(k.keys, key)
		}
	}
	return k.keys, nil
}

func remove(tx *store.Tx, key api.Key) error {
	if key.Role() == api.CredentialRole && key.Cluster == "" {
		path := store.CredentialPath(key.Namespace, key.Name)
		if _, there, err := store.Secrets.Get(tx, path); err != nil || !there {
			return cmp.Or(err, notFound(key))
		}
		return store.Secrets.Delete(tx, path)
	}
	row, err := resource(tx, key)
	if err != nil {
		return err
	}
	if err := requireOperators(tx, row, "deleted"); err != nil {
		return err
	}
	if key.Role() == api.ClusterRole {
		if err := store.DeleteCluster(tx, key.Name); err != nil {
			return err
		}
	}
	if err := store.Conditions.Delete(tx, key.Path()); err != nil {
		return err
	}
	return store.Resources.Delete(tx, key.Path())
}
