package admin

import (
	"context"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/store"
	adminv1 "github.com/navefleet/nave/proto/nave/admin/v1"
	spokev1 "github.com/navefleet/nave/proto/nave/spoke/v1"
)

// Schemas asks the spokes of clusters for the OpenAPI v3 documents of their API servers.
type Schemas interface {
	ListSchemas(ctx context.Context, cluster string) ([]*spokev1.SchemaVersion, error)
	// ReadSchema returns the compressed document of a version, and its SHA-512.
	ReadSchema(ctx context.Context, cluster string, v *spokev1.SchemaVersion) (data, hash []byte, err error)
}

// ListSchemas implements adminv1.AdminServiceServer.
func (s *Server) ListSchemas(ctx context.Context, r *adminv1.ListSchemasRequest) (*adminv1.ListSchemasResponse, error) {
	done, err := s.beginSchemas(ctx, r.GetCluster())
	if err != nil {
		return nil, err
	}
	defer done()
	served, err := s.schemas.ListSchemas(ctx, r.GetCluster())
	if err != nil {
		return nil, s.fail(err)
	}
	m := &adminv1.ListSchemasResponse{}
	for _, v := range served {
		m.Served = append(m.Served, &adminv1.SchemaVersion{Group: v.GetGroup(), Version: v.GetVersion(), Hash: v.GetHash()})
	}
	return m, nil
}

// ReadSchema implements adminv1.AdminServiceServer.
func (s *Server) ReadSchema(ctx context.Context, r *adminv1.ReadSchemaRequest) (*adminv1.ReadSchemaResponse, error) {
	done, err := s.beginSchemas(ctx, r.GetCluster())
	if err != nil {
		return nil, err
	}
	defer done()
	v := r.GetVersion()
	data, hash, err := s.schemas.ReadSchema(ctx, r.GetCluster(),
		&spokev1.SchemaVersion{Group: v.GetGroup(), Version: v.GetVersion(), Hash: v.GetHash()})
	if err != nil {
		return nil, s.fail(err)
	}
	return &adminv1.ReadSchemaResponse{Data: data, Hash: hash}, nil
}

// beginSchemas admits a question about the schemas of a cluster, which counts as a preview until done is called. If the
// cluster does not exist, the error is NOT_FOUND.
func (s *Server) beginSchemas(ctx context.Context, cluster string) (done func(), err error) {
	who, err := s.operator(ctx)
	if err != nil {
		return nil, err
	}
	err = s.store.View(ctx, func(tx *store.Tx) error {
		_, err := resource(tx, api.ClusterKey(cluster))
		return err
	})
	if err != nil {
		return nil, s.fail(err)
	}
	if s.questions.wait(ctx, who) != nil {
		return nil, status.Error(codes.ResourceExhausted, "other questions to spokes took too long: try again")
	}
	return func() { s.questions.give(who) }, nil
}
