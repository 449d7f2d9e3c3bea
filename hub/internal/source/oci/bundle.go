package oci

import (
	"context"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/navefleet/nave/hub/internal/artifact"
	"github.com/navefleet/nave/hub/internal/source"
	"github.com/navefleet/nave/shared/signing"
)

// How cosign 3 stores signatures: as Sigstore bundles that refer to the artifact.
const (
	bundleType    = "application/vnd.dev.sigstore.bundle.v0.3+json"
	statementType = "application/vnd.in-toto+json"
	// signPredicate is the type of a statement that only signs. Other statements by the same key, such as a list of
	// contents, are no signature of the artifact.
	signPredicate = "https://sigstore.dev/cosign/sign/v1"
)

// bundle is a Sigstore bundle with a DSSE envelope. Byte slices are base64 in JSON.
type bundle struct {
	Material struct {
		Certificate struct {
			Raw []byte `json:"rawBytes"`
		} `json:"certificate"`
	} `json:"verificationMaterial"`
	Envelope struct {
		Payload    []byte `json:"payload"`
		Type       string `json:"payloadType"`
		Signatures []struct {
			Value []byte `json:"sig"`
		} `json:"signatures"`
	} `json:"dsseEnvelope"`
}

// bundles returns the signatures of a digest in bundles that refer to it.
func (f *fetching) bundles(ctx context.Context, digest v1.Hash) ([]signature, error) {
	index, err := remote.Referrers(f.Repository.Digest(digest.String()), remote.Reuse(f.Puller), remote.WithContext(ctx))
	if err != nil {
		return nil, err
	}
	m, err := index.IndexManifest()
	if err != nil {
		return nil, err
	}
	other := func(d v1.Descriptor) bool { return d.ArtifactType != bundleType }
	referrers := slices.DeleteFunc(slices.Clone(m.Manifests), other)
	if len(referrers) > maxSignatures {
		return nil, fmt.Errorf("%w: more than %d signature bundles", artifact.ErrLimit, maxSignatures)
	}
	var found []signature
	for _, d := range referrers {
		s, err := f.bundle(ctx, d.Digest)
		if err != nil {
			return nil, err
		}
		found = append(found, s...)
	}
	return found, nil
}

// bundle reads one bundle.
func (f *fetching) bundle(ctx context.Context, digest v1.Hash) ([]signature, error) {
	m, err := f.manifest(ctx, f.Repository.Digest(digest.String()))
	if err != nil {
		return nil, err
	}
	if len(m.Layers) != 1 {
		return nil, fmt.Errorf("%w: a signature bundle has %d layers, want 1", source.ErrProtocol, len(m.Layers))
	}
	text, err := f.small(ctx, m.Layers[0])
	if err != nil {
		return nil, err
	}
	return readBundle(text)
}

// readBundle returns the signatures in a bundle.
func readBundle(text []byte) (found []signature, err error) {
	var b bundle
	if err := json.Unmarshal(text, &b); err != nil {
		return nil, fmt.Errorf("%w: a signature bundle is not JSON: %w", source.ErrProtocol, err)
	}
	certificate := ""
	if raw := b.Material.Certificate.Raw; len(raw) > 0 {
		certificate = string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: raw}))
	}
	for _, s := range b.Envelope.Signatures {
		found = append(found, signature{
			signed: signing.PAE(b.Envelope.Type, b.Envelope.Payload), raw: s.Value, certificate: certificate,
			bundle: text,
			names:  func(digest v1.Hash) error { return b.names(digest) },
		})
	}
	return found, nil
}

// names returns an error if the statement of a bundle does not name the digest.
func (b bundle) names(digest v1.Hash) error {
	var statement struct {
		Subject []struct {
			Digest map[string]string `json:"digest"`
		} `json:"subject"`
		PredicateType string `json:"predicateType"`
	}
	if b.Envelope.Type != statementType {
		return fmt.Errorf("the payload of a signature is of type %q, want %q", b.Envelope.Type, statementType)
	}
	if err := json.Unmarshal(b.Envelope.Payload, &statement); err != nil {
		return fmt.Errorf("the payload of a signature is not JSON: %w", err)
	}
	if statement.PredicateType != signPredicate {
		return fmt.Errorf("the statement of a signature is of type %q, want %q", statement.PredicateType, signPredicate)
	}
	for _, s := range statement.Subject {
		if s.Digest[digest.Algorithm] == digest.Hex {
			return nil
		}
	}
	return errors.New("a signature is for another artifact")
}
