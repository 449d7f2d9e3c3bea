// Package identity is identities.
package identity

import (
	"context"
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"time"
)

var errSkeleton = errors.New("not yet")

// Roles.
const (
	Hub      = "hub"
	Cluster  = "cluster"
	Operator = "operator"
)

// ID is one.
type ID struct{ TrustDomain, Role, Name string }

// String returns the URI.
func (id ID) String() string { return "spiffe://" + id.TrustDomain + "/" + id.Role + "/" + id.Name }

// ParseID reads.
func ParseID(s string) (ID, error) { return ID{}, errSkeleton }

// FromCertificate reads.
func FromCertificate(c *x509.Certificate) (ID, error) { return ID{}, errSkeleton }

// Authority issues.
type Authority struct{}

// LoadOrCreateAuthority loads.
func LoadOrCreateAuthority(dir string) (*Authority, error) { return nil, errSkeleton }

// TrustDomain of it.
func (a *Authority) TrustDomain() string { return "" }

// Certificate of it.
func (a *Authority) Certificate() *x509.Certificate { return nil }

// Pin of it.
func (a *Authority) Pin() string { return "" }

// Issue a certificate.
func (a *Authority) Issue(pub crypto.PublicKey, id ID, ttl time.Duration, dnsNames []string, ips []net.IP) (chainDER [][]byte, err error) {
	return nil, errSkeleton
}

// ParseCSR reads.
func ParseCSR(der []byte) (crypto.PublicKey, error) { return nil, errSkeleton }

// Credential is hot-swappable; the zero value is ready.
type Credential struct{}

// Set swaps.
func (c *Credential) Set(certificate tls.Certificate, authorities []*x509.Certificate) {}

// Certificate of it; nil: none yet.
func (c *Credential) Certificate() *tls.Certificate { return nil }

// Authorities of it.
func (c *Credential) Authorities() []*x509.Certificate { return nil }

// NotAfter of it.
func (c *Credential) NotAfter() time.Time { return time.Time{} }

// RenewAt half-life.
func (c *Credential) RenewAt() time.Time { return time.Time{} }

// NewKey makes one.
func NewKey() (crypto.Signer, error) { return nil, errSkeleton }

// NewCSR makes one.
func NewCSR(key crypto.Signer) ([]byte, error) { return nil, errSkeleton }

// MarshalKey writes PEM (PKCS#8).
func MarshalKey(key crypto.Signer) ([]byte, error) { return nil, errSkeleton }

// ParseKey reads PEM.
func ParseKey(pem []byte) (crypto.Signer, error) { return nil, errSkeleton }

// MarshalCertificates writes PEM from DER.
func MarshalCertificates(der ...[]byte) []byte { return nil }

// ParseCertificates reads PEM.
func ParseCertificates(pem []byte) ([]*x509.Certificate, error) { return nil, errSkeleton }

// ServerTLS for the hub.
func ServerTLS(c *Credential) *tls.Config { return nil }

// ClientTLS for spokes and operators.
func ClientTLS(c *Credential, hub ID) *tls.Config { return nil }

// PinnedClientTLS for Register.
func PinnedClientTLS(pin string) *tls.Config { return nil }

// PeerID from grpc.
func PeerID(ctx context.Context) (ID, error) { return ID{}, errSkeleton }
