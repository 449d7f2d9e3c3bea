package identity

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"sync/atomic"
	"time"
)

// ErrNone means that there is no identity to show, and that only an operator can help to get one.
var ErrNone = errors.New("no identity")

// Credential is the certificate that one end of a connection shows, and the authorities that it trusts. Set replaces
// both at once; connections that are made afterwards use the new ones. The zero Credential shows and trusts nothing. A
// Credential is safe for concurrent use and must not be copied.
type Credential struct{ now atomic.Pointer[credential] }

// credential never changes.
type credential struct {
	certificate *tls.Certificate // nil: none
	roots       *x509.CertPool
}

// Set replaces the certificate (with its private key and chain; see Pair) and the authorities that vouch for the other
// end. If the certificate has no DER, the Credential shows none.
func (c *Credential) Set(certificate tls.Certificate, authorities []*x509.Certificate) {
	next := &credential{roots: x509.NewCertPool()}
	for _, authority := range authorities {
		next.roots.AddCert(authority)
	}
	if len(certificate.Certificate) > 0 {
		if certificate.Leaf == nil {
			// An error leaves the leaf out; a handshake with it then fails and says why.
			certificate.Leaf, _ = x509.ParseCertificate(certificate.Certificate[0])
		}
		next.certificate = &certificate
	}
	c.now.Store(next)
}

func (c *Credential) load() *credential {
	if current := c.now.Load(); current != nil {
		return current
	}
	return &credential{roots: x509.NewCertPool()}
}

// Certificate returns the certificate to show, or nil if there is none. The caller must not change it.
func (c *Credential) Certificate() *tls.Certificate { return c.load().certificate }

// leaf returns the parsed certificate, or nil if there is none.
func (c *Credential) leaf() *x509.Certificate {
	if certificate := c.Certificate(); certificate != nil {
		return certificate.Leaf
	}
	return nil
}

// NotAfter returns the end of the certificate; zero if there is none.
func (c *Credential) NotAfter() time.Time {
	if leaf := c.leaf(); leaf != nil {
		return leaf.NotAfter
	}
	return time.Time{}
}

// Check returns an error unless there is a certificate that is valid at a time. If there is another one, the error
// wraps ErrTime.
func (c *Credential) Check(now time.Time) error {
	leaf := c.leaf()
	if leaf == nil {
		return errors.New("there is no certificate")
	}
	return CheckTime(leaf, now)
}

// Due reports whether to replace the certificate at a time: at RenewAt and later, and if there is no certificate or one
// that has not begun because the clock of its issuer was ahead.
func (c *Credential) Due(now time.Time) bool {
	leaf := c.leaf()
	return leaf == nil || now.Before(leaf.NotBefore) || !now.Before(c.RenewAt())
}

// RenewAt returns the time to renew the certificate, which is half of its life; zero, a time in the past, if there is
// none.
func (c *Credential) RenewAt() time.Time {
	if leaf := c.leaf(); leaf != nil {
		return leaf.NotBefore.Add(leaf.NotAfter.Sub(leaf.NotBefore) / 2)
	}
	return time.Time{}
}
