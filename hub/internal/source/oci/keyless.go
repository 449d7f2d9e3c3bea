package oci

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	protobundle "github.com/sigstore/protobuf-specs/gen/pb-go/bundle/v1"
	protocommon "github.com/sigstore/protobuf-specs/gen/pb-go/common/v1"
	protorekor "github.com/sigstore/protobuf-specs/gen/pb-go/rekor/v1"
	sigstore "github.com/sigstore/sigstore-go/pkg/bundle"
	"github.com/sigstore/sigstore-go/pkg/root"
	"github.com/sigstore/sigstore-go/pkg/verify"

	"github.com/navefleet/nave/hub/internal/source"
)

// trustedRootFile is the key of a Secret with the trusted root of a Sigstore: what cosign trusted-root create writes.
const trustedRootFile = "trusted_root.json"

// How cosign 2 stores what belongs to a signature without a key, beside the certificate.
const (
	rekorAnnotation     = "dev.sigstore.cosign/bundle"
	timestampAnnotation = "dev.sigstore.cosign/rfc3161timestamp"
)

// keyless accepts signatures without a key: by a certificate that an authority of the trusted root issued to an
// identity. The certificate lives for minutes. So the root's transparency log or time stamp authority must prove that
// the signature was made in that time.
type keyless struct {
	verifier   *verify.Verifier
	identities []verify.PolicyOption
}

// newKeyless reads the trusted root of a Secret. Logs that the root names must have the certificate and the signature.
func newKeyless(data source.Secret, match []identity) (*keyless, error) {
	trusted, err := root.NewTrustedRootFromJSON(data[trustedRootFile])
	if err != nil {
		return nil, fmt.Errorf("%s, as cosign trusted-root create writes it: %w", trustedRootFile, err)
	}
	options := []verify.VerifierOption{verify.WithObserverTimestamps(1)}
	if len(trusted.CTLogs()) > 0 {
		options = append(options, verify.WithSignedCertificateTimestamps(1))
	}
	if len(trusted.RekorLogs()) > 0 {
		options = append(options, verify.WithTransparencyLog(1))
	}
	k := &keyless{}
	if k.verifier, err = verify.NewVerifier(trusted, options...); err != nil {
		return nil, err
	}
	for _, m := range match {
		id, err := verify.NewShortCertificateIdentity("", m.Issuer, "", m.Subject)
		if err != nil {
			return nil, fmt.Errorf("spec.verify.matchOIDCIdentity: %w", err)
		}
		k.identities = append(k.identities, verify.WithCertificateIdentity(id))
	}
	if len(match) == 0 { // as in Flux
		k.identities = []verify.PolicyOption{verify.WithoutIdentitiesUnsafe()}
	}
	return k, nil
}

// accept implements acceptor.
func (k *keyless) accept(s signature, digest v1.Hash) (string, error) {
	if s.certificate == "" {
		return "", errors.New("one is by a key, and an identity must sign (cosign sign without --key)")
	}
	b, content, err := s.sealed(digest)
	if err != nil {
		return "", fmt.Errorf("one cannot be read: %w", err)
	}
	result, err := k.verifier.Verify(b, verify.NewPolicy(content, k.identities...))
	if err != nil {
		why, _, _ := strings.Cut(err.Error(), "; error:") // the library prints a missing cause after it
		return "", fmt.Errorf("one by the identity %s: %s", identityOf(s.certificate), why)
	}
	c := result.Signature.Certificate
	return fmt.Sprintf("identity %s of %s", c.SubjectAlternativeName, c.Issuer), s.names(digest)
}

// sealed returns a signature as a bundle, and the content that it must sign.
func (s signature) sealed(digest v1.Hash) (*sigstore.Bundle, verify.ArtifactPolicyOption, error) {
	if s.bundle == nil {
		b, err := convert(s)
		return b, verify.WithArtifact(bytes.NewReader(s.signed)), err
	}
	sum, err := hex.DecodeString(digest.Hex)
	if err != nil {
		return nil, nil, err
	}
	b := &sigstore.Bundle{}
	return b, verify.WithArtifactDigest(digest.Algorithm, sum), b.UnmarshalJSON(s.bundle)
}

// convert makes a bundle of a signature that is stored in annotations.
func convert(s signature) (*sigstore.Bundle, error) {
	block, _ := pem.Decode([]byte(s.certificate))
	if block == nil {
		return nil, errors.New("its certificate is not PEM")
	}
	material := &protobundle.VerificationMaterial{
		Content: &protobundle.VerificationMaterial_X509CertificateChain{
			X509CertificateChain: &protocommon.X509CertificateChain{
				Certificates: []*protocommon.X509Certificate{{RawBytes: block.Bytes}},
			},
		},
	}
	var err error
	if text := s.annotations[rekorAnnotation]; text != "" {
		entry, bad := logEntry(text)
		material.TlogEntries, err = []*protorekor.TransparencyLogEntry{entry}, bad
	}
	if text := s.annotations[timestampAnnotation]; text != "" {
		stamp, bad := timestamp(text)
		material.TimestampVerificationData, err = stamp, errors.Join(err, bad)
	}
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(s.signed)
	return sigstore.NewBundle(&protobundle.Bundle{
		MediaType: "application/vnd.dev.sigstore.bundle+json;version=0.1", VerificationMaterial: material,
		Content: &protobundle.Bundle_MessageSignature{MessageSignature: &protocommon.MessageSignature{
			MessageDigest: &protocommon.HashOutput{Algorithm: protocommon.HashAlgorithm_SHA2_256, Digest: sum[:]},
			Signature:     s.raw,
		}},
	})
}

// logEntry reads an entry of the transparency log, with the log's promise to include it.
func logEntry(text string) (*protorekor.TransparencyLogEntry, error) {
	var stored struct {
		Promise []byte `json:"SignedEntryTimestamp"`
		Payload struct {
			Body  []byte `json:"body"`
			Time  int64  `json:"integratedTime"`
			Index int64  `json:"logIndex"`
			Log   string `json:"logID"`
		} `json:"Payload"`
	}
	if err := json.Unmarshal([]byte(text), &stored); err != nil {
		return nil, fmt.Errorf("the annotation %s: %w", rekorAnnotation, err)
	}
	var body struct {
		Version string `json:"apiVersion"`
		Kind    string `json:"kind"`
	}
	if err := json.Unmarshal(stored.Payload.Body, &body); err != nil {
		return nil, fmt.Errorf("the annotation %s: body: %w", rekorAnnotation, err)
	}
	log, err := hex.DecodeString(stored.Payload.Log)
	if err != nil {
		return nil, fmt.Errorf("the annotation %s: logID: %w", rekorAnnotation, err)
	}
	return &protorekor.TransparencyLogEntry{
		LogIndex: stored.Payload.Index, LogId: &protocommon.LogId{KeyId: log},
		KindVersion:       &protorekor.KindVersion{Kind: body.Kind, Version: body.Version},
		IntegratedTime:    stored.Payload.Time,
		InclusionPromise:  &protorekor.InclusionPromise{SignedEntryTimestamp: stored.Promise},
		CanonicalizedBody: stored.Payload.Body,
	}, nil
}

// timestamp reads the time stamp of an authority.
func timestamp(text string) (*protobundle.TimestampVerificationData, error) {
	var stored struct {
		Stamp string `json:"SignedRFC3161Timestamp"`
	}
	err := json.Unmarshal([]byte(text), &stored)
	raw, bad := base64.StdEncoding.DecodeString(stored.Stamp)
	if err = errors.Join(err, bad); err != nil {
		return nil, fmt.Errorf("the annotation %s: %w", timestampAnnotation, err)
	}
	return &protobundle.TimestampVerificationData{
		Rfc3161Timestamps: []*protocommon.RFC3161SignedTimestamp{{SignedTimestamp: raw}},
	}, nil
}
