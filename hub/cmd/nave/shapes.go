package main

import (
	"context"
	"errors"
	"sync"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/navefleet/nave/hub/internal/plan/graph"
	adminv1 "github.com/navefleet/nave/proto/nave/admin/v1"
	"github.com/navefleet/nave/shared/manifest"
	"github.com/navefleet/nave/shared/sealed"
)

// hubShapes asks the hub for the answers of clusters to questions about the keys of values, each once.
type hubShapes struct {
	client adminv1.AdminServiceClient

	mu    sync.Mutex
	known map[clusterQuestion]*graph.Shape // nil: the hub has no answer
}

// clusterQuestion is a question to a cluster, by its ID.
type clusterQuestion struct {
	cluster string
	id      manifest.Digest
}

// of returns the answers that the hub has.
func (h *hubShapes) of(ctx context.Context, cluster string, questions []manifest.Digest) (
	map[manifest.Digest]graph.Shape, error) {
	if err := h.ask(ctx, cluster, questions); err != nil {
		return nil, err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	found := map[manifest.Digest]graph.Shape{}
	for _, id := range questions {
		if s := h.known[clusterQuestion{cluster, id}]; s != nil {
			found[id] = *s
		}
	}
	return found, nil
}

// ask asks the hub for the answers that are not known yet.
func (h *hubShapes) ask(ctx context.Context, cluster string, questions []manifest.Digest) error {
	r := h.request(cluster, questions)
	if len(r.Questions) == 0 {
		return nil
	}
	answer, err := h.client.Shapes(ctx, r)
	switch {
	case isTooOld(err):
		return errTooOld("the keys that clusters told")
	case err != nil && status.Code(err) != codes.NotFound: // NotFound: the Cluster is new
		return errors.New(message(err))
	}
	return h.add(cluster, r.Questions, answer.GetShapes())
}

// request returns the request for the answers that are not known yet.
func (h *hubShapes) request(cluster string, questions []manifest.Digest) *adminv1.ShapesRequest {
	h.mu.Lock()
	defer h.mu.Unlock()
	r := &adminv1.ShapesRequest{Cluster: cluster}
	for _, id := range questions {
		if _, known := h.known[clusterQuestion{cluster, id}]; !known {
			r.Questions = append(r.Questions, id[:])
		}
	}
	return r
}

// add adds answers of the hub.
func (h *hubShapes) add(cluster string, asked [][]byte, shapes []*adminv1.KnownShape) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.known == nil {
		h.known = map[clusterQuestion]*graph.Shape{}
	}
	for _, id := range asked {
		h.known[clusterQuestion{cluster, manifest.Digest(id)}] = nil
	}
	for _, m := range shapes {
		id, err := manifest.DigestFromBytes(m.GetQuestion())
		if err != nil {
			return err
		}
		s := &graph.Shape{Problem: m.GetProblem(), Content: m.GetContent()}
		if len(m.GetShape()) > 0 {
			if s.Shape, err = sealed.ReadShape(m.GetShape()); err != nil {
				return err
			}
		}
		h.known[clusterQuestion{cluster, id}] = s
	}
	return nil
}
