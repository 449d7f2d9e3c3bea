package identity

import (
	"bytes"
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
	"math/big"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"github.com/navefleet/nave/shared/durable"
)

const (
	authorityLife = 10 * 365 * 24 * time.Hour
	maxBackdate   = 5 * time.Minute // clocks of two machines may differ by so much
)

// earliest is before anybody ran Nave. Authorities hold from then on, so that one that a clock made that was ahead
// holds when the clock is right.
var earliest = time.Date(2025, time.January, 1, 0, 0, 0, 0, time.UTC)

// Authority issues the certificates of one trust domain. It is safe for concurrent use.
type Authority struct {
	Now func() time.Time // nil: time.Now; set it before Issue is called

	trustDomain string
	certificate *x509.Certificate
	key         crypto.Signer
}

// LoadOrCreateAuthority returns the authority that a folder keeps in ca.key and ca.crt (both mode 0600, the folder
// 0700). An empty folder gets a new one: an ECDSA P-256 key and a trust domain of its own, "nave-" and 16 hexadecimal
// digits. The key is written first, so that a crash in between leaves a key that the next start makes a certificate
// for. A certificate without its key is an error: issuing from another key would cut off every spoke.
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

// loadAuthority checks that a key and a certificate are an authority's and belong together.
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
	if !equalKeys(certificate.PublicKey, key.Public()) {
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
	if _, err := rand.Read(random); err != nil {
		return nil, err
	}
	domain := "nave-" + hex.EncodeToString(random)
	serial, err := newSerial()
	if err != nil {
		return nil, err
	}
	begin, end := authorityTimes(time.Now())
	template := &x509.Certificate{
		SerialNumber:          serial,
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

// authorityTimes returns from when to when an authority holds that is made now, whatever time that is: ten years, and
// from earliest on, at least.
func authorityTimes(now time.Time) (begin, end time.Time) {
	if now.Before(earliest) { // a machine without a clock, until it has asked for the time
		return now.Add(-time.Hour), earliest.Add(authorityLife)
	}
	return earliest, now.Add(authorityLife)
}

// TrustDomain returns the trust domain that the authority speaks for.
func (a *Authority) TrustDomain() string { return a.trustDomain }

// Certificate returns the authority's certificate.
func (a *Authority) Certificate() *x509.Certificate { return a.certificate }

// Pin returns the PinOf the authority's certificate, for join manifests.
func (a *Authority) Pin() string { return PinOf(a.certificate) }

// PinOf returns "sha256:" and the SHA-256 of a certificate's public key (SubjectPublicKeyInfo), as kubeadm pins one.
func PinOf(certificate *x509.Certificate) string {
	sum := sha256.Sum256(certificate.RawSubjectPublicKeyInfo)
	return "sha256:" + hex.EncodeToString(sum[:])
}

// Issue returns a certificate for a public key and the authority's own after it, both DER. It holds from now for ttl,
// or to the authority's end, to the second; it begins a little earlier (a tenth of ttl, at most five minutes) for
// clocks that are late. IssuedAt tells from the certificate when that was. Names and addresses are for hubs only, which
// alone may serve. If the authority itself does not hold now, the error wraps ErrTime.
func (a *Authority) Issue(pub crypto.PublicKey, id ID, ttl time.Duration, dnsNames []string,
	ips []net.IP) (chainDER [][]byte, err error) {
	return a.issue(pub, id, ttl, &x509.Certificate{DNSNames: dnsNames, IPAddresses: ips})
}

// IssueRegistered is Issue for a cluster's spoke, with the registration that the certificate is of; see Caller.
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
	if template.SerialNumber, err = newSerial(); err != nil {
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

// backdate is how much earlier a certificate begins than it was issued: a part of its life, in whole seconds.
func backdate(life time.Duration, part int) time.Duration {
	return min(maxBackdate, (life / time.Duration(part)).Truncate(time.Second))
}

// IssuedAt returns when Issue made a certificate, to the second. The time that it begins earlier than that follows from
// how long it holds. (For one that holds less than an hour because its authority ends, the answer is some minutes
// early.)
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
		return fmt.Errorf("this authority speaks for %s", a.trustDomain)
	case ttl <= 0:
		return fmt.Errorf("a life of %s", ttl)
	case names > 0 && id.Role != Hub:
		return errors.New("only a hub has host names")
	}
	return checkKey(pub)
}

// usages are what a certificate of a role is good for: only a hub may serve, so that a spoke cannot pose as one.
func usages(role string) []x509.ExtKeyUsage {
	if role == Hub {
		return []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}
	}
	return []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
}

// checkKey refuses keys of types or sizes that Nave does not make.
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

func newSerial() (*big.Int, error) {
	return rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
}

// equalKeys compares two public keys by their encoding.
func equalKeys(a, b crypto.PublicKey) bool {
	derA, errA := x509.MarshalPKIXPublicKey(a)
	derB, errB := x509.MarshalPKIXPublicKey(b)
	return errA == nil && errB == nil && bytes.Equal(derA, derB)
}
