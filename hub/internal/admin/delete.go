package admin

import (
	"cmp"
	"context"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/store"
	adminv1 "github.com/navefleet/nave/proto/nave/admin/v1"
)

// Delete implements adminv1.AdminServiceServer. The objects that were rendered from the object leave the hub with it.
// The workloads of a deleted cluster keep running.
func (s *Server) Delete(ctx context.Context, r *adminv1.DeleteRequest) (*adminv1.DeleteResponse, error) {
	who, key, err := s.subject(ctx, r.Key)
	if err != nil {
		return nil, err
	}
	err = s.readApplications(ctx, s.update, func(tx *store.Tx, apps *applications) error {
		if r.Confirmed {
			i, err := impactOfDelete(tx, apps, key)
			if err != nil {
				return err
			}
			if err := s.confirmed(i, r.Digest); err != nil {
				return err
			}
		}
		return remove(tx, key)
	})
	if err == nil {
		s.did(who, "deleted", key)
	}
	return &adminv1.DeleteResponse{}, s.fail(err)
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
