package admin

import (
	"context"
	"errors"
	"io"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/navefleet/nave/hub/api"
	fold "github.com/navefleet/nave/hub/internal/status"
	"github.com/navefleet/nave/hub/internal/store"
	adminv1 "github.com/navefleet/nave/proto/nave/admin/v1"
	"github.com/navefleet/nave/shared/identity"
)

// Limits of a change of several messages.
const (
	maxLarge      = 2 // at the same time, of one operator half as many: their objects are in memory
	maxChanged    = 20_000
	maxChangeSize = 32 << 20 // bytes of manifests
	changeTime    = 10 * time.Minute
)

// ApplyAll implements adminv1.AdminServiceServer. Each message is parsed when it comes, so that of a large change only
// the admitted objects are in memory.
func (s *Server) ApplyAll(stream adminv1.AdminService_ApplyAllServer) error {
	return s.inTurn(stream.Context(), s.changes, changeTime, "large changes", func(ctx context.Context,
		who identity.ID) error {
		c, err := s.readChange(ctx, stream)
		if err != nil {
			return err
		}
		applied, err := s.carryOut(ctx, who, c)
		if err != nil {
			return err
		}
		return stream.SendAndClose(&adminv1.ApplyAllResponse{Objects: applied, Impact: c.impact})
	})
}

// readChange reads the requests of a change. Of objects that are refused the error lists all causes.
func (s *Server) readChange(ctx context.Context, stream adminv1.AdminService_ApplyAllServer) (*change, error) {
	var c *change
	admission, size := newAdmission(), 0
	add := func(r *adminv1.ApplyAllRequest) error {
		if c == nil {
			c = changeOf(r)
			c.asksImpact = true
		}
		if size += len(r.GetManifest()); size > maxChangeSize {
			return status.Errorf(codes.InvalidArgument, "more than %d MiB of manifests: apply fewer objects at a time",
				maxChangeSize>>20)
		}
		for _, f := range filesOf(r.GetManifest(), r.GetFiles()) {
			admission.Add(f)
		}
		return requireFewer(len(admission.admitted), "apply")
	}
	err := s.receive(ctx, "the change", func(heard func()) error { return eachMessage(stream, heard, add) })
	if err != nil {
		return nil, err
	}
	if c == nil {
		c = &change{}
	}
	c.admitted, err = admission.result()
	return c, err
}

// eachMessage calls add with each message of a stream, and heard before and after it.
func eachMessage[In, Out any](stream grpc.ClientStreamingServer[In, Out], heard func(), add func(*In) error) error {
	for {
		r, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err == nil {
			heard()
			err = add(r)
		}
		if err != nil {
			return err
		}
		heard()
	}
}

// requireFewer returns an error if a change has too many objects.
func requireFewer(objects int, verb string) error {
	if objects <= maxChanged {
		return nil
	}
	return status.Errorf(codes.InvalidArgument, "more than %d objects: %s fewer at a time", maxChanged, verb)
}

// DeleteAll implements adminv1.AdminServiceServer.
func (s *Server) DeleteAll(stream adminv1.AdminService_DeleteAllServer) error {
	return s.inTurn(stream.Context(), s.changes, changeTime, "large changes", func(ctx context.Context,
		who identity.ID) error {
		first, keys, err := s.readDeletion(ctx, stream)
		response := &adminv1.DeleteAllResponse{}
		switch {
		case err != nil:
		case first.GetDryRun():
			response.Missing, response.Impact, err = s.foreseeDeletion(ctx, keys)
		default:
			err = s.deleteAll(ctx, who, keys, first.GetConfirmed(), first.GetDigest())
		}
		if err != nil {
			return err
		}
		return stream.SendAndClose(response)
	})
}

// readDeletion reads the requests of a deletion. It returns the first one, and the keys of all.
func (s *Server) readDeletion(ctx context.Context, stream adminv1.AdminService_DeleteAllServer) (
	first *adminv1.DeleteAllRequest, keys []api.Key, err error) {
	var set keySet
	add := func(r *adminv1.DeleteAllRequest) error {
		if first == nil {
			first = r
		}
		keys, err := set.add(r.GetKeys())
		if err != nil {
			return err
		}
		return requireFewer(len(keys), "delete")
	}
	err = s.receive(ctx, "the deletion", func(heard func()) error { return eachMessage(stream, heard, add) })
	if err != nil {
		return nil, nil, err
	}
	if len(set.keys) == 0 {
		return nil, nil, status.Error(codes.InvalidArgument, "the keys are missing: name the objects to delete")
	}
	return first, set.keys, nil
}

// foreseeDeletion returns which of some objects do not exist, and what deleting the others takes away.
func (s *Server) foreseeDeletion(ctx context.Context, keys []api.Key) (missing []*adminv1.ObjectKey,
	response *adminv1.ImpactResponse, err error) {
	err = s.readApplications(ctx, s.store.View, func(tx *store.Tx, apps *applications) error {
		missing = nil
		for _, key := range keys {
			exists, err := hasObject(tx, key)
			if err != nil {
				return err
			}
			if !exists {
				missing = append(missing, fold.KeyMessage(key))
			}
		}
		i, err := impactOfDelete(tx, apps, keys...)
		if err == nil {
			response, err = i.message()
		}
		return err
	})
	return missing, response, s.fail(err)
}

// hasObject reports whether the hub has an object, which may be damaged.
func hasObject(tx *store.Tx, key api.Key) (bool, error) {
	if key.Role() == api.CredentialRole && key.Cluster == "" {
		_, there, err := store.Secrets.Get(tx, store.CredentialPath(key.Namespace, key.Name))
		return there, err
	}
	row, err := store.Resources.Bytes(tx, key.Path())
	return row != nil, err
}
