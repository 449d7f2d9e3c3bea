package admin

import (
	"context"
	"errors"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/navefleet/nave/hub/api"
	fold "github.com/navefleet/nave/hub/internal/status"
	"github.com/navefleet/nave/hub/internal/store"
	adminv1 "github.com/navefleet/nave/proto/nave/admin/v1"
	"github.com/navefleet/nave/shared/condition"
	"github.com/navefleet/nave/shared/identity"
	"github.com/navefleet/nave/shared/wording"
)

// Suspend implements adminv1.AdminServiceServer. The suspension is independent of spec.suspend in Git.
func (s *Server) Suspend(ctx context.Context, r *adminv1.SuspendRequest) (*adminv1.SuspendResponse, error) {
	response := &adminv1.SuspendResponse{}
	err := s.suspension(ctx, r.Key, "suspend", func(tx *store.Tx, who string, row store.Resource) (done bool, err error) {
		if r.StopRepair && row.Key.Role() != api.ClusterRole {
			return false, status.Errorf(codes.InvalidArgument,
				"--stop-repair is for Clusters: the drift of other suspended objects stays anyway; suspend %s "+
					"without it", row.Key)
		}
		if of := row.AliasOf; of != nil {
			return false, status.Errorf(codes.FailedPrecondition, "%s cannot be suspended: %s of the hub stands for it; "+
				"suspend that one (without --cluster), or the Kustomizations that read it", row.Key, of)
		}
		if row.Suspended && row.StopRepair == r.StopRepair {
			return false, nil
		}
		row.Suspended, row.StopRepair, row.SuspendedBy, response.Changed = true, r.StopRepair, who, true
		row.NoteSuspension(s.now().UTC())
		err = s.record(tx, row.Key, condition.Suspended, "suspended by "+identity.NameOf(who))
		return true, errors.Join(err, store.Resources.Put(tx, row.Key.Path(), row))
	})
	return response, err
}

// Resume implements adminv1.AdminServiceServer. It ends the suspension of Suspend. If spec.suspend is set, the answer
// says that the object stays suspended.
func (s *Server) Resume(ctx context.Context, r *adminv1.ResumeRequest) (*adminv1.ResumeResponse, error) {
	var response *adminv1.ResumeResponse
	err := s.suspension(ctx, r.Key, "resume", func(tx *store.Tx, who string, row store.Resource) (done bool, err error) {
		response = &adminv1.ResumeResponse{}
		above, err := fold.NewReader(tx).SuspendedAbove(row)
		if err != nil {
			return false, err
		}
		if len(above) > 0 {
			response.SuspendedWith = fold.KeyMessage(above[0].Key)
		}
		ofFleet := fold.IsSuspendedRoot(row, above)
		if !row.Suspended && (ofFleet || !row.Object.Suspended()) {
			return false, nil
		}
		row.Suspended, row.StopRepair, row.SuspendedBy, response.Changed = false, false, "", true
		if row.IsSuspended() && !ofFleet {
			return false, status.Errorf(codes.FailedPrecondition, "%s has spec.suspend: true: set it to false in its manifest",
				row.Key)
		}
		row.RequestedAt = s.now().UTC().Format(time.RFC3339Nano) // catch up with the changes made meanwhile
		row.NoteSuspension(s.now().UTC())
		if len(above) == 0 {
			response.RequestedAt = row.RequestedAt
		}
		err = s.record(tx, row.Key, condition.Resumed, "resumed by "+identity.NameOf(who))
		return true, errors.Join(err, store.Resources.Put(tx, row.Key.Path(), row))
	})
	return response, err
}

// suspension changes the row of an object that can be suspended, and logs it if that changed something.
func (s *Server) suspension(ctx context.Context, p *adminv1.ObjectKey, verb string,
	change func(*store.Tx, string, store.Resource) (bool, error)) error {
	who, key, err := s.subject(ctx, p)
	if err != nil {
		return err
	}
	if key.Role() == api.CredentialRole {
		return status.Errorf(codes.InvalidArgument, "%s cannot be suspended: clusters, fleets, sources and "+
			"applications can", wording.A(key.Kind))
	}
	changed := false
	err = s.update(ctx, func(tx *store.Tx) error {
		row, err := resource(tx, key)
		if err == nil {
			changed, err = change(tx, who.String(), row)
		}
		if err != nil || !changed {
			return err
		}
		return s.audit(ctx, tx, verb, "", key)
	})
	if err == nil && changed {
		s.did(who, verb, key)
	}
	return s.fail(err)
}

// record keeps the event of what an operator did to an object.
func (s *Server) record(tx *store.Tx, key api.Key, reason, message string) error {
	return store.Record(tx, store.Event{Time: s.now().UTC(), Object: key, Type: condition.Normal, Reason: reason,
		Message: message})
}
