package ocitest

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"strings"

	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/types"
	protorekor "github.com/sigstore/protobuf-specs/gen/pb-go/rekor/v1"
	"github.com/sigstore/sigstore-go/pkg/root"
	"github.com/sigstore/sigstore-go/pkg/testing/ca"
	"github.com/sigstore/sigstore-go/pkg/tlog"
)

// Sigstore is a Sigstore with an authority, a transparency log and a time stamp authority of its own.
type Sigstore struct{ *ca.VirtualSigstore }

// NewSigstore returns a Sigstore with new keys.
func NewSigstore() (Sigstore, error) {
	s, err := ca.NewVirtualSigstore()
	return Sigstore{s}, err
}

// TrustedRoot returns a trusted_root.json. It names the parts of the Sigstore that are listed in with: rekor, ctlog,
// tsa.
func (s Sigstore) TrustedRoot(with string) ([]byte, error) {
	logs, ctlogs := map[string]*root.TransparencyLog{}, map[string]*root.TransparencyLog{}
	if strings.Contains(with, "rekor") {
		logs = s.RekorLogs()
	}
	if strings.Contains(with, "ctlog") {
		ctlogs = s.CTLogs()
	}
	for _, named := range []map[string]*root.TransparencyLog{logs, ctlogs} {
		for id, log := range named { // as roots store them
			raw, err := hex.DecodeString(id)
			if err != nil {
				return nil, err
			}
			log.ID, log.SignatureHashFunc = raw, log.HashFunc
		}
	}
	var stamps []root.TimestampingAuthority
	if strings.Contains(with, "tsa") {
		stamps = s.TimestampingAuthorities()
	}
	trusted, err := root.NewTrustedRoot(root.TrustedRootMediaType01, s.FulcioCertificateAuthorities(), ctlogs, stamps,
		logs)
	if err != nil {
		return nil, err
	}
	return trusted.MarshalJSON()
}

// LogEntry returns the entry of a signature in the transparency log, with the promise of the log to include it.
func (s Sigstore) LogEntry(e *ca.TestEntity, kind string) (*protorekor.TransparencyLogEntry, error) {
	entries, err := e.TlogEntries()
	if err != nil {
		return nil, err
	}
	l := entries[0].TransparencyLogEntry()
	promise, err := s.RekorSignPayload(tlog.RekorPayload{
		Body: base64.StdEncoding.EncodeToString(l.CanonicalizedBody), IntegratedTime: l.IntegratedTime,
		LogIndex: l.LogIndex, LogID: hex.EncodeToString(l.LogId.KeyId),
	})
	l.KindVersion = &protorekor.KindVersion{Kind: kind, Version: "0.0.1"}
	l.InclusionPromise = &protorekor.InclusionPromise{SignedEntryTimestamp: promise}
	return l, err
}

// SignAs signs a digest of a repository by an identity, as cosign 2 does without a key. The signature has what is
// listed in with: rekor, tsa.
func (s *Server) SignAs(by Sigstore, repository, digest, subject, issuer, with string) error {
	text := payloadOf(digest)
	e, err := by.Sign(subject, issuer, []byte(text))
	if err != nil {
		return err
	}
	signature, err := e.SignatureContent()
	if err != nil {
		return err
	}
	proof, err := e.VerificationContent()
	if err != nil {
		return err
	}
	annotations := map[string]string{
		"dev.cosignproject.cosign/signature": base64.StdEncoding.EncodeToString(signature.Signature()),
		"dev.sigstore.cosign/certificate": string(pem.EncodeToMemory(&pem.Block{
			Type: "CERTIFICATE", Bytes: proof.Certificate().Raw,
		})),
	}
	if strings.Contains(with, "rekor") {
		l, err := by.LogEntry(e, "hashedrekord")
		if err != nil {
			return err
		}
		annotations["dev.sigstore.cosign/bundle"] = fmt.Sprintf(`{"SignedEntryTimestamp":%s,"Payload":{"body":%s,`+
			`"integratedTime":%d,"logIndex":%d,"logID":%q}}`, inJSON(l.InclusionPromise.SignedEntryTimestamp),
			inJSON(l.CanonicalizedBody), l.IntegratedTime, l.LogIndex, hex.EncodeToString(l.LogId.KeyId))
	}
	if strings.Contains(with, "tsa") {
		stamps, err := e.Timestamps()
		if err != nil {
			return err
		}
		annotations["dev.sigstore.cosign/rfc3161timestamp"] = fmt.Sprintf(`{"SignedRFC3161Timestamp":%s}`, inJSON(stamps[0]))
	}
	return s.StoreSignature(repository, digest, text, annotations)
}

func inJSON(data []byte) string {
	text, _ := json.Marshal(data)
	return string(text)
}

// payloadOf returns what cosign 2 signs for a digest.
func payloadOf(digest string) string {
	return fmt.Sprintf(`{"critical":{"identity":{"docker-reference":""},"image":{"docker-manifest-digest":%q},`+
		`"type":"cosign container image signature"},"optional":null}`, digest)
}

// StoreSignature stores a signature beside the artifact at, which is a digest, as cosign 2 does.
func (s *Server) StoreSignature(repository, at, payload string, annotations map[string]string) error {
	image, err := mutate.Append(mutate.MediaType(empty.Image, types.OCIManifestSchema1), mutate.Addendum{
		Layer:       Layer([]byte(payload), "application/vnd.dev.cosign.simplesigning.v1+json"),
		Annotations: annotations,
	})
	if err != nil {
		return err
	}
	_, err = s.Push(repository+":"+strings.Replace(at, ":", "-", 1)+".sig", image)
	return err
}
