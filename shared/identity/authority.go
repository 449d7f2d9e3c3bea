package identity

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"github.com/navefleet/nave/shared/durable"
)

const (
	authorityLife = 10 * 365 * 24 * time.Hour
	maxBackdate   = 5 * time.Minute // the clocks of two machines may differ by this much
)

// earliest is a time before anybody ran Nave. Authorities are valid from then on: if the clock of the hub was ahead
// when the authority was made, the authority is still valid after the clock was corrected.
var earliest = time.Date(2025, time.January, 1, 0, 0, 0, 0, time.UTC)

// Authority issues the certificates of one trust domain. An Authority is safe for concurrent use.
type Authority struct {
	Now func() time.Time // nil: time.Now; set it before Issue is called

	trustDomain string
	certificate *x509.Certificate
	key         crypto.Signer
}

// LoadOrCreateAuthority returns the authority that a folder keeps in ca.key and ca.crt (both mode 0600, the folder
// 0700). If the folder is empty, LoadOrCreateAuthority makes a new authority: an ECDSA P-256 key and the trust domain
// "nave-" with 16 random hexadecimal digits. The key is written first; if a crash leaves the key alone, the next start
// makes a certificate for the key. A certificate without its key is an error: issuing from another key would cut off
// every spoke.
func LoadOrCreateAuthority(dir string) (*Authority, error) {
	a, err := loadOrCreate(filepath.Join(dir, "ca.key"), filepath.Join(dir, "ca.crt"))
	if err != nil {
		return nil, fmt.Errorf("load the authority in %s: %w", dir, err)
	}
	return a, nil
}

func loadOrCreate(keyFile, certificateFile string) (*Authority, error) {
	certificate, err := os.ReadFile(certificateFile)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	hasCertificate := err == nil
	key, err := os.ReadFile(keyFile)
	switch {
	case err == nil && hasCertificate:
		return loadAuthority(key, certificate)
	case err == nil:
		signer, err := ParseKey(key)
		if err != nil {
			return nil, err
		}
		return certify(signer, certificateFile)
	case !errors.Is(err, fs.ErrNotExist):
		return nil, err
	case hasCertificate:
		return nil, errors.New("ca.crt is there and ca.key is not: restore the key from a backup, or remove ca.crt to " +
			"begin anew (every spoke must then join again)")
	}
	signer, err := writeNewKey(keyFile)
	if err != nil {
		return nil, err
	}
	return certify(signer, certificateFile)
}

func writeNewKey(path string) (crypto.Signer, error) {
	key, err := NewKey()
	if err != nil {
		return nil, err
	}
	text, err := MarshalKey(key)
	if err != nil {
		return nil, err
	}
	return key, durable.WriteFile(path, text, 0o600)
}

// loadAuthority returns the authority of a key and a certificate. If the certificate is not an authority's, or not of
// the key, loadAuthority returns an error.
func loadAuthority(keyText, certificateText []byte) (*Authority, error) {
	key, err := ParseKey(keyText)
	if err != nil {
		return nil, err
	}
	certificates, err := ParseCertificates(certificateText)
	if err != nil {
		return nil, err
	}
	certificate := certificates[0]
	if len(certificates) != 1 || !certificate.IsCA {
		return nil, errors.New("ca.crt: want one certificate, of an authority")
	}
	if !isKeyOf(key, certificate) {
		return nil, errors.New("ca.crt is not the certificate of ca.key: restore both from the same backup")
	}
	domain, err := trustDomainOf(certificate)
	if err != nil {
		return nil, err
	}
	return &Authority{trustDomain: domain, certificate: certificate, key: key}, nil
}

// certify makes and writes the certificate of an authority's key, with a new trust domain.
func certify(key crypto.Signer, certificateFile string) (*Authority, error) {
	random := make([]byte, 8)
	_, _ = rand.Read(random) // never fails
	domain := "nave-" + hex.EncodeToString(random)
	begin, end := authorityTimes(time.Now())
	template := &x509.Certificate{
		Subject:               pkix.Name{CommonName: "Nave authority " + domain},
		URIs:                  []*url.URL{{Scheme: "spiffe", Host: domain}},
		NotBefore:             begin,
		NotAfter:              end,
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		BasicConstraintsValid: true,
		IsCA:                  true,
		MaxPathLenZero:        true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, err
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	if err := durable.WriteFile(certificateFile, MarshalCertificates(der), 0o600); err != nil {
		return nil, err
	}
	return &Authority{trustDomain: domain, certificate: certificate, key: key}, nil
}

// authorityTimes returns the period in which an authority that is made now is valid: from earliest, or earlier, to ten
// years from now, or later.
func authorityTimes(now time.Time) (begin, end time.Time) {
	if now.Before(earliest) { // a machine without a clock that has not asked for the time yet
		return now.Add(-time.Hour), earliest.Add(authorityLife)
	}
	return earliest, now.Add(authorityLife)
}

// TrustDomain returns the trust domain that the authority speaks for.
func (a *Authority) TrustDomain() string { return a.trustDomain }

// Certificate returns the certificate of the authority.
func (a *Authority) Certificate() *x509.Certificate { return a.certificate }

// Pin returns the PinOf the authority's certificate, for join manifests.
func (a *Authority) Pin() string { return PinOf(a.certificate) }

// PinOf returns "sha256:" and the hexadecimal SHA-256 of a certificate's public key (SubjectPublicKeyInfo), the format
// of kubeadm.
func PinOf(certificate *x509.Certificate) string {
	sum := sha256.Sum256(certificate.RawSubjectPublicKeyInfo)
	return "sha256:" + hex.EncodeToString(sum[:])
}

// Issue returns a certificate for a public key, followed by the authority's certificate, both DER. The certificate is
// valid until ttl from now or until the authority ends, in whole seconds. It begins before now, by a tenth of ttl and
// at most five minutes, for clocks that are late; IssuedAt returns now from the certificate. Only a hub may have names
// and addresses, because only a hub serves. If the authority is not valid now, the error wraps ErrTime.
func (a *Authority) Issue(pub crypto.PublicKey, id ID, ttl time.Duration, dnsNames []string,
	ips []net.IP) (chainDER [][]byte, err error) {
	return a.issue(pub, id, ttl, &x509.Certificate{DNSNames: dnsNames, IPAddresses: ips})
}

// IssueRegistered is Issue for the spoke of a cluster, or for an operator that the hub keeps. The certificate holds the
// registration; see Caller.
func (a *Authority) IssueRegistered(pub crypto.PublicKey, id ID, ttl time.Duration,
	registration string) (chainDER [][]byte, err error) {
	return a.issue(pub, id, ttl, &x509.Certificate{Subject: pkix.Name{SerialNumber: registration}})
}

// issue completes and signs a certificate.
func (a *Authority) issue(pub crypto.PublicKey, id ID, ttl time.Duration,
	template *x509.Certificate) (chainDER [][]byte, err error) {
	now := a.now().Truncate(time.Second) // as certificates count time
	if err := a.checkIssue(pub, id, ttl, len(template.DNSNames)+len(template.IPAddresses), now); err != nil {
		return nil, fmt.Errorf("issue a certificate for %s: %w", id, err)
	}
	end := now.Add(ttl)
	if end.After(a.certificate.NotAfter) {
		end = a.certificate.NotAfter
	}
	template.URIs = []*url.URL{{Scheme: "spiffe", Host: id.TrustDomain, Path: "/" + id.Role + "/" + id.Name}}
	template.NotBefore, template.NotAfter = now.Add(-backdate(ttl.Truncate(time.Second), 10)), end
	template.KeyUsage, template.ExtKeyUsage, template.BasicConstraintsValid = x509.KeyUsageDigitalSignature,
		usages(id.Role), true
	der, err := x509.CreateCertificate(rand.Reader, template, a.certificate, pub, a.key)
	if err != nil {
		return nil, fmt.Errorf("issue a certificate for %s: %w", id, err)
	}
	return [][]byte{der, a.certificate.Raw}, nil
}

func (a *Authority) now() time.Time {
	if a.Now != nil {
		return a.Now()
	}
	return time.Now()
}

// backdate returns how long before its issue a certificate begins: a part of its life, in whole seconds.
func backdate(life time.Duration, part int) time.Duration {
	return min(maxBackdate, (life / time.Duration(part)).Truncate(time.Second))
}

// IssuedAt returns the second in which Issue made a certificate, computed from the certificate's begin and end. If the
// certificate is valid for less than an hour because its authority ends, the result is some minutes early.
func IssuedAt(c *x509.Certificate) time.Time {
	return c.NotBefore.Add(backdate(c.NotAfter.Sub(c.NotBefore), 11)).UTC()
}

func (a *Authority) checkIssue(pub crypto.PublicKey, id ID, ttl time.Duration, names int, now time.Time) error {
	if err := id.check(); err != nil {
		return err
	}
	if err := CheckTime(a.certificate, now); err != nil {
		return fmt.Errorf("the authority: %w: set the clock of this machine right", err)
	}
	switch {
	case id.TrustDomain != a.trustDomain:
		return fmt.Errorf("the authority is of the trust domain %s", a.trustDomain)
	case ttl <= 0:
		return fmt.Errorf("a certificate cannot be valid for %s: want more than 0", ttl)
	case names > 0 && id.Role != Hub:
		return errors.New("only a hub has host names")
	}
	return checkKey(pub)
}

// usages returns the extended key usages of a role. Only a hub may serve, so that a spoke cannot pose as a hub.
func usages(role string) []x509.ExtKeyUsage {
	if role == Hub {
		return []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}
	}
	return []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
}

// checkKey returns an error unless the key is ECDSA P-256 or P-384, or Ed25519.
func checkKey(pub crypto.PublicKey) error {
	switch key := pub.(type) {
	case ed25519.PublicKey:
		if len(key) == ed25519.PublicKeySize {
			return nil
		}
	case *ecdsa.PublicKey:
		if key != nil && (key.Curve == elliptic.P256() || key.Curve == elliptic.P384()) {
			return nil
		}
	}
	return fmt.Errorf("a key of type %T or its size is not accepted: use ECDSA P-256, P-384 or Ed25519", pub)
}

// isKeyOf reports whether a certificate is for a private key.
func isKeyOf(key crypto.Signer, certificate *x509.Certificate) bool {
	public, ok := key.Public().(interface{ Equal(crypto.PublicKey) bool })
	return ok && public.Equal(certificate.PublicKey)
}
