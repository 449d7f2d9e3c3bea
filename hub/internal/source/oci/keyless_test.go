package oci_test

import (
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/types"
	protobundle "github.com/sigstore/protobuf-specs/gen/pb-go/bundle/v1"
	protocommon "github.com/sigstore/protobuf-specs/gen/pb-go/common/v1"
	protodsse "github.com/sigstore/protobuf-specs/gen/pb-go/dsse"
	protorekor "github.com/sigstore/protobuf-specs/gen/pb-go/rekor/v1"
	"github.com/sigstore/sigstore-go/pkg/testing/ca"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/navefleet/nave/e2e/ocitest"
	"github.com/navefleet/nave/hub/internal/source"
)

const (
	signer = "https://git.example/org/app/.ci/release@refs/heads/main"
	issuer = "https://ci.example"
)

// sigstore is a Sigstore whose failures fail the test.
type sigstore struct{ ocitest.Sigstore }

func newSigstore(t *testing.T) sigstore {
	t.Helper()
	s, err := ocitest.NewSigstore()
	if err != nil {
		t.Fatal(err)
	}
	return sigstore{s}
}

// trust returns a Secret with a trusted root. The root names the parts of the Sigstore that are listed in with.
func (s sigstore) trust(t *testing.T, with string) secrets {
	t.Helper()
	text, err := s.TrustedRoot(with)
	if err != nil {
		t.Fatal(err)
	}
	return secrets{"spec.verify.trustedRootSecretRef": source.Secret{"trusted_root.json": text}}
}

// annotated signs a digest as cosign 2 does, with what the list names: rekor, tsa.
func (w *world) annotated(s sigstore, digest, with string) {
	w.Helper()
	if err := w.SignAs(s.Sigstore, "fleet", digest, signer, issuer, with); err != nil {
		w.Fatal(err)
	}
}

// storeSignature stores a signature as cosign 2 does.
func (w *world) storeSignature(digest, text string, annotations map[string]string) {
	w.Helper()
	if err := w.StoreSignature("fleet", digest, text, annotations); err != nil {
		w.Fatal(err)
	}
}

func stamps(w *world, e *ca.TestEntity) [][]byte {
	found, err := e.Timestamps()
	if err != nil {
		w.Fatal(err)
	}
	return found
}

// bundled signs a statement about a digest as cosign 3 does, and stores it beside the artifact at.
func (w *world) bundled(s sigstore, at, digest string) {
	w.Helper()
	statement := fmt.Sprintf(`{"_type":"https://in-toto.io/Statement/v1","subject":[{"name":"x","digest":{"sha256":%q}}],`+
		`"predicateType":"https://sigstore.dev/cosign/sign/v1","predicate":{}}`, strings.TrimPrefix(digest, "sha256:"))
	e, err := s.AttestAtTime(signer, issuer, []byte(statement), time.Now().Add(5*time.Minute), true)
	if err != nil {
		w.Fatal(err)
	}
	content, err := e.SignatureContent()
	if err != nil {
		w.Fatal(err)
	}
	cert, err := e.VerificationContent()
	if err != nil {
		w.Fatal(err)
	}
	entry, err := s.LogEntry(e, "dsse")
	if err != nil {
		w.Fatal(err)
	}
	text, err := protojson.Marshal(&protobundle.Bundle{
		MediaType: "application/vnd.dev.sigstore.bundle.v0.3+json",
		VerificationMaterial: &protobundle.VerificationMaterial{
			Content: &protobundle.VerificationMaterial_Certificate{
				Certificate: &protocommon.X509Certificate{RawBytes: cert.Certificate().Raw},
			},
			TlogEntries: []*protorekor.TransparencyLogEntry{entry},
			TimestampVerificationData: &protobundle.TimestampVerificationData{
				Rfc3161Timestamps: []*protocommon.RFC3161SignedTimestamp{{SignedTimestamp: stamps(w, e)[0]}},
			},
		},
		Content: &protobundle.Bundle_DsseEnvelope{DsseEnvelope: &protodsse.Envelope{
			Payload: []byte(statement), PayloadType: "application/vnd.in-toto+json",
			Signatures: []*protodsse.Signature{{Sig: content.Signature()}},
		}},
	})
	if err != nil {
		w.Fatal(err)
	}
	w.refer(at, text)
}

// refer stores a bundle that refers to the artifact at.
func (w *world) refer(at string, bundle []byte) {
	w.Helper()
	const bundleType = "application/vnd.dev.sigstore.bundle.v0.3+json"
	about, err := w.Reference("fleet@" + at)
	if err != nil {
		w.Fatal(err)
	}
	subject, err := remote.Head(about, w.Options()...)
	if err != nil {
		w.Fatal(err)
	}
	image := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), bundleType)
	if image, err = mutate.AppendLayers(image, ocitest.Layer(bundle, bundleType)); err != nil {
		w.Fatal(err)
	}
	if _, err := w.Push("fleet:bundle", mutate.Subject(image, *subject).(v1.Image)); err != nil {
		w.Fatal(err)
	}
}

// byIdentity is an OCIRepository that accepts the signatures of an identity.
func byIdentity(issuer, subject string) spec {
	return spec{"verify": map[string]any{
		"provider": "cosign", "trustedRootSecretRef": map[string]any{"name": "root"},
		"matchOIDCIdentity": []any{map[string]any{"issuer": issuer, "subject": subject}},
	}}
}

// ours accepts the identity that signs in these tests.
var ours = byIdentity("^https://ci[.]example$", "^https://git[.]example/org/")

func TestKeyless(t *testing.T) {
	for _, c := range []struct{ name, trusted, made string }{
		{"log", "rekor", "rekor"},
		{"stamp", "tsa", "tsa"},
		{"log_and_stamp", "rekor tsa", "rekor tsa"},
		{"bundle", "rekor tsa", "bundle"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w, s := newWorld(t, ocitest.Options{}), newSigstore(t)
			digest := w.commit("fleet:latest", map[string]string{"a": "1"})
			trust := s.trust(t, c.trusted)
			w.refused(ours, trust, source.ErrVerification, "has no cosign signature")
			if c.made == "bundle" {
				w.bundled(s, digest, digest)
			} else {
				w.annotated(s, digest, c.made)
			}
			a := w.must(ours, trust, nil)
			if m := a.Verification.Message; !strings.HasSuffix(m, "with identity "+signer+" of "+issuer) {
				t.Errorf("got %q", m)
			}
			again := w.Requests()
			if w.must(ours, trust, &a) != a || w.Requests() != again+1 {
				t.Errorf("verified again with %d requests", w.Requests()-again)
			}
			w.refused(byIdentity("^https://other", ".*"), trust, source.ErrVerification, "by the identity "+signer)
			w.refused(byIdentity(".*", "^https://git[.]other/"), trust, source.ErrVerification, "SAN")
			w.refused(ours, newSigstore(t).trust(t, c.trusted), source.ErrVerification, "by the identity")
		})
	}
}

// TestKeyless_hostile has signatures that prove too little.
func TestKeyless_hostile(t *testing.T) {
	s, other := newSigstore(t), newSigstore(t)
	for name, c := range map[string]struct {
		trusted string
		sign    func(w *world, digest string)
		word    string
	}{
		"no_log":         {"rekor", func(w *world, d string) { w.annotated(s, d, "tsa") }, "failed to verify log inclusion"},
		"no_stamp":       {"tsa", func(w *world, d string) { w.annotated(s, d, "rekor") }, "failed to verify timestamps"},
		"no_ct_log":      {"rekor ctlog", func(w *world, d string) { w.annotated(s, d, "rekor") }, "signed certificate timestamp"},
		"no_time":        {"", func(w *world, d string) { w.annotated(s, d, "rekor tsa") }, "failed to verify timestamps"},
		"other_root":     {"rekor", func(w *world, d string) { w.annotated(other, d, "rekor") }, "failed to verify log inclusion"},
		"other_artifact": {"rekor", func(w *world, d string) { w.bundled(s, d, "sha256:"+strings.Repeat("ab", 32)) }, "digest"},
		"bad_log": {"rekor", func(w *world, d string) {
			w.storeSignature(d, payload("cosign container image signature", d), map[string]string{
				"dev.cosignproject.cosign/signature": "YQ==", "dev.sigstore.cosign/bundle": "{",
				"dev.sigstore.cosign/certificate": "-----BEGIN CERTIFICATE-----\nYQ==\n-----END CERTIFICATE-----\n",
			})
		}, "cannot be read"},
		"key": {"rekor", func(w *world, d string) {
			key, _ := newKey(w.T, "ecdsa")
			w.sign(d, key)
		}, "an identity must sign"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, ocitest.Options{})
			c.sign(w, w.commit("fleet:latest", map[string]string{"a": "1"}))
			w.refused(ours, s.trust(t, c.trusted), source.ErrVerification, c.word)
		})
	}
}

// TestKeyless_roots has Secrets that hold no trusted root.
func TestKeyless_roots(t *testing.T) {
	w := newWorld(t, ocitest.Options{})
	w.commit("fleet:latest", map[string]string{"a": "1"})
	for _, text := range []string{"", "{", "{}", `{"mediaType":"x"}`} {
		w.refused(ours, secrets{"spec.verify.trustedRootSecretRef": {"trusted_root.json": []byte(text)}},
			source.ErrVerification, "trusted_root.json")
	}
	bad := maps.Clone(ours)
	bad["verify"] = map[string]any{"matchOIDCIdentity": []any{map[string]any{"issuer": "(", "subject": "a"}}}
	w.refused(bad, newSigstore(t).trust(t, "rekor"), source.ErrVerification, "matchOIDCIdentity")
}
