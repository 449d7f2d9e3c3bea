package membership

import (
	"context"
	"crypto"
	"crypto/tls"
	"fmt"
	"maps"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/navefleet/nave/shared/identity"
	"github.com/navefleet/nave/shared/telemetry"

	registrationv1 "github.com/navefleet/nave/proto/nave/registration/v1"
)

const registerTimeout = 30 * time.Second

// NewToken reports whether there is a join token that the hub has not answered yet. Before the hub has answered another
// token, or refused the certificate, NewToken returns false.
func (i *Identity) NewToken(refused bool) bool {
	token, err := i.token()
	return err == nil && (refused || i.shown != "") && token != i.shown
}

// rejoin registers with a new join token after the hub refused the certificate: an operator may have ended it, or
// removed the cluster and added it again. The key is a new one, because the present one may have leaked. The present
// identity stays in use until the hub has issued another one.
func (i *Identity) rejoin(ctx context.Context, dial func(*tls.Config) (*grpc.ClientConn, error)) {
	if !i.NewToken(true) {
		return
	}
	entries, err := i.Keeper.Load(ctx)
	if err == nil {
		err = i.register(ctx, dial, entries, nextKeyEntry)
	}
	if err != nil {
		i.Log.Warn("the hub refused the certificate, and registering with the join token failed", telemetry.Err(err))
	}
}

// register sends the join token and gets a certificate for the key in an entry. A missing key is made and stored first,
// so that the same request can be repeated if the answer is lost.
func (i *Identity) register(ctx context.Context, dial func(*tls.Config) (*grpc.ClientConn, error),
	entries map[string][]byte, entry string) error {
	token, err := i.token()
	if err != nil {
		return err
	}
	key, err := identity.ParseKey(entries[entry])
	if err != nil {
		if key, err = i.newKey(ctx, entries, entry); err != nil {
			return err
		}
	}
	csr, err := identity.NewCSR(key)
	if err != nil {
		return err
	}
	conn, err := dial(identity.PinnedClientTLS(i.CAPin))
	if err != nil {
		return err
	}
	defer conn.Close()
	ctx, cancel := context.WithTimeout(ctx, registerTimeout)
	defer cancel()
	answer, err := registrationv1.NewRegistrationServiceClient(conn).Register(ctx,
		&registrationv1.RegisterRequest{Token: token, Csr: csr})
	if code := status.Code(err); code != codes.Unavailable && code != codes.DeadlineExceeded {
		i.shown = token // the hub may have seen it
	}
	if err != nil {
		return fmt.Errorf("register with %s: %w", i.Hub, err)
	}
	i.Log.Info("registered with the hub", telemetry.Address(i.Hub), telemetry.Peer(i.Cluster))
	return i.keep(ctx, key, answer.GetCertificate(), nil)
}

func (i *Identity) token() (string, error) {
	token, err := i.JoinToken()
	if err != nil {
		return "", fmt.Errorf("%w, and the join token cannot be read: %w", identity.ErrNone, err)
	}
	if token == "" {
		return "", fmt.Errorf("%w and no join token: make a new manifest with `nave cluster add`", identity.ErrNone)
	}
	return token, nil
}

// newKey makes a private key and stores it in an entry. If that is the next key, the entries of the present identity
// stay.
func (i *Identity) newKey(ctx context.Context, entries map[string][]byte, entry string) (crypto.Signer, error) {
	key, err := identity.NewKey()
	if err != nil {
		return nil, err
	}
	text, err := identity.MarshalKey(key)
	if err != nil {
		return nil, err
	}
	kept := map[string][]byte{entry: text}
	for _, name := range []string{keyEntry, certEntry, authorityEntry, previousKeyEntry, previousCertEntry} {
		if value, has := entries[name]; has && entry == nextKeyEntry {
			kept[name] = value
		}
	}
	if err := i.Keeper.Save(ctx, kept); err != nil {
		return nil, fmt.Errorf("keep the private key: %w", err)
	}
	return key, nil
}

// keep sets the credential to a certificate that the hub issued, and stores it for the next Pod, together with the
// entries of the previous certificate.
func (i *Identity) keep(ctx context.Context, key crypto.Signer, c *registrationv1.Certificate,
	previous map[string][]byte) error {
	text, err := identity.MarshalKey(key)
	if err != nil {
		return err
	}
	entries := map[string][]byte{
		keyEntry:       text,
		certEntry:      identity.MarshalCertificates(c.GetChain()...),
		authorityEntry: identity.MarshalCertificates(c.GetAuthorities()...),
	}
	if err := i.adopt(entries[keyEntry], entries[certEntry], entries[authorityEntry]); err != nil {
		return fmt.Errorf("the certificate that the hub issued: %w", err)
	}
	maps.Copy(entries, previous)
	if err := i.Keeper.Save(ctx, entries); err != nil {
		return fmt.Errorf("keep the identity: %w", err)
	}
	return nil
}
