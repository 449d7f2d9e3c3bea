package dispatch

import (
	"context"
	"crypto/sha256"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/navefleet/nave/hub/internal/store"
	spokev1 "github.com/navefleet/nave/proto/nave/spoke/v1"
	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/manifest"
	"github.com/navefleet/nave/shared/reporting"
	"github.com/navefleet/nave/shared/sealed"
)

// AnswerShapes implements spokev1.SpokeServiceServer. It trusts no field, because the spoke's machine may be an
// attacker's: only what the bundle of the cluster asks is stored, and a shape only in its one form.
func (s *Server) AnswerShapes(ctx context.Context, r *spokev1.AnswerShapesRequest) (*spokev1.AnswerShapesResponse,
	error) {
	caller, err := s.caller(ctx)
	if err != nil {
		return nil, err
	}
	release, err := s.quotas.report(caller.cluster, proto.Size(r))
	if err != nil {
		return nil, err
	}
	defer release()
	var envelope []byte
	if err := s.view(ctx, caller, func(tx *store.Tx) error {
		signed, _, err := store.SignedBundles.Get(tx, caller.cluster)
		envelope = signed.Envelope
		return err
	}); err != nil {
		return nil, refusal(err)
	}
	answers, err := s.readShapeAnswers(caller.cluster, r)
	if err != nil {
		return nil, err
	}
	asked, err := s.askedShapes(ctx, envelope, answers)
	if err == nil && len(asked) > 0 {
		err = s.Store.Update(ctx, func(tx *store.Tx) error {
			for _, q := range asked {
				if err := store.PutShape(tx, caller.cluster, q, answers[q.ID()]); err != nil {
					return err
				}
			}
			return nil
		})
	}
	if err != nil {
		return nil, refusal(err)
	}
	return &spokev1.AnswerShapesResponse{}, nil
}

// readShapeAnswers reads the answers of a cluster. If one is not valid, the error is INVALID_ARGUMENT.
func (s *Server) readShapeAnswers(cluster string, r *spokev1.AnswerShapesRequest) (map[manifest.Digest]store.Shape,
	error) {
	if n := proto.Size(r); n > reporting.MaxShapeAnswers || len(r.Answers) > reporting.MaxShapes {
		return nil, invalid("%d answers of %d bytes: at most %d of %d", len(r.Answers), n, reporting.MaxShapes,
			reporting.MaxShapeAnswers)
	}
	answers := make(map[manifest.Digest]store.Shape, len(r.Answers))
	for _, m := range r.Answers {
		id, answer, err := readShapeAnswer(m)
		if err != nil {
			return nil, err
		}
		answer.AnsweredAt, answer.By = s.Now(), cluster
		answers[id] = answer
	}
	return answers, nil
}

// readShapeAnswer reads one answer.
func readShapeAnswer(m *spokev1.ShapeAnswer) (id manifest.Digest, s store.Shape, err error) {
	if id, err = manifest.DigestFromBytes(m.Question); err != nil {
		return id, s, invalid("question: %v", err)
	}
	s.Problem = clean(m.Problem, reporting.MaxMessage)
	if n := len(m.Content); n != 0 && n != sha256.Size {
		return id, s, invalid("content of %d bytes: want %d", n, sha256.Size)
	}
	s.Content = m.Content
	if len(m.Shape) == 0 || s.Problem != "" {
		return id, s, nil
	}
	if s.Shape, err = sealed.ReadShape(m.Shape); err != nil {
		return id, s, invalid("shape: %v", err)
	}
	return id, s, nil
}

// askedShapes returns the questions among those answered that the bundle of an envelope asks: itself, or one of its
// applications.
func (s *Server) askedShapes(ctx context.Context, envelope []byte, answered map[manifest.Digest]store.Shape) (
	asked []bundle.ShapeQuestion, err error) {
	if len(envelope) == 0 || len(answered) == 0 {
		return nil, nil
	}
	b, err := readBundle(envelope)
	if err != nil {
		return nil, err
	}
	seen := map[manifest.Digest]bool{}
	add := func(q bundle.ShapeQuestion) {
		id := q.ID()
		if _, is := answered[id]; is && !seen[id] {
			seen[id] = true
			asked = append(asked, q)
		}
	}
	for _, q := range b.Questions {
		add(q)
	}
	for _, e := range b.Applications {
		if len(asked) == len(answered) {
			break
		}
		if e.Features.Without(bundle.Shapes) == e.Features {
			continue
		}
		app, err := store.ReadApplication(ctx, s.Store.Blobs(), e.Digest)
		if err != nil {
			return nil, status.Errorf(codes.Unavailable, "read application %s", e.Name)
		}
		for _, source := range app.ValueSources {
			add(source.Question)
		}
	}
	return asked, nil
}
