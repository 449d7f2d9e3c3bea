package membership

import (
	"context"
	"crypto"
	"log/slog"
	"time"

	"google.golang.org/grpc"

	"github.com/navefleet/nave/shared/identity"
	"github.com/navefleet/nave/shared/telemetry"

	registrationv1 "github.com/navefleet/nave/proto/nave/registration/v1"
)

const (
	renewRetry = time.Minute // between attempts to renew, at most
	clockLook  = time.Minute // at most, between two checks whether the certificate is due, because a clock can be set
)

// Renew gets a new certificate for a new key over the running connection, which keeps the old certificate. A failure is
// logged, and the old certificate stays in use.
func (i *Identity) Renew(ctx context.Context, conn *grpc.ClientConn) {
	if err := i.renew(ctx, conn); err != nil {
		i.Log.Warn("the certificate is not renewed", telemetry.Err(err), slog.Time("expires", i.credential.NotAfter()))
		return
	}
	i.Log.Info("certificate renewed", slog.Time("expires", i.credential.NotAfter()))
}

func (i *Identity) renew(ctx context.Context, conn *grpc.ClientConn) error {
	ctx, cancel := context.WithTimeout(ctx, registerTimeout)
	defer cancel()
	key, err := identity.NewKey()
	if err != nil {
		return err
	}
	csr, err := identity.NewCSR(key)
	if err != nil {
		return err
	}
	answer, err := registrationv1.NewRegistrationServiceClient(conn).Renew(ctx, &registrationv1.RenewRequest{Csr: csr})
	if err != nil {
		return err
	}
	return i.keep(ctx, key, answer.GetCertificate(), i.previous())
}

// previous returns the certificate in use and its key as the entries for the certificate before the last renewal.
func (i *Identity) previous() map[string][]byte {
	held := i.credential.Certificate()
	if held == nil {
		return nil
	}
	key, ok := held.PrivateKey.(crypto.Signer)
	if !ok {
		return nil
	}
	text, err := identity.MarshalKey(key)
	if err != nil {
		return nil
	}
	return map[string][]byte{previousKeyEntry: text, previousCertEntry: identity.MarshalCertificates(held.Certificate...)}
}

// UntilRenewal returns the time until the next check whether the certificate is due. If the certificate is due already,
// the last attempt failed, and UntilRenewal returns at most a minute.
func (i *Identity) UntilRenewal() time.Duration {
	now := i.Now()
	if !i.credential.Due(now) {
		return min(clockLook, i.credential.RenewAt().Sub(now))
	}
	pause := renewRetry
	if left := i.credential.NotAfter().Sub(now); left > 0 {
		pause = min(renewRetry, max(left/10, time.Second))
	}
	return pause + time.Duration(i.Jitter()*float64(time.Second))
}
