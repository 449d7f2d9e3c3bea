package admin

import (
	"context"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/store"
	adminv1 "github.com/navefleet/nave/proto/nave/admin/v1"
	"github.com/navefleet/nave/shared/manifest"
)

// maxShapes is the number of questions in one ShapesRequest. An answer may have 128 KiB.
const maxShapes = 20

// Shapes implements adminv1.AdminServiceServer.
func (s *Server) Shapes(ctx context.Context, r *adminv1.ShapesRequest) (*adminv1.ShapesResponse, error) {
	if _, err := s.operator(ctx); err != nil {
		return nil, err
	}
	ids, err := readQuestions(r.GetQuestions())
	if err != nil {
		return nil, err
	}
	m := &adminv1.ShapesResponse{}
	err = s.store.View(ctx, func(tx *store.Tx) error {
		if err := requireRow(tx, api.ClusterKey(r.GetCluster())); err != nil {
			return err
		}
		m.Shapes = nil
		for _, id := range ids {
			found, known, err := store.ShapeByID(tx, r.GetCluster(), id)
			if err != nil {
				return err
			}
			if known {
				m.Shapes = append(m.Shapes, &adminv1.KnownShape{Question: id[:], Shape: found.Shape, Problem: found.Problem,
					Content: found.Content})
			}
		}
		return nil
	})
	if err != nil {
		return nil, s.fail(err)
	}
	return m, nil
}

// readQuestions reads the IDs of questions.
func readQuestions(questions [][]byte) (ids []manifest.Digest, err error) {
	if len(questions) > maxShapes {
		return nil, status.Errorf(codes.InvalidArgument, "%d questions: at most %d", len(questions), maxShapes)
	}
	for i, q := range questions {
		id, err := manifest.DigestFromBytes(q)
		if err != nil {
			return nil, status.Errorf(codes.InvalidArgument, "questions[%d]: %v", i, err)
		}
		ids = append(ids, id)
	}
	return ids, nil
}
