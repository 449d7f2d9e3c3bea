package registration

import (
	"context"
	"errors"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/navefleet/nave/hub/internal/store"
	registrationv1 "github.com/navefleet/nave/proto/nave/registration/v1"
	"github.com/navefleet/nave/shared/identity"
	"github.com/navefleet/nave/shared/telemetry"
)

// Renew implements registrationv1.RegistrationServiceServer: the caller's own name, for a new key.
func (s *Server) Renew(ctx context.Context, r *registrationv1.RenewRequest) (*registrationv1.RenewResponse, error) {
	id, err := identity.PeerID(ctx)
	if err != nil {
		return nil, status.Error(codes.Unauthenticated, "show a certificate of a cluster")
	}
	if id.Role != identity.Cluster || id.TrustDomain != s.authority.TrustDomain() {
		return nil, status.Errorf(codes.PermissionDenied, "%s is not a cluster of this hub", id)
	}
	key, _, err := readCSR(r.Csr)
	if err != nil {
		return nil, err
	}
	if err := s.store.View(func(tx *store.Tx) error { return admitted(tx, id.Name) }); err != nil {
		return nil, s.refuseRenewal(id.Name, err)
	}
	certificate, err := s.issue(key, id.Name)
	if err != nil {
		return nil, err
	}
	err = s.store.Update(func(tx *store.Tx) error {
		if err := admitted(tx, id.Name); err != nil {
			return err
		}
		return s.note(tx, id.Name, certificate, time.Time{})
	})
	if err != nil {
		return nil, s.refuseRenewal(id.Name, err)
	}
	s.issued.Inc()
	s.log.Info("certificate renewed", telemetry.Cluster(id.Name))
	return &registrationv1.RenewResponse{Certificate: certificate}, nil
}

// refuseRenewal is what the caller of Renew hears.
func (s *Server) refuseRenewal(cluster string, err error) error {
	if errors.Is(err, errDenied) {
		s.log.Warn("certificate not renewed", telemetry.Cluster(cluster), telemetry.Err(err))
		return status.Errorf(codes.PermissionDenied, "cluster %s is blocked or not registered with this hub", cluster)
	}
	s.log.Error("renew a certificate", telemetry.Cluster(cluster), telemetry.Err(err))
	return status.Error(codes.Unavailable, "the hub cannot use its store; try again")
}
