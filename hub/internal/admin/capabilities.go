package admin

import (
	"context"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/store"
	adminv1 "github.com/navefleet/nave/proto/nave/admin/v1"
)

// Capabilities implements adminv1.AdminServiceServer.
func (s *Server) Capabilities(ctx context.Context, r *adminv1.CapabilitiesRequest) (*adminv1.CapabilitiesResponse,
	error) {
	if _, err := s.operator(ctx); err != nil {
		return nil, err
	}
	var spoke store.Spoke
	err := s.store.View(ctx, func(tx *store.Tx) (err error) {
		if err := requireRow(tx, api.ClusterKey(r.GetCluster())); err != nil {
			return err
		}
		spoke, _, err = store.Spokes.GetIntact(tx, r.GetCluster())
		return err
	})
	if err != nil {
		return nil, s.fail(err)
	}
	if spoke.Capabilities.IsZero() {
		return nil, status.Errorf(codes.FailedPrecondition, "the spoke of cluster %s has not reported yet what its API "+
			"server serves: wait until it has connected", r.GetCluster())
	}
	c, err := store.ReadCapabilities(ctx, s.store.Blobs(), spoke.Capabilities)
	if err != nil {
		return nil, s.fail(err)
	}
	return &adminv1.CapabilitiesResponse{KubernetesVersion: c.KubeVersion, ApiVersions: c.APIVersions}, nil
}
