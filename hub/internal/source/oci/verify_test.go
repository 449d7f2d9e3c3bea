package oci_test

import (
	"cmp"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"strings"
	"testing"

	"github.com/navefleet/nave/e2e/ocitest"
	"github.com/navefleet/nave/hub/internal/source"
)

// newKey returns a key, and its public half as PEM.
func newKey(t *testing.T, kind string) (crypto.Signer, []byte) {
	t.Helper()
	var key crypto.Signer
	var err error
	switch kind {
	case "ecdsa":
		key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case "rsa":
		key, err = rsa.GenerateKey(rand.Reader, 2048)
	default:
		_, key, err = ed25519.GenerateKey(rand.Reader)
	}
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	return key, pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
}

// signed is an OCIRepository that verifies signatures.
var signed = spec{"verify": map[string]any{"provider": "cosign", "secretRef": map[string]any{"name": "keys"}}}

func keys(named ...any) secrets {
	data := source.Secret{}
	for i := 0; i < len(named); i += 2 {
		data[named[i].(string)] = named[i+1].([]byte)
	}
	return secrets{"spec.verify.secretRef": data}
}

func (w *world) sign(digest string, key crypto.Signer) {
	w.Helper()
	if err := w.Sign("fleet", digest, digest, key); err != nil {
		w.Fatal(err)
	}
}

func TestVerify(t *testing.T) {
	for _, kind := range []string{"ecdsa", "rsa", "ed25519"} {
		t.Run(kind, func(t *testing.T) {
			w := newWorld(t, ocitest.Options{})
			key, public := newKey(t, kind)
			_, other := newKey(t, kind)
			digest := w.commit("fleet:latest", map[string]string{"a": "1"})
			w.refused(signed, keys("cosign.pub", public), source.ErrVerification, "has no cosign signature")
			w.sign(digest, key)
			a := w.must(signed, keys("cosign.pub", public, "other.pub", other), nil)
			if m := a.Verification.Message; !strings.Contains(m, "key cosign.pub (sha256:") || a.Verification.Mode != "cosign" {
				t.Errorf("got %q", m)
			}
			w.refused(signed, keys("other.pub", other), source.ErrVerification, "by another key than other.pub (sha256:")
		})
	}
}

// TestVerify_rotation verifies again when keys change, without a transfer, and keeps nothing that is not verified.
func TestVerify_rotation(t *testing.T) {
	w := newWorld(t, ocitest.Options{})
	key, public := newKey(t, "ecdsa")
	_, other := newKey(t, "ecdsa")
	w.sign(w.commit("fleet:latest", map[string]string{"a": "1"}), key)
	first := w.must(signed, keys("a.pub", public), nil)
	before := w.Requests()
	if again := w.must(signed, keys("a.pub", public), &first); again != first || w.Requests() != before+1 {
		t.Errorf("got %v after %d requests", again, w.Requests()-before)
	}
	next := w.must(signed, keys("b.pub", public), &first)
	if next.Dir != first.Dir || !strings.Contains(next.Verification.Message, "b.pub") {
		t.Errorf("got %v", next)
	}
	if a, err := w.fetch(signed, keys("c.pub", other), &next); err == nil {
		t.Errorf("got %v without an error", a)
	}
	unverified := w.must(spec{}, nil, nil)
	if a, err := w.fetch(signed, keys("c.pub", other), &unverified); err == nil {
		t.Errorf("got %v without an error", a)
	}
}

// TestVerify_hostile has signatures that are good, and not for this.
func TestVerify_hostile(t *testing.T) {
	key, public := newKey(t, "ecdsa")
	for name, c := range map[string]struct {
		payload func(digest string) string
		word    string
	}{
		"other_digest": {func(string) string { return payload("cosign container image signature", "sha256:0123") },
			"for another artifact"},
		"other_type": {func(d string) string { return payload("atomic container signature", d) }, "is of type"},
		"no_json":    {func(string) string { return "hello" }, "not JSON"},
		"empty":      {func(string) string { return "{}" }, "is of type"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, ocitest.Options{})
			digest := w.commit("fleet:latest", map[string]string{"a": "1"})
			if err := w.SignPayload("fleet", digest, c.payload(digest), key); err != nil {
				t.Fatal(err)
			}
			w.refused(signed, keys("cosign.pub", public), source.ErrVerification, c.word)
		})
	}
}

func payload(kind, digest string) string {
	return fmt.Sprintf(`{"critical":{"identity":{"docker-reference":""},"image":{"docker-manifest-digest":%q},"type":%q}}`,
		digest, kind)
}

func TestVerify_keys(t *testing.T) {
	w := newWorld(t, ocitest.Options{})
	w.commit("fleet:latest", map[string]string{"a": "1"})
	_, public := newKey(t, "ecdsa")
	short, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(short.Public())
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		named secrets
		word  string
	}{
		"none":      {keys(), "cosign.pub"},
		"no_secret": {nil, "cosign.pub"},
		"other_end": {keys("cosign.key", public), "end in .pub"},
		"no_pem":    {keys("a.pub", public, "b.pub", []byte("x")), "b.pub"},
		"short":     {keys("a.pub", pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})), "too short"},
	} {
		t.Run(name, func(t *testing.T) { w.in(t).refused(signed, c.named, source.ErrVerification, c.word) })
	}
}

// TestVerify_bundle has signatures as cosign 3 stores them.
func TestVerify_bundle(t *testing.T) {
	const sign = "https://sigstore.dev/cosign/sign/v1"
	key, public := newKey(t, "ecdsa")
	other, _ := newKey(t, "ecdsa")
	for name, c := range map[string]struct {
		key               crypto.Signer
		digest, predicate string // digest: empty is that of the artifact
		word              string // empty: accepted
	}{
		"good":         {key, "", sign, ""},
		"other_key":    {other, "", sign, "by another key"},
		"other_digest": {key, "sha256:" + strings.Repeat("0", 64), sign, "for another artifact"},
		"attestation":  {key, "", "https://spdx.dev/Document", "the statement of a signature is of type"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, ocitest.Options{})
			digest := w.commit("fleet:latest", map[string]string{"a": "1"})
			if err := w.SignBundle("fleet", digest, cmp.Or(c.digest, digest), c.predicate, c.key); err != nil {
				t.Fatal(err)
			}
			if c.word == "" {
				w.expect(w.must(signed, keys("cosign.pub", public), nil), "a=1")
				return
			}
			w.refused(signed, keys("cosign.pub", public), source.ErrVerification, c.word)
		})
	}
}
