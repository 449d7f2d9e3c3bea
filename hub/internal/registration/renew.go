package registration

import (
	"context"
	"errors"
	"fmt"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/navefleet/nave/hub/internal/store"
	registrationv1 "github.com/navefleet/nave/proto/nave/registration/v1"
	"github.com/navefleet/nave/shared/identity"
	"github.com/navefleet/nave/shared/telemetry"
	"github.com/navefleet/nave/shared/wording"
)

// Renew implements registrationv1.RegistrationServiceServer. The new certificate has the name of the caller's.
func (s *Server) Renew(ctx context.Context, r *registrationv1.RenewRequest) (*registrationv1.RenewResponse, error) {
	caller, err := identity.Peer(ctx)
	if err != nil {
		return nil, status.Error(codes.Unauthenticated, "show a certificate of a cluster")
	}
	if caller.Role != identity.Cluster || caller.TrustDomain != s.authority.TrustDomain() {
		return nil, status.Errorf(codes.PermissionDenied, "%s is not a cluster of this hub", caller.ID)
	}
	key, _, err := readCSR(r.Csr)
	if err != nil {
		return nil, err
	}
	if !s.issuing.Allow(caller.Name, 1, s.now()) {
		return nil, errTooOften
	}
	err = s.store.View(ctx, func(tx *store.Tx) error { return checkRenewal(tx, caller, caller.IssuedAt) })
	if err != nil {
		return nil, s.refuseRenewal(caller.Name, err)
	}
	certificate, issued, err := s.issue(key, caller.Name, caller.Registration)
	if err != nil {
		return nil, err
	}
	err = s.store.Update(ctx, func(tx *store.Tx) error {
		tx.NamesNoBlobs()
		if err := checkRenewal(tx, caller, issued); err != nil {
			return err
		}
		if err := s.note(tx, caller.Name, certificate, func(*store.Spoke) {}); err != nil {
			return err
		}
		return s.audit(tx, caller, caller.Name, "renewed its certificate",
			"until "+wording.Time(certificate.GetExpiresAt().AsTime()))
	})
	if err != nil {
		return nil, s.refuseRenewal(caller.Name, err)
	}
	s.issued.Inc()
	s.log.Info("certificate renewed", telemetry.Cluster(caller.Name))
	return &registrationv1.RenewResponse{Certificate: certificate}, nil
}

// checkRenewal returns an error unless the caller's certificate is valid and the new one will be. The new one will not
// be if an older hub wrote only when the cluster registered, and the clock of this hub is behind that time. The spoke
// then keeps its certificate and asks again.
func checkRenewal(tx *store.Tx, caller identity.Caller, issued time.Time) error {
	row, err := store.CheckNotRevoked(tx, caller.Name, caller.Registration, caller.IssuedAt)
	if err == nil && !row.Counts(caller.Registration, issued) {
		err = fmt.Errorf("cluster %s registered at %s, and it is %s now: set the clock of the hub right, or get a new "+
			"manifest with `nave cluster add %[1]s`",
			caller.Name, wording.Time(row.RegisteredAt), wording.Time(issued))
	}
	return err
}

// refuseRenewal returns the answer to the caller of Renew.
func (s *Server) refuseRenewal(cluster string, err error) error {
	message := "cluster %s is blocked or not registered with this hub"
	switch {
	case errors.Is(err, store.ErrRevoked):
		message = "the certificate of cluster %s is from before it registered last, or an operator ended it, and is not " +
			"valid any more; to let this spoke in, get a new manifest with `nave cluster add %[1]s`"
	case !isDenied(err):
		return s.storeError("renew a certificate", cluster, err)
	}
	s.log.Warn("certificate not renewed", telemetry.Cluster(cluster), telemetry.Err(err))
	return status.Errorf(codes.PermissionDenied, message, cluster)
}
