package identity

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"testing"
	"time"
)

func newAuthority(t testing.TB) *Authority {
	t.Helper()
	a, err := LoadOrCreateAuthority(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func newKey(t testing.TB) crypto.Signer {
	t.Helper()
	key, err := NewKey()
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func TestAuthorityKept(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "authority")
	first, err := LoadOrCreateAuthority(dir)
	if err != nil {
		t.Fatal(err)
	}
	second, err := LoadOrCreateAuthority(dir)
	if err != nil {
		t.Fatal(err)
	}
	if !first.Certificate().Equal(second.Certificate()) || first.Pin() != second.Pin() ||
		first.TrustDomain() != second.TrustDomain() {
		t.Error("the second start has another authority")
	}
	if !regexp.MustCompile(`^nave-[0-9a-f]{16}$`).MatchString(first.TrustDomain()) {
		t.Errorf("trust domain %q", first.TrustDomain())
	}
	if !regexp.MustCompile(`^sha256:[0-9a-f]{64}$`).MatchString(first.Pin()) {
		t.Errorf("pin %q", first.Pin())
	}
	for name, want := range map[string]os.FileMode{"ca.key": 0o600, "ca.crt": 0o600, ".": 0o700} {
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if got := info.Mode().Perm(); got != want {
			t.Errorf("%s has mode %o, want %o", name, got, want)
		}
	}
	if other := newAuthority(t); other.TrustDomain() == first.TrustDomain() || other.Pin() == first.Pin() {
		t.Error("two authorities are the same")
	}
}

func TestAuthorityAfterCrash(t *testing.T) {
	dir := t.TempDir()
	key, err := writeNewKey(filepath.Join(dir, "ca.key")) // and then the power fails
	if err != nil {
		t.Fatal(err)
	}
	a, err := LoadOrCreateAuthority(dir)
	if err != nil {
		t.Fatal(err)
	}
	if !isKeyOf(key, a.Certificate()) {
		t.Error("the key that was there is not used")
	}
}

func TestAuthorityIncomplete(t *testing.T) {
	read := func(dir, name string) []byte {
		content, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		return content
	}
	other := t.TempDir()
	if _, err := LoadOrCreateAuthority(other); err != nil {
		t.Fatal(err)
	}
	for name, spoil := range map[string]func(dir string) error{
		"no_key": func(dir string) error { return os.Remove(filepath.Join(dir, "ca.key")) },
		"another_key": func(dir string) error {
			return os.WriteFile(filepath.Join(dir, "ca.key"), read(other, "ca.key"), 0o600)
		},
		"empty_key":       func(dir string) error { return os.WriteFile(filepath.Join(dir, "ca.key"), nil, 0o600) },
		"empty_authority": func(dir string) error { return os.WriteFile(filepath.Join(dir, "ca.crt"), nil, 0o600) },
		"key_as_authority": func(dir string) error {
			return os.WriteFile(filepath.Join(dir, "ca.crt"), read(dir, "ca.key"),
				0o600)
		},
		"key_dir": func(dir string) error { return replaceByFolder(filepath.Join(dir, "ca.key")) },
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			if _, err := LoadOrCreateAuthority(dir); err != nil {
				t.Fatal(err)
			}
			if err := spoil(dir); err != nil {
				t.Fatal(err)
			}
			before := read(dir, "ca.crt")
			if a, err := LoadOrCreateAuthority(dir); err == nil {
				t.Errorf("%v", a.TrustDomain())
			}
			if !slices.Equal(before, read(dir, "ca.crt")) {
				t.Error("ca.crt was replaced")
			}
		})
	}
}

func replaceByFolder(path string) error {
	if err := os.Remove(path); err != nil {
		return err
	}
	return os.Mkdir(path, 0o700)
}

func TestIssue(t *testing.T) {
	a := newAuthority(t)
	for _, c := range []struct {
		id    ID
		names []string
		ips   []net.IP
		uses  []x509.ExtKeyUsage
	}{
		{ID{a.TrustDomain(), Hub, "hub"}, []string{"hub.example.com"}, []net.IP{net.IPv4(127, 0, 0, 1)},
			[]x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}},
		{ID{a.TrustDomain(), Cluster, "prod-eu-1"}, nil, nil, []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}},
		{ID{a.TrustDomain(), Operator, "admin"}, nil, nil, []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}},
	} {
		chain, err := a.Issue(newKey(t).Public(), c.id, time.Hour, c.names, c.ips)
		if err != nil {
			t.Fatal(err)
		}
		leaf, err := x509.ParseCertificate(chain[0])
		if err != nil {
			t.Fatal(err)
		}
		if id, err := FromCertificate(leaf); err != nil || id != c.id {
			t.Errorf("%s became %s, %v", c.id, id, err)
		}
		if !slices.Equal(leaf.ExtKeyUsage, c.uses) || leaf.IsCA || leaf.KeyUsage != x509.KeyUsageDigitalSignature {
			t.Errorf("%s may be used for %v, %v", c.id, leaf.ExtKeyUsage, leaf.KeyUsage)
		}
		if !slices.Equal(leaf.DNSNames, c.names) || len(leaf.IPAddresses) != len(c.ips) {
			t.Errorf("%s has the names %v, %v", c.id, leaf.DNSNames, leaf.IPAddresses)
		}
		if len(chain) != 2 || !slices.Equal(chain[1], a.Certificate().Raw) {
			t.Errorf("%s: the chain does not end with the authority", c.id)
		}
		if left := time.Until(leaf.NotAfter); left > time.Hour || left < 59*time.Minute {
			t.Errorf("%s: %s left of an hour", c.id, left)
		}
	}
}

func TestIssueEnds(t *testing.T) {
	a := newAuthority(t)
	chain, err := a.Issue(newKey(t).Public(), ID{a.TrustDomain(), Cluster, "a"}, 20*authorityLife, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(chain[0])
	if err != nil || !leaf.NotAfter.Equal(a.Certificate().NotAfter) {
		t.Errorf("ends at %v, %v", leaf.NotAfter, err)
	}
}

func TestIssueRefuses(t *testing.T) {
	a := newAuthority(t)
	good := ID{a.TrustDomain(), Cluster, "a"}
	weak, err := ecdsa.GenerateKey(elliptic.P224(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		key   crypto.PublicKey
		id    ID
		ttl   time.Duration
		names []string
	}{
		"another_trust_domain": {newKey(t).Public(), ID{"example.com", Cluster, "a"}, time.Hour, nil},
		"unknown_role":         {newKey(t).Public(), ID{a.TrustDomain(), "root", "a"}, time.Hour, nil},
		"name_with_path":       {newKey(t).Public(), ID{a.TrustDomain(), Cluster, "a/b"}, time.Hour, nil},
		"no_name":              {newKey(t).Public(), ID{a.TrustDomain(), Cluster, ""}, time.Hour, nil},
		"no_life":              {newKey(t).Public(), good, 0, nil},
		"host_name":            {newKey(t).Public(), good, time.Hour, []string{"hub"}},
		"no_key":               {nil, good, time.Hour, nil},
		"weak_key":             {weak.Public(), good, time.Hour, nil},
		"private_key":          {newKey(t), good, time.Hour, nil},
		"short_ed25519_key":    {ed25519.PublicKey("short"), good, time.Hour, nil},
		"nil_key":              {(*ecdsa.PublicKey)(nil), good, time.Hour, nil},
	} {
		if chain, err := a.Issue(c.key, c.id, c.ttl, c.names, nil); err == nil || chain != nil {
			t.Errorf("%s: issued, %v", name, err)
		}
	}
}

func TestCSR(t *testing.T) {
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range []crypto.Signer{newKey(t), ed, p384} {
		der, err := NewCSR(key)
		if err != nil {
			t.Fatal(err)
		}
		if pub, err := ParseCSR(der); err != nil || !reflect.DeepEqual(pub, key.Public()) {
			t.Errorf("%T: %v, %v", key, pub, err)
		}
	}
}

func TestParseCSRRefuses(t *testing.T) {
	key := newKey(t)
	request := func(template *x509.CertificateRequest, key crypto.Signer) []byte {
		der, err := x509.CreateCertificateRequest(rand.Reader, template, key)
		if err != nil {
			t.Fatal(err)
		}
		return der
	}
	weak, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		weak, err = rsa.GenerateKey(rand.Reader, 2048)
	}
	if err != nil {
		t.Fatal(err)
	}
	p521, err := ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	forged := request(&x509.CertificateRequest{}, key)
	forged[len(forged)-1] ^= 1
	other := &url.URL{Scheme: "spiffe", Host: "td", Path: "/cluster/other"}
	for name, der := range map[string][]byte{
		"nothing":              nil,
		"garbage":              []byte("hello"),
		"forged_signature":     forged,
		"bytes_after_it":       append(request(&x509.CertificateRequest{}, key), 0),
		"RSA_key":              request(&x509.CertificateRequest{}, weak),
		"P_521_key":            request(&x509.CertificateRequest{}, p521),
		"common_name":          request(&x509.CertificateRequest{Subject: pkix.Name{CommonName: "a"}}, key),
		"another_cluster_name": request(&x509.CertificateRequest{URIs: []*url.URL{other}}, key),
		"host_names":           request(&x509.CertificateRequest{DNSNames: []string{"hub"}}, key),
		"authority": request(&x509.CertificateRequest{ExtraExtensions: []pkix.Extension{{Id: []int{2, 5, 29,
			19}, Critical: true, Value: []byte{0x30, 3, 1, 1, 0xff}}}}, key),
		"more_bytes_than_allowed": make([]byte, MaxCSRBytes+1),
	} {
		if pub, err := ParseCSR(der); err == nil || pub != nil {
			t.Errorf("%s: %v, %v", name, pub, err)
		}
	}
}

func TestPEMRoundTrip(t *testing.T) {
	a, key := newAuthority(t), newKey(t)
	chain, err := a.Issue(key.Public(), ID{a.TrustDomain(), Cluster, "a"}, time.Hour, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	text, err := MarshalKey(key)
	if err != nil {
		t.Fatal(err)
	}
	back, err := ParseKey(text)
	if err != nil || !reflect.DeepEqual(back.Public(), key.Public()) {
		t.Errorf("key: %v, %v", back, err)
	}
	certificates, err := ParseCertificates(MarshalCertificates(chain...))
	if err != nil || len(certificates) != 2 || !slices.Equal(certificates[0].Raw, chain[0]) {
		t.Errorf("certificates: %v, %v", certificates, err)
	}
	for name, text := range map[string]string{"nothing": "", "garbage": "hello", "key": string(text),
		"garbage_after": string(MarshalCertificates(chain...)) + "x"} {
		if c, err := ParseCertificates([]byte(text)); err == nil {
			t.Errorf("certificates from %s: %v", name, c)
		}
	}
	for name, text := range map[string]string{"nothing": "", "garbage": "hello",
		"certificate": string(MarshalCertificates(chain[0])), "two_keys": string(text) + string(text)} {
		if k, err := ParseKey([]byte(text)); err == nil {
			t.Errorf("a key from %s: %v", name, k)
		}
	}
}

func TestPair(t *testing.T) {
	a, key := newAuthority(t), newKey(t)
	chain, err := a.Issue(key.Public(), ID{a.TrustDomain(), Cluster, "a"}, time.Hour, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Pair(key, chain); err != nil {
		t.Error(err)
	}
	for name, pair := range map[string]func() error{
		"another_key":      func() error { _, err := Pair(newKey(t), chain); return err },
		"no_certificate":   func() error { _, err := Pair(key, nil); return err },
		"half_certificate": func() error { _, err := Pair(key, [][]byte{chain[0][:40]}); return err },
	} {
		if pair() == nil {
			t.Errorf("%s is paired", name)
		}
	}
}

func FuzzParseCSR(f *testing.F) {
	der, err := NewCSR(newKey(f))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(der)
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, der []byte) {
		if pub, err := ParseCSR(der); err == nil && checkKey(pub) != nil {
			t.Fatalf("a key of type %T is let in", pub)
		}
	})
}
