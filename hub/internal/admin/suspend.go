package admin

import (
	"context"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/store"
	adminv1 "github.com/navefleet/nave/proto/nave/admin/v1"
)

// Suspend implements adminv1.AdminServiceServer. It holds whatever the spec in Git says.
func (s *Server) Suspend(ctx context.Context, r *adminv1.SuspendRequest) (*adminv1.SuspendResponse, error) {
	response := &adminv1.SuspendResponse{}
	err := s.suspension(ctx, r.Key, "suspend", func(tx *store.Tx, row store.Resource) (changed bool, err error) {
		if r.StopRepair && row.Key.Kind != api.ClusterKind {
			return false, status.Errorf(codes.InvalidArgument,
				"only a Cluster is repaired while it is suspended: suspend %s without stopping repairs", row.Key)
		}
		if row.Suspended && row.StopRepair == r.StopRepair {
			return false, nil
		}
		row.Suspended, row.StopRepair, response.Changed = true, r.StopRepair, true
		row.NoteSuspension(s.now().UTC())
		return true, store.Resources.Put(tx, row.Key.Path(), row)
	})
	if err != nil {
		return nil, err
	}
	return response, nil
}

// Resume implements adminv1.AdminServiceServer. It ends what Suspend began; spec.suspend it cannot undo, and says so.
func (s *Server) Resume(ctx context.Context, r *adminv1.ResumeRequest) (*adminv1.ResumeResponse, error) {
	var response *adminv1.ResumeResponse
	err := s.suspension(ctx, r.Key, "resume", func(tx *store.Tx, row store.Resource) (changed bool, err error) {
		response = &adminv1.ResumeResponse{}
		with, still, err := suspendedWith(tx, row)
		if err != nil {
			return false, err
		}
		if still {
			response.SuspendedWith = writeKey(with)
		}
		if !row.IsSuspended() {
			return false, nil
		}
		row.Suspended, row.StopRepair, response.Changed = false, false, true
		if row.IsSuspended() {
			return false, status.Errorf(codes.FailedPrecondition, "%s has spec.suspend: true; change it where it was written",
				row.Key)
		}
		row.RequestedAt = s.now().UTC().Format(time.RFC3339Nano) // what happened meanwhile is made up for
		row.NoteSuspension(s.now().UTC())
		if !still {
			response.RequestedAt = row.RequestedAt
		}
		return true, store.Resources.Put(tx, row.Key.Path(), row)
	})
	if err != nil {
		return nil, err
	}
	return response, nil
}

// suspension changes the row of an object that can be suspended, and logs it if that changed something.
func (s *Server) suspension(ctx context.Context, p *adminv1.ObjectKey, verb string,
	change func(*store.Tx, store.Resource) (bool, error)) error {
	who, err := s.operator(ctx)
	if err != nil {
		return err
	}
	key, err := readKey(p)
	if err != nil {
		return err
	}
	if key.Kind == api.SecretKind {
		return status.Errorf(codes.InvalidArgument, "a %s cannot be suspended: Clusters, Fleets, sources and "+
			"Kustomizations can", key.Kind)
	}
	changed := false
	err = s.store.Update(ctx, func(tx *store.Tx) error {
		row, err := resource(tx, key)
		if err == nil {
			changed, err = change(tx, row)
		}
		return err
	})
	if err == nil && changed {
		s.did(who, verb, key)
	}
	return s.fail(err)
}

// maxOwners bounds the way from an object to its Fleet, whatever the owners in the store say.
const maxOwners = 64

// suspendedWith returns the suspended Cluster or Fleet that a Kustomization is suspended with.
func suspendedWith(tx *store.Tx, row store.Resource) (with api.Key, suspended bool, err error) {
	if row.Key.Kind != api.KustomizationKind || row.Key.Cluster == "" {
		return api.Key{}, false, nil
	}
	cluster := api.ClusterKey(row.Key.Cluster)
	owner, there, err := store.Resources.Get(tx, cluster.Path())
	if err != nil || there && owner.IsSuspended() {
		return cluster, err == nil, err
	}
	return suspendedWithFleet(tx, row)
}

// suspendedWithFleet returns the Fleet that an object comes from, if it is suspended.
func suspendedWithFleet(tx *store.Tx, row store.Resource) (fleet api.Key, suspended bool, err error) {
	for range maxOwners {
		if row.Owner == nil || row.Orphaned {
			break
		}
		key, there := *row.Owner, false
		if row, there, err = store.Resources.Get(tx, key.Path()); err != nil || !there {
			return api.Key{}, false, err
		}
		if key.Kind == api.FleetKind {
			return key, row.IsSuspended(), nil
		}
	}
	return api.Key{}, false, nil
}
