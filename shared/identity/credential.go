package identity

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"slices"
	"sync/atomic"
	"time"
)

// ErrNone says that there is no identity to show, and that only an operator can help to get one.
var ErrNone = errors.New("no identity")

// Credential is what one end of a connection shows and whom it trusts. Set replaces both at once; connections made
// afterwards use them. The zero value shows and trusts nothing. It is safe for concurrent use and must not be copied.
type Credential struct{ now atomic.Pointer[credential] }

// credential never changes.
type credential struct {
	certificate *tls.Certificate // nil: none
	authorities []*x509.Certificate
	roots       *x509.CertPool
}

// Set replaces the certificate (with its private key and chain; see Pair) and the authorities that vouch for the other
// end. A certificate without any DER counts as none.
func (c *Credential) Set(certificate tls.Certificate, authorities []*x509.Certificate) {
	next := &credential{authorities: slices.Clone(authorities), roots: x509.NewCertPool()}
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

// Certificate returns the certificate to show; nil: none. It must not be changed.
func (c *Credential) Certificate() *tls.Certificate { return c.load().certificate }

// Authorities returns the authorities that are trusted. The slice must not be changed.
func (c *Credential) Authorities() []*x509.Certificate { return c.load().authorities }

// leaf returns the certificate itself; nil: none.
func (c *Credential) leaf() *x509.Certificate {
	if certificate := c.Certificate(); certificate != nil {
		return certificate.Leaf
	}
	return nil
}

// NotAfter returns when the certificate ends; zero: there is none.
func (c *Credential) NotAfter() time.Time {
	if leaf := c.leaf(); leaf != nil {
		return leaf.NotAfter
	}
	return time.Time{}
}

// Check returns nil if there is a certificate that holds at a time, and else an error, which wraps ErrTime if there is
// one.
func (c *Credential) Check(now time.Time) error {
	leaf := c.leaf()
	if leaf == nil {
		return errors.New("there is no certificate")
	}
	return CheckTime(leaf, now)
}

// Due reports whether the certificate should be replaced at a time: it is RenewAt or later, or there is no certificate,
// or one that has not begun, which a clock issued that was ahead.
func (c *Credential) Due(now time.Time) bool {
	leaf := c.leaf()
	return leaf == nil || now.Before(leaf.NotBefore) || !now.Before(c.RenewAt())
}

// RenewAt returns when to renew the certificate: after half of its life. Zero, and so in the past: there is none.
func (c *Credential) RenewAt() time.Time {
	if leaf := c.leaf(); leaf != nil {
		return leaf.NotBefore.Add(leaf.NotAfter.Sub(leaf.NotBefore) / 2)
	}
	return time.Time{}
}
