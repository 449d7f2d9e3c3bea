package dispatch

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/navefleet/nave/hub/internal/store"
	"github.com/navefleet/nave/shared/condition"
	"github.com/navefleet/nave/shared/telemetry"
	"github.com/navefleet/nave/shared/wording"
)

// revokedError refuses a certificate of another registration, with PERMISSION_DENIED.
type revokedError struct{ error }

// GRPCStatus returns the status for the caller.
func (e revokedError) GRPCStatus() *status.Status { return status.Convert(e.error) }

// view runs fn in a View of the store if the caller is admitted. Give the error to refusal before the caller gets it.
func (s *Server) view(ctx context.Context, c caller, fn func(*store.Tx) error) error {
	return s.warnRevoked(c, s.Store.View(ctx, func(tx *store.Tx) error {
		if err := admitted(tx, c); err != nil {
			return err
		}
		return fn(tx)
	}))
}

// admitted returns PERMISSION_DENIED unless the cluster exists, is not blocked, and the caller's certificate is of its
// registration. Give the error to warnRevoked after the transaction.
func admitted(tx *store.Tx, c caller) error {
	row, err := store.CheckNotRevoked(tx, c.cluster, c.registration, c.issued)
	switch {
	case errors.Is(err, store.ErrNoCluster):
		return status.Errorf(codes.PermissionDenied, "cluster %s is not registered with this hub", c.cluster)
	case errors.Is(err, store.ErrBlocked):
		return status.Errorf(codes.PermissionDenied, "cluster %s is blocked", c.cluster)
	case errors.Is(err, store.ErrUnregistered):
		return revokedError{status.Errorf(codes.PermissionDenied, "cluster %[1]s has not registered since it was added: "+
			"register its spoke with the manifest that `nave cluster add %[1]s` prints", c.cluster)}
	case errors.Is(err, store.ErrRevoked) && row.Registration == store.Ended:
		return revokedError{status.Errorf(codes.PermissionDenied, "an operator ended the certificate of cluster %[1]s: "+
			"apply what `nave cluster rotate %[1]s` printed, or get a new manifest with `nave cluster add %[1]s`", c.cluster)}
	case errors.Is(err, store.ErrRevoked):
		return revokedError{status.Errorf(codes.PermissionDenied,
			"the certificate, issued at %s, is no longer accepted, because cluster %s registered again at %s; "+
				"to let this spoke in instead, get a new manifest with `nave cluster add %s`",
			wording.Time(c.issued), c.cluster, wording.Time(row.RegisteredAt), c.cluster)}
	}
	return err
}

// warnRevoked logs and records, at the rate of warnings, that a certificate was refused, and returns err.
func (s *Server) warnRevoked(c caller, err error) error {
	if _, revoked := errors.AsType[revokedError](err); revoked &&
		s.quotas.warn(c.cluster, condition.CertificateRevoked, time.Now()) {
		message := status.Convert(err).Message()
		s.Log.Warn("certificate refused", telemetry.Cluster(c.cluster), telemetry.Address(c.address),
			telemetry.Reason(message))
		s.batch.event(s.warning(c.cluster, condition.CertificateRevoked, "a spoke that called from %s was refused: %s",
			c.address, message))
	}
	return err
}

// enter waits for a slot to answer a hello in; leave frees it. If there is none within helloPatience, the error says
// when to come back.
func (s *Server) enter(ctx context.Context) (leave func(), err error) {
	patience := time.NewTimer(helloPatience)
	defer patience.Stop()
	select {
	case s.hellos <- struct{}{}:
		return func() { <-s.hellos }, nil
	case <-ctx.Done():
		return nil, status.FromContextError(ctx.Err()).Err()
	case <-patience.C:
		return nil, comeBack(codes.Unavailable, "too many spokes call at once")
	}
}

// comeBack returns a refusal with a google.rpc.RetryInfo of 5 to 30 seconds.
func comeBack(code codes.Code, format string, args ...any) error {
	delay := 5*time.Second + rand.N(25*time.Second)
	st := status.Newf(code, format, args...)
	if detailed, err := st.WithDetails(&errdetails.RetryInfo{RetryDelay: durationpb.New(delay)}); err == nil {
		st = detailed
	}
	return st.Err()
}
