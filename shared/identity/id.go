// Package identity issues and verifies the identities of hubs, spokes and operators: SPIFFE IDs in X.509 certificates,
// the hub's own authority, and the TLS configurations of both ends, whose certificates change without a restart.
//
// An identity is the ID in the only URI SAN of a verified certificate. IDs are compared as a whole, never by a prefix.
// No field of a message replaces an identity. See
// https://github.com/spiffe/spiffe/blob/main/standards/SPIFFE-ID.md.
package identity

import (
	"crypto/x509"
	"errors"
	"fmt"
	"strings"
)

// The roles of an identity.
const (
	Hub      = "hub"      // may serve
	Cluster  = "cluster"  // a spoke, the agent of the cluster that the name names
	Operator = "operator" // a person or a program that administers the hub
)

// Limits of the parts of an ID, from the SPIFFE and DNS specifications.
const (
	maxTrustDomain = 255
	maxName        = 253
	maxLabel       = 63
)

// ID is spiffe://TrustDomain/Role/Name. IDs are compared with ==.
type ID struct{ TrustDomain, Role, Name string }

const scheme = "spiffe://"

// String returns the SPIFFE ID.
func (id ID) String() string { return scheme + id.TrustDomain + "/" + id.Role + "/" + id.Name }

// NameOf returns the name in the text of an ID, for messages. If the text is no ID, NameOf returns the text.
func NameOf(text string) string {
	if id, err := ParseID(text); err == nil {
		return id.Name
	}
	return text
}

// ParseID returns the ID that a SPIFFE ID names. The role must be known, and the name a DNS-1123 subdomain. Each ID has
// one spelling: upper case, escapes, ports, queries and trailing slashes or dots are errors.
func ParseID(s string) (ID, error) {
	rest, ok := strings.CutPrefix(s, scheme)
	parts := strings.Split(rest, "/")
	if !ok || len(parts) != 3 {
		return ID{}, fmt.Errorf("identity %q: want spiffe://<trust domain>/<role>/<name>", s)
	}
	id := ID{TrustDomain: parts[0], Role: parts[1], Name: parts[2]}
	if err := id.check(); err != nil {
		return ID{}, fmt.Errorf("identity %q: %w", s, err)
	}
	return id, nil
}

// check returns an error unless all parts of the ID follow their grammar.
func (id ID) check() error {
	switch {
	case !validTrustDomain(id.TrustDomain):
		return errors.New("the trust domain has other characters than a-z 0-9 . - _, or is too long")
	case id.Role != Hub && id.Role != Cluster && id.Role != Operator:
		return fmt.Errorf("role %q is not known", id.Role)
	case !validName(id.Name):
		return errors.New("the name is not a DNS-1123 subdomain (a-z 0-9 - . in labels of at most 63)")
	}
	return nil
}

func validTrustDomain(s string) bool {
	return s != "" && len(s) <= maxTrustDomain && !hasOther(s, "._-")
}

// hasOther reports whether s has a character other than lower-case letters, digits and those of extra.
func hasOther(s, extra string) bool {
	return strings.ContainsFunc(s, func(c rune) bool {
		return (c < 'a' || c > 'z') && (c < '0' || c > '9') && !strings.ContainsRune(extra, c)
	})
}

// validName reports whether s is a DNS-1123 subdomain, the grammar of names in Kubernetes.
func validName(s string) bool {
	if len(s) > maxName {
		return false
	}
	for label := range strings.SplitSeq(s, ".") {
		if label == "" || len(label) > maxLabel || hasOther(label, "-") || label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
	}
	return true
}

// FromCertificate returns the identity in the only URI SAN of a certificate. FromCertificate does not verify the
// certificate.
func FromCertificate(certificate *x509.Certificate) (ID, error) {
	if certificate == nil {
		return ID{}, errors.New("no certificate")
	}
	if certificate.IsCA {
		return ID{}, errors.New("the certificate of an authority is no identity")
	}
	if len(certificate.URIs) != 1 {
		return ID{}, fmt.Errorf("certificate with %d URI names: an identity has exactly 1", len(certificate.URIs))
	}
	return ParseID(certificate.URIs[0].String())
}

// trustDomainOf returns the trust domain of an authority: the only URI SAN of its certificate is spiffe://<trust
// domain>.
func trustDomainOf(authority *x509.Certificate) (string, error) {
	if len(authority.URIs) != 1 {
		return "", fmt.Errorf("authority with %d URI names: want exactly 1, its trust domain", len(authority.URIs))
	}
	s := authority.URIs[0].String()
	domain, ok := strings.CutPrefix(s, scheme)
	if !ok || !validTrustDomain(domain) {
		return "", fmt.Errorf("authority %q: want spiffe://<trust domain>", s)
	}
	return domain, nil
}
