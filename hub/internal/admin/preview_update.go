package admin

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/store"
	adminv1 "github.com/navefleet/nave/proto/nave/admin/v1"
	"github.com/navefleet/nave/shared/identity"
	"github.com/navefleet/nave/shared/telemetry"
	"github.com/navefleet/nave/shared/wording"
)

// previewTime limits the preview of one run, with the time until it is its turn.
const previewTime = 2 * time.Minute

// Previewer returns what a run of a source that writes to Git would push now.
type Previewer func(context.Context, api.Key) (*adminv1.PreviewImageUpdateResponse, error)

// PreviewImageUpdate implements adminv1.AdminServiceServer.
func (s *Server) PreviewImageUpdate(ctx context.Context, r *adminv1.PreviewImageUpdateRequest) (
	answer *adminv1.PreviewImageUpdateResponse, err error) {
	_, key, err := s.subject(ctx, r.GetKey())
	if err != nil {
		return nil, err
	}
	err = s.inTurn(ctx, s.questions, previewTime, "previews", func(ctx context.Context, who identity.ID) error {
		if err := s.requireWriter(ctx, key); err != nil {
			return err
		}
		s.log.Info("operator previews a run", telemetry.Object(key), slog.String("peer", who.String()))
		var err error
		answer, err = s.preview(ctx, key)
		return err
	})
	if err == nil {
		return answer, nil
	}
	if _, isStatus := status.FromError(err); !isStatus && !errors.Is(err, context.Canceled) &&
		!errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, store.ErrClosed) {
		err = status.Error(codes.FailedPrecondition, err.Error())
	}
	return nil, s.fail(err)
}

// requireWriter returns an error if an object does not exist, or does not write to Git.
func (s *Server) requireWriter(ctx context.Context, key api.Key) error {
	return s.store.View(ctx, func(tx *store.Tx) error {
		row, err := resource(tx, key)
		if err != nil {
			return err
		}
		if view, err := row.Object.Source(); err != nil || !view.Writes {
			return status.Errorf(codes.InvalidArgument, "%s writes nothing to Git: only runs of an "+
				"ImageUpdateAutomation have a preview", wording.A(key.Kind))
		}
		return nil
	})
}
