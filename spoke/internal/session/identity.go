package session

import (
	"context"
	"crypto"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/status"

	"github.com/navefleet/nave/shared/identity"
	"github.com/navefleet/nave/shared/telemetry"

	registrationv1 "github.com/navefleet/nave/proto/nave/registration/v1"
)

// The entries of an identity, as Kubernetes names them in TLS Secrets.
const (
	KeyEntry       = "tls.key" // the private key, PKCS#8 PEM
	CertEntry      = "tls.crt" // the chain, leaf first, PEM
	AuthorityEntry = "ca.crt"  // the hub's authorities, PEM

	// The key and chain before the last renewal, for when that was made by a clock that was ahead.
	previousKeyEntry  = "previous.key"
	previousCertEntry = "previous.crt"
)

const (
	registerTimeout = 30 * time.Second
	renewRetry      = time.Minute // between attempts to renew, at least
)

// Keeper keeps a spoke's identity where a new Pod finds it again. A new one has no entries, which is no error.
type Keeper interface {
	Load(ctx context.Context) (map[string][]byte, error)
	Save(ctx context.Context, entries map[string][]byte) error
}

var (
	// ErrIdentity says that this spoke has no identity and cannot get one.
	ErrIdentity = errors.New("no identity")
	// ErrCluster says that a spoke must not become the cluster that its settings name.
	ErrCluster = errors.New("the settings are of another cluster")
)

// Kept returns whose identity entries hold, also when its certificate has expired; false when they hold none.
func Kept(entries map[string][]byte) (identity.ID, bool) {
	chain, err := identity.ParseCertificates(entries[CertEntry])
	if err != nil || len(chain) == 0 {
		return identity.ID{}, false
	}
	id, err := identity.FromCertificate(chain[0])
	return id, err == nil && id.Role == identity.Cluster
}

// Confuses returns an error when a spoke that has kept an identity would become another cluster without having been
// told to take its place. Another hub's cluster of the same name is the same cluster that moves.
func Confuses(kept, want identity.ID, replaces string) error {
	if kept.Name == want.Name || kept.Name == replaces {
		return nil
	}
	return fmt.Errorf("%w: this is %q (%s), they name %q (%s); nothing was changed. If they were meant for another "+
		"cluster, "+
		"apply what `nave cluster add %s` prints here again. If this is to become %q, apply what `nave cluster add %s "+
		"--replace %s` prints",
		ErrCluster, kept.Name, kept, want.Name, want, kept.Name, want.Name, want.Name, kept.Name)
}

// establish makes sure that the credential has a certificate that holds now.
func (s *Session) establish(ctx context.Context) error {
	if s.Credential.Check(s.Now()) == nil {
		if s.denied {
			s.rejoin(ctx)
		}
		return nil
	}
	entries, err := s.Identity.Load(ctx)
	if err != nil {
		return fmt.Errorf("load the identity: %w", err)
	}
	if kept, ok := Kept(entries); ok {
		if err := Confuses(kept, s.Cluster, s.Replaces); err != nil {
			return err
		}
	}
	unusable := s.use(entries)
	if unusable == nil {
		return nil
	}
	if len(entries[CertEntry]) == 0 {
		return s.register(ctx, entries)
	}
	s.Log.Warn("the kept identity cannot be used, registering anew", telemetry.Err(unusable))
	if err := s.register(ctx, entries); err != nil {
		return fmt.Errorf("the kept identity: %w; and anew: %w", unusable, err)
	}
	return nil
}

// rejoin shows a join token that the hub has not seen yet to a hub that refused the certificate: an operator may have
// removed the cluster and added it again. Whatever comes of it, the identity that is there stays until there is
// another.
func (s *Session) rejoin(ctx context.Context) {
	token, err := s.token()
	if err != nil || token == s.shown {
		return
	}
	entries, err := s.Identity.Load(ctx)
	if err == nil {
		err = s.register(ctx, entries)
	}
	if err != nil {
		s.Log.Warn("the hub refused the certificate, and the join token does not help", telemetry.Err(err))
	}
}

// use takes an identity into the credential, if it is this cluster's and holds now: the last one, or the one before.
func (s *Session) use(entries map[string][]byte) error {
	err := s.parse(entries[KeyEntry], entries[CertEntry], entries[AuthorityEntry])
	if errors.Is(err, identity.ErrTime) && s.parse(entries[previousKeyEntry], entries[previousCertEntry],
		entries[AuthorityEntry]) == nil {
		s.Log.Warn("the last certificate cannot be used, but the one before can", telemetry.Err(err))
		return nil
	}
	return err
}

// parse takes one identity of the entries.
func (s *Session) parse(keyText, chainText, authorityText []byte) error {
	key, err := identity.ParseKey(keyText)
	if err != nil {
		return err
	}
	chain, err := identity.ParseCertificates(chainText)
	if err != nil {
		return err
	}
	authorities, err := identity.ParseCertificates(authorityText)
	if err != nil {
		return err
	}
	return s.take(key, raw(chain), authorities)
}

func (s *Session) take(key crypto.Signer, chain [][]byte, authorities []*x509.Certificate) error {
	pair, err := identity.Pair(key, chain)
	if err != nil {
		return err
	}
	id, err := identity.FromCertificate(pair.Leaf)
	if err != nil {
		return err
	}
	if id != s.Cluster {
		return fmt.Errorf("%w: the certificate is %s, want %s", ErrIdentity, id, s.Cluster)
	}
	if err := identity.CheckTime(pair.Leaf, s.Now()); err != nil {
		return fmt.Errorf("%w: a clock is wrong, or was when the certificate was issued", err)
	}
	if len(authorities) == 0 {
		return fmt.Errorf("%w: no authority of the hub", ErrIdentity)
	}
	s.Credential.Set(pair, authorities)
	return nil
}

// register trades the join token for a certificate. The key is kept before the token is shown, so that the same request
// can be made again when the answer is lost.
func (s *Session) register(ctx context.Context, entries map[string][]byte) error {
	token, err := s.token()
	if err != nil {
		return err
	}
	key, err := identity.ParseKey(entries[KeyEntry])
	if err != nil {
		if key, err = s.newKey(ctx); err != nil {
			return err
		}
	}
	csr, err := identity.NewCSR(key)
	if err != nil {
		return err
	}
	config := identity.PinnedClientTLS(s.CAPin)
	config.Time = s.Now
	conn, err := grpc.NewClient("passthrough:///"+s.Hub,
		append(s.network, grpc.WithTransportCredentials(credentials.NewTLS(config)))...)
	if err != nil {
		return fmt.Errorf("hub %s: %w", s.Hub, err)
	}
	defer conn.Close()
	ctx, cancel := context.WithTimeout(ctx, registerTimeout)
	defer cancel()
	answer, err := registrationv1.NewRegistrationServiceClient(conn).Register(ctx,
		&registrationv1.RegisterRequest{Token: token, Csr: csr})
	if code := status.Code(err); code != codes.Unavailable && code != codes.DeadlineExceeded {
		s.shown = token // for all that is known
	}
	if err != nil {
		return fmt.Errorf("register with %s: %w", s.Hub, err)
	}
	s.Log.Info("registered with the hub", telemetry.Address(s.Hub), telemetry.Peer(s.Cluster))
	return s.keep(ctx, key, answer.GetCertificate(), nil)
}

func (s *Session) token() (string, error) {
	if s.JoinToken == nil {
		return "", fmt.Errorf("%w and no join token: make a new manifest with `nave cluster add`", ErrIdentity)
	}
	token, err := s.JoinToken()
	if err != nil {
		return "", fmt.Errorf("%w, and the join token cannot be read: %w", ErrIdentity, err)
	}
	if token == "" {
		return "", fmt.Errorf("%w and an empty join token: make a new manifest with `nave cluster add`", ErrIdentity)
	}
	return token, nil
}

func (s *Session) newKey(ctx context.Context) (crypto.Signer, error) {
	key, err := identity.NewKey()
	if err != nil {
		return nil, err
	}
	text, err := identity.MarshalKey(key)
	if err != nil {
		return nil, err
	}
	if err := s.Identity.Save(ctx, map[string][]byte{KeyEntry: text}); err != nil {
		return nil, fmt.Errorf("keep the private key: %w", err)
	}
	return key, nil
}

// keep takes a certificate that the hub issued into the credential, and keeps it for the next Pod, with the entries of
// the previous one.
func (s *Session) keep(ctx context.Context, key crypto.Signer, c *registrationv1.Certificate,
	previous map[string][]byte) error {
	authorities := make([]*x509.Certificate, 0, len(c.GetAuthorities()))
	for _, der := range c.GetAuthorities() {
		authority, err := x509.ParseCertificate(der)
		if err != nil {
			return fmt.Errorf("%w: an authority that the hub sent: %w", ErrIdentity, err)
		}
		authorities = append(authorities, authority)
	}
	if err := s.take(key, c.GetChain(), authorities); err != nil {
		return err
	}
	text, err := identity.MarshalKey(key)
	if err != nil {
		return err
	}
	entries := map[string][]byte{
		KeyEntry:       text,
		CertEntry:      identity.MarshalCertificates(c.GetChain()...),
		AuthorityEntry: identity.MarshalCertificates(c.GetAuthorities()...),
	}
	maps.Copy(entries, previous)
	if err = s.Identity.Save(ctx, entries); err != nil {
		return fmt.Errorf("keep the identity: %w", err)
	}
	return nil
}

// previous writes the certificate in use, and its key, as the entries of the one before the last.
func (s *Session) previous() map[string][]byte {
	held := s.Credential.Certificate()
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

// renew gets a new certificate for a new key over the running connection, which goes on with the old one. A failure is
// tried again until the old one ends.
func (s *Session) renew(ctx context.Context, conn *grpc.ClientConn) {
	ctx, cancel := context.WithTimeout(ctx, registerTimeout)
	defer cancel()
	key, err := identity.NewKey()
	var csr []byte
	if err == nil {
		csr, err = identity.NewCSR(key)
	}
	var answer *registrationv1.RenewResponse
	if err == nil {
		answer, err = registrationv1.NewRegistrationServiceClient(conn).Renew(ctx, &registrationv1.RenewRequest{Csr: csr})
	}
	if err == nil {
		err = s.keep(ctx, key, answer.GetCertificate(), s.previous())
	}
	if err != nil {
		s.Log.Warn("the certificate is not renewed", telemetry.Err(err), slog.Time("expires", s.Credential.NotAfter()))
		return
	}
	s.Log.Info("certificate renewed", slog.Time("expires", s.Credential.NotAfter()))
}

// untilRenewal is how long to wait before the next look whether the certificate is due. When it is, that is a moment,
// for the last attempt failed.
func (s *Session) untilRenewal() time.Duration {
	now := s.Now()
	if !s.Credential.Due(now) {
		return min(clockLook, s.Credential.RenewAt().Sub(now))
	}
	pause := renewRetry
	if left := s.Credential.NotAfter().Sub(now); left > 0 {
		pause = min(renewRetry, max(left/10, time.Second))
	}
	return pause + time.Duration(s.Jitter()*float64(time.Second))
}

func raw(certificates []*x509.Certificate) [][]byte {
	out := make([][]byte, 0, len(certificates))
	for _, c := range certificates {
		out = append(out, c.Raw)
	}
	return out
}
