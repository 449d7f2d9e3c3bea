package oci

import (
	"bytes"
	"errors"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/sigstore/sigstore-go/pkg/root"
	"github.com/sigstore/sigstore-go/pkg/verify"

	"github.com/navefleet/nave/e2e/ocitest"
	"github.com/navefleet/nave/hub/internal/artifact"
)

// FuzzUnpack takes any layer: what it unpacks stays within the limits, and errors are those of package artifact.
func FuzzUnpack(f *testing.F) {
	f.Add(ocitest.Archive(map[string]string{"a.yaml": "a", "b/c.yaml": "c"}))
	f.Add([]byte("no archive"))
	f.Add(bytes.Repeat([]byte{0}, 1024))
	f.Add(ocitest.Archive(map[string]string{"../a": "a"})[:40])
	limits := Limits{Limits: artifact.Limits{Total: 1 << 20, Files: 10, File: 1 << 16}, Unpacked: 1 << 16, Entries: 10}
	f.Fuzz(func(t *testing.T, layer []byte) {
		s, err := unpack(t.Context(), bytes.NewReader(layer), t.TempDir(), limits)
		if err != nil {
			if !errors.Is(err, artifact.ErrTree) && !errors.Is(err, artifact.ErrLimit) {
				t.Fatalf("got %v", err)
			}
			return
		}
		defer s.close()
		if s.end > limits.Unpacked || len(s.list) > limits.Entries {
			t.Fatalf("%d bytes in %d files", s.end, len(s.list))
		}
		for _, file := range s.list {
			content, err := s.Read(t.Context(), file, limits.Unpacked)
			if err != nil || artifact.IdentifyContent(content) != file.Content {
				t.Fatalf("%s: %v", file.Path, err)
			}
		}
	})
}

// FuzzBundle reads any bundle, and whether its statement names a digest.
func FuzzBundle(f *testing.F) {
	f.Add(
		[]byte(
			`{"dsseEnvelope":{"payload":"e30=","payloadType":"application/vnd.in-toto+json","signatures":[{"sig":"YQ=="}]}}`,
		),
	)
	f.Add([]byte(`{"dsseEnvelope":{"signatures":[{}]},"verificationMaterial":{"certificate":{"rawBytes":"YQ=="}}}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		found, _ := readBundle(text)
		for _, s := range found {
			if err := s.names(
				v1.Hash{Algorithm: "sha256", Hex: "none"},
			); err == nil &&
				!bytes.Contains(s.signed, []byte(statementType)) {
				t.Fatal("accepted what is no statement")
			}
			_ = identityOf(s.certificate)
		}
	})
}

// FuzzConvert reads any annotations and any bundle of a signature without a key. A root that has issued nothing accepts
// none of them.
func FuzzConvert(f *testing.F) {
	trusted, err := root.NewTrustedRoot(root.TrustedRootMediaType01, nil, nil, nil, nil)
	if err != nil {
		f.Fatal(err)
	}
	verifier, err := verify.NewVerifier(trusted, verify.WithObserverTimestamps(1))
	if err != nil {
		f.Fatal(err)
	}
	k := &keyless{verifier: verifier, identities: []verify.PolicyOption{verify.WithoutIdentitiesUnsafe()}}
	const certificate = "-----BEGIN CERTIFICATE-----\nYQ==\n-----END CERTIFICATE-----\n"
	f.Add(certificate, `{"SignedEntryTimestamp":"YQ==","Payload":{"body":"e30=","logID":"00"}}`, `{}`, []byte(nil))
	f.Add(certificate, "", `{"SignedRFC3161Timestamp":"YQ=="}`, []byte(nil))
	f.Add("x", "", "", []byte(`{"mediaType":"application/vnd.dev.sigstore.bundle.v0.3+json","verificationMaterial":`+
		`{"certificate":{"rawBytes":"YQ=="}},"dsseEnvelope":{"payload":"e30=","signatures":[{"sig":"YQ=="}]}}`))
	f.Fuzz(func(t *testing.T, certificate, log, stamp string, bundle []byte) {
		s := signature{
			signed: []byte("{}"), raw: []byte("a"), certificate: certificate, bundle: bundle,
			names:       func(v1.Hash) error { return nil },
			annotations: map[string]string{rekorAnnotation: log, timestampAnnotation: stamp},
		}
		if who, err := k.accept(s, v1.Hash{Algorithm: "sha256", Hex: "00"}); err == nil {
			t.Fatalf("accepted a signature by %s", who)
		}
	})
}
