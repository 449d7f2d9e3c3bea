package membership

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"google.golang.org/grpc"

	"github.com/navefleet/nave/shared/identity"
	"github.com/navefleet/nave/shared/telemetry"
)

// The entries of an identity, as Kubernetes names them in TLS Secrets.
const (
	keyEntry       = "tls.key" // the private key, PKCS#8 PEM
	certEntry      = "tls.crt" // the chain, leaf first, PEM
	authorityEntry = "ca.crt"  // the hub's authorities, PEM

	// The key of a registration that the hub has not answered yet, while another identity is in use.
	nextKeyEntry = "next.key"

	// The key and chain before the last renewal. They are used if the renewal was made while a clock was ahead.
	previousKeyEntry  = "previous.key"
	previousCertEntry = "previous.crt"
)

// Keeper stores the identity of a spoke for the next Pod. If nothing is stored yet, Load returns no entries and no
// error.
type Keeper interface {
	Load(ctx context.Context) (map[string][]byte, error)
	Save(ctx context.Context, entries map[string][]byte) error
}

// IdentityConfig has the settings and dependencies of an Identity.
type IdentityConfig struct {
	Hub       string // host:port, for messages
	Cluster   identity.ID
	Replaces  string                 // the cluster that this one takes the place of
	JoinToken func() (string, error) // read when it is needed; "": none
	CAPin     string                 // of the hub's authority, for registration
	Keeper    Keeper
	Log       *slog.Logger     // nil: slog.Default
	Now       func() time.Time // the clock that certificates are checked with, which may be set; nil: time.Now
	Jitter    func() float64   // in [0,1)
}

// Identity gets the certificate that a spoke shows to its hub, stores it for the next Pod, and renews it. The first
// certificate costs a join token. One goroutine may call Establish and NewToken, another one Renew.
type Identity struct {
	IdentityConfig
	credential identity.Credential
	shown      string // the join token that the hub answered last
}

// NewIdentity returns an Identity without a certificate; see Establish.
func NewIdentity(c IdentityConfig) *Identity {
	c.Log = cmp.Or(c.Log, slog.Default())
	if c.Now == nil {
		c.Now = time.Now
	}
	return &Identity{IdentityConfig: c}
}

// Credential returns the credential that Establish and Renew fill.
func (i *Identity) Credential() *identity.Credential { return &i.credential }

// Establish makes sure that the credential has a certificate that is valid now: the one in use, the stored one, or a
// new one. refused means that the hub refused the one in use the last time. If only an operator can help, the error
// wraps identity.ErrNone.
func (i *Identity) Establish(ctx context.Context, dial func(*tls.Config) (*grpc.ClientConn, error),
	refused bool) error {
	if i.credential.Check(i.Now()) == nil {
		if refused {
			i.rejoin(ctx, dial)
		}
		return nil
	}
	entries, err := i.Keeper.Load(ctx)
	if err != nil {
		return fmt.Errorf("load the identity: %w", err)
	}
	if kept, ok := keptID(entries); ok {
		if err := confuses(kept, i.Cluster, i.Replaces); err != nil {
			return err
		}
	}
	unusable := i.use(entries)
	if unusable == nil {
		return nil
	}
	if len(entries[certEntry]) == 0 {
		return i.register(ctx, dial, entries, keyEntry)
	}
	i.Log.Warn("the stored identity cannot be used, registering again", telemetry.Err(unusable))
	entry := keyEntry
	if len(entries[nextKeyEntry]) > 0 {
		entry = nextKeyEntry // the hub may have seen the token with this key, and takes it with no other one
	}
	if err := i.register(ctx, dial, entries, entry); err != nil {
		return fmt.Errorf("the stored identity: %w; a new registration: %w", unusable, err)
	}
	return nil
}

// keptID returns the ID in the certificate of entries, even if the certificate has expired. It returns false if entries
// have no certificate.
func keptID(entries map[string][]byte) (identity.ID, bool) {
	chain, err := identity.ParseCertificates(entries[certEntry])
	if err != nil {
		return identity.ID{}, false
	}
	id, err := identity.FromCertificate(chain[0])
	return id, err == nil && id.Role == identity.Cluster
}

// use sets the credential to the last certificate of entries, or to the one before, if it is this cluster's and valid
// now.
func (i *Identity) use(entries map[string][]byte) error {
	err := i.adopt(entries[keyEntry], entries[certEntry], entries[authorityEntry])
	if errors.Is(err, identity.ErrTime) &&
		i.adopt(entries[previousKeyEntry], entries[previousCertEntry], entries[authorityEntry]) == nil {
		i.Log.Warn("the last certificate cannot be used, using the one before", telemetry.Err(err))
		return nil
	}
	return err
}

// adopt sets the credential to a key, its chain and the hub's authorities, all of them PEM.
func (i *Identity) adopt(key, chain, authorities []byte) error {
	pair, err := tls.X509KeyPair(chain, key)
	if err != nil {
		return err
	}
	id, err := identity.FromCertificate(pair.Leaf)
	if err != nil {
		return err
	}
	if id != i.Cluster {
		return fmt.Errorf("%w: the certificate is %s, want %s", identity.ErrNone, id, i.Cluster)
	}
	if err := identity.CheckTime(pair.Leaf, i.Now()); err != nil {
		return fmt.Errorf("%w: a clock is wrong, or was when the certificate was issued", err)
	}
	trusted, err := identity.ParseCertificates(authorities)
	if err != nil {
		return fmt.Errorf("%w: the authorities of the hub: %w", identity.ErrNone, err)
	}
	i.credential.Set(pair, trusted)
	return nil
}
