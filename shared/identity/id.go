// Package identity is who is who in a fleet: SPIFFE IDs in X.509 certificates, the hub's own authority that issues
// them, and TLS for both ends, whose certificates change without a restart.
//
// An identity is the structured ID in the one URI SAN of a verified certificate. It is compared as a whole, never by a
// prefix, and nothing that a message says replaces it. See
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

// ParseID reads what String writes, of a known role, with a name that is a DNS-1123 subdomain. There is one way to
// write an ID: other case, escapes, ports, queries and trailing slashes or dots are refused.
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

// check holds the parts of an ID to their grammar.
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

// hasOther reports whether s has a character that is no lower-case letter, no digit, and not in extra.
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

// FromCertificate returns the identity that a certificate is for. It must be the only URI SAN. That the certificate is
// valid is for its verifier to say.
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

// trustDomainOf returns the trust domain that an authority's certificate speaks for: spiffe://<trust domain>.
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
