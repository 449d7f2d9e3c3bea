package helm_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/navefleet/nave/e2e/ocitest"
	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/artifact"
	"github.com/navefleet/nave/hub/internal/source"
)

// startRegistry starts a real registry.
func startRegistry(t *testing.T, o ocitest.Options) *ocitest.Server {
	t.Helper()
	server, err := ocitest.Start(o)
	if errors.Is(err, ocitest.ErrNoRegistry) && os.Getenv("CI") != "true" {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Close() })
	return server
}

// push packages charts with the real helm and pushes them to the registry below charts/.
func (w *world) push(server *ocitest.Server, charts ...string) {
	w.Helper()
	w.charts(charts...)
	for _, chart := range charts {
		archive := filepath.Join(w.dir, strings.ReplaceAll(chart, " ", "-")+".tgz")
		w.helm("push", archive, "oci://"+server.Host()+"/charts", "--plain-http")
	}
}

// TestOCI pulls charts of a registry, by version and by range, and not again while the version is the one that is
// wanted.
func TestOCI(t *testing.T) {
	w, server := newWorld(t), startRegistry(t, ocitest.Options{})
	w.push(server, "podinfo 6.5.0", "podinfo 6.5.1", "podinfo 7.0.0-rc.1", "podinfo 1.0.0+build.1", "podinfo 2.1.0+b")
	repo := w.object(api.HelmRepositoryKind,
		spec{"type": "oci", "url": "oci://" + server.Host() + "/charts", "insecure": true})
	for version, want := range map[string]string{
		"6.5.0": "6.5.0", "*": "6.5.1", "~6.5": "6.5.1", ">=7-0": "7.0.0-rc.1", "1.0.0+build.1": "1.0.0+build.1", "2.x": "2.1.0+b", "1.0.0": "",
	} {
		t.Run(version, func(t *testing.T) {
			w := w.in(t)
			a, err := w.fetch(repo, spec{"chart": "podinfo", "version": version}, nil, nil)
			if want == "" { // an exact version is a tag
				if _, ok := api.ReasonOf(err); !ok {
					t.Error(a, err)
				}
				return
			}
			if err != nil || a.Revision != want || !strings.HasPrefix(a.Origin.Source, "oci://") {
				t.Fatal(a, err)
			}
			w.expect(a, "podinfo/Chart.yaml", "podinfo/templates/cm.yaml", "podinfo/values.yaml")
			before := server.Requests()
			again, err := w.fetch(repo, spec{"chart": "podinfo", "version": version}, nil, &a)
			if err != nil || again != a {
				t.Error("again:", again, err)
			}
			most := int64(4) // a new fetcher logs in, lists the tags and asks for one
			if version == want {
				most = 0
			}
			if n := server.Requests() - before; n > most {
				t.Errorf("%d requests for the same version", n)
			}
		})
	}
	for _, chart := range []spec{
		{"chart": "other"}, {"chart": "podinfo", "version": "8.x"}, {"chart": "podinfo", "version": "6.5.9"},
	} {
		_, err := w.fetch(repo, chart, nil, nil)
		if own, ok := api.ReasonOf(err); !ok || own.Name != api.InvalidChartReference {
			t.Errorf("%v: %v", chart, err)
		}
	}
}

// TestOCI_login logs in with both forms of a Secret.
func TestOCI_login(t *testing.T) {
	w := newWorld(t)
	server := startRegistry(t, ocitest.Options{TLS: true, Username: "me", Password: "hunter22"})
	w.charts("podinfo 6.5.0")
	ca := filepath.Join(t.TempDir(), "ca.crt")
	if err := os.WriteFile(ca, server.CA(), 0o600); err != nil {
		t.Fatal(err)
	}
	w.helm("push", filepath.Join(w.dir, "podinfo-6.5.0.tgz"), "oci://"+server.Host()+"/charts", "--ca-file", ca,
		"--username", "me", "--password", "hunter22")
	for name, c := range map[string]struct {
		secret source.Secret
		err    error
	}{
		"basic":     {source.Secret{"username": []byte("me"), "password": []byte("hunter22")}, nil},
		"config":    {source.Secret{source.DockerConfigKey: []byte(server.DockerConfig())}, nil},
		"wrong":     {source.Secret{"username": []byte("me"), "password": []byte("hunter23")}, source.ErrAuthentication},
		"half":      {source.Secret{"username": []byte("me")}, source.ErrAuthentication},
		"anonymous": {nil, source.ErrAuthentication},
	} {
		t.Run(name, func(t *testing.T) {
			w := w.in(t)
			named := secrets{"spec.certSecretRef": {"ca.crt": server.CA()}}
			fields := spec{"type": "oci", "url": "oci://" + server.Host() + "/charts", "certSecretRef": spec{"name": "ca"}}
			if c.secret != nil {
				named["spec.secretRef"], fields["secretRef"] = c.secret, spec{"name": "login"}
			}
			a, err := w.fetch(w.object(api.HelmRepositoryKind, fields), spec{"chart": "podinfo"}, named, nil)
			if c.err == nil && (err != nil || a.Revision != "6.5.0") || !errors.Is(err, c.err) {
				t.Error(a, err)
			}
		})
	}
}

// TestOCI_verify verifies signatures of cosign, again when the key changes, and refuses other keys.
func TestOCI_verify(t *testing.T) {
	w, server := newWorld(t), startRegistry(t, ocitest.Options{})
	w.push(server, "podinfo 6.5.0", "podinfo 6.6.0")
	key, other := newKey(t), newKey(t)
	digest := w.digest(server, "charts/podinfo", "6.5.0")
	if err := server.Sign("charts/podinfo", digest, digest, key); err != nil {
		t.Fatal(err)
	}
	repo := w.object(api.HelmRepositoryKind,
		spec{"type": "oci", "url": "oci://" + server.Host() + "/charts", "insecure": true})
	verify := spec{"secretRef": spec{"name": "keys"}}
	fetch := func(version string, key *ecdsa.PrivateKey, last *artifact.Artifact) (artifact.Artifact, error) {
		t.Helper()
		return w.fetch(repo, spec{"chart": "podinfo", "version": version, "verify": verify},
			secrets{"spec.verify.secretRef": {"cosign.pub": publicKey(t, key)}}, last)
	}
	a, err := fetch("6.5.0", key, nil)
	if err != nil || a.Verification.Mode != "cosign" || !strings.Contains(a.Verification.Message, digest) {
		t.Fatal(a, err)
	}
	if again, err := fetch("6.5.0", key, &a); err != nil || again != a {
		t.Error("again:", again, err)
	}
	for name, c := range map[string]struct {
		version string
		key     *ecdsa.PrivateKey
		last    *artifact.Artifact
	}{
		"unsigned": {"6.6.0", key, nil}, "other_key": {"6.5.0", other, nil}, "key_changed": {"6.5.0", other, &a},
	} {
		if _, err := fetch(c.version, c.key, c.last); !errors.Is(err, source.ErrVerification) {
			t.Errorf("%s: %v", name, err)
		}
	}
	unverified, err := w.fetch(repo, spec{"chart": "podinfo", "version": "6.5.0"}, nil, &a)
	if err != nil || unverified.Verification != (artifact.Verification{}) {
		t.Error("not verified any more:", unverified, err)
	}
}

// TestOCI_keyless verifies signatures of an identity, and refuses other identities, other Sigstores and what is not
// signed. What was verified stays.
func TestOCI_keyless(t *testing.T) {
	const subject, issuer = "https://git.example/org/charts/.ci/release@refs/heads/main", "https://ci.example"
	w, server := newWorld(t), startRegistry(t, ocitest.Options{})
	w.push(server, "podinfo 6.5.0", "podinfo 6.6.0")
	root := func() (ocitest.Sigstore, secrets) {
		s, err := ocitest.NewSigstore()
		if err != nil {
			t.Fatal(err)
		}
		text, err := s.TrustedRoot("rekor tsa")
		if err != nil {
			t.Fatal(err)
		}
		return s, secrets{"spec.verify.trustedRootSecretRef": {"trusted_root.json": text}}
	}
	sigstore, trusted := root()
	_, foreign := root()
	digest := w.digest(server, "charts/podinfo", "6.5.0")
	err := server.SignAs(sigstore, "charts/podinfo", digest, subject, issuer, "rekor tsa")
	if err != nil {
		t.Fatal(err)
	}
	repo := w.object(api.HelmRepositoryKind,
		spec{"type": "oci", "url": "oci://" + server.Host() + "/charts", "insecure": true})
	fetch := func(version, issuer string, trusted secrets, last *artifact.Artifact) (artifact.Artifact, error) {
		t.Helper()
		return w.fetch(repo, spec{"chart": "podinfo", "version": version, "verify": spec{
			"provider": "cosign", "trustedRootSecretRef": spec{"name": "root"},
			"matchOIDCIdentity": []any{spec{"issuer": issuer, "subject": "^https://git[.]example/org/"}},
		}}, trusted, last)
	}
	a, err := fetch("6.5.0", "^https://ci[.]example$", trusted, nil)
	if err != nil || !strings.HasSuffix(a.Verification.Message, "with identity "+subject+" of "+issuer) {
		t.Fatal(a, err)
	}
	if again, err := fetch("6.5.0", "^https://ci[.]example$", trusted, &a); err != nil || again != a {
		t.Error("again:", again, err)
	}
	for name, c := range map[string]struct {
		version, issuer string
		trusted         secrets
	}{
		"unsigned": {"6.6.0", "^https://ci[.]example$", trusted}, "identity": {"6.5.0", "^https://other", trusted},
		"sigstore": {"6.5.0", "^https://ci[.]example$", foreign}, "range": {">=6.5.0", "^https://ci[.]example$", trusted},
	} {
		if _, err := fetch(c.version, c.issuer, c.trusted, &a); !errors.Is(err, source.ErrVerification) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// digest returns the digest of a tag.
func (w *world) digest(server *ocitest.Server, repository, tag string) string {
	w.Helper()
	repo := w.object(api.HelmRepositoryKind,
		spec{"type": "oci", "url": "oci://" + server.Host() + "/charts", "insecure": true})
	a, err := w.fetch(repo, spec{"chart": "podinfo", "version": tag}, nil, nil)
	if err != nil {
		w.Fatal(err)
	}
	_, digest, _ := strings.Cut(a.Origin.Revision, "@")
	return digest
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// publicKey returns the public key in PEM form.
func publicKey(t *testing.T, key *ecdsa.PrivateKey) []byte {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
}
