package oci

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/navefleet/nave/hub/internal/source"
	"github.com/navefleet/nave/shared/wording"
)

// How cosign stores signatures (cosign's SIGNATURE_SPEC).
const (
	signedType            = "application/vnd.dev.cosign.simplesigning.v1+json"
	signedWord            = "cosign container image signature"
	signatureAnnotation   = "dev.cosignproject.cosign/signature"
	certificateAnnotation = "dev.sigstore.cosign/certificate"
)

// signature is one signature of an artifact, as the registry has it.
type signature struct {
	signed, raw []byte
	names       func(digest v1.Hash) error // checks that the signed payload names the digest
	certificate string                     // PEM; empty if the signature was made with a key
	annotations map[string]string          // of the layer that the signature is stored in
	bundle      []byte                     // JSON; nil: the signature is stored in annotations
}

// acceptor decides about signatures.
type acceptor interface {
	// accept returns the accepted signer of a signature for the digest. If there is none, the error has the reason, and
	// the signer that the registry names.
	accept(s signature, digest v1.Hash) (string, error)
}

// publicKeys are the accepted keys by their name in the Secret.
type publicKeys map[string]crypto.PublicKey

// readPublicKeys reads every *.pub of a Secret. If there is none, or one cannot be read, readPublicKeys returns an
// error.
func readPublicKeys(data source.Secret) (publicKeys, error) {
	keys := publicKeys{}
	for name, text := range data {
		if !strings.HasSuffix(name, ".pub") {
			continue
		}
		key, err := readPublicKey(text)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		keys[name] = key
	}
	if len(keys) == 0 {
		return nil, errors.New("it has no public key: want keys that end in .pub, such as cosign.pub")
	}
	return keys, nil
}

const minRSA = 2048 // bits

func readPublicKey(text []byte) (crypto.PublicKey, error) {
	block, _ := pem.Decode(text)
	if block == nil || block.Type != "PUBLIC KEY" {
		return nil, errors.New("want a public key in PEM form (BEGIN PUBLIC KEY), as cosign generate-key-pair writes it")
	}
	key, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		return nil, err
	}
	switch key := key.(type) {
	case *ecdsa.PublicKey, ed25519.PublicKey:
		return key, nil
	case *rsa.PublicKey:
		if bits := key.N.BitLen(); bits < minRSA {
			return nil, fmt.Errorf("an RSA key of %d bits is too short", bits)
		}
		return key, nil
	default:
		return nil, fmt.Errorf("keys of type %T are not supported: want ECDSA, RSA or Ed25519", key)
	}
}

// fingerprint returns the SHA-256 of a public key, as openssl pkey -pubin -outform DER | sha256sum prints it.
func fingerprint(key crypto.PublicKey) string {
	der, _ := x509.MarshalPKIXPublicKey(key) // it was read from this form
	sum := sha256.Sum256(der)
	return "sha256:" + hex.EncodeToString(sum[:8])
}

// String lists the keys for messages.
func (k publicKeys) String() string {
	var all []string
	for _, name := range slices.Sorted(maps.Keys(k)) {
		all = append(all, k.describe(name))
	}
	return wording.List(all, len(all), 5)
}

func (k publicKeys) describe(name string) string {
	return fmt.Sprintf("%s (%s)", name, fingerprint(k[name]))
}

// accept implements acceptor.
func (k publicKeys) accept(s signature, digest v1.Hash) (string, error) {
	for _, name := range slices.Sorted(maps.Keys(k)) {
		if signs(k[name], s.signed, s.raw) {
			return "key " + k.describe(name), s.names(digest)
		}
	}
	if who := identityOf(s.certificate); who != "" {
		return "", fmt.Errorf("a signature is by the identity %s, not by a key of %s", who, k)
	}
	return "", fmt.Errorf("a signature is by another key than %s", k)
}

// signs reports whether a key made a signature.
func signs(key crypto.PublicKey, signed, signature []byte) bool {
	sum := sha256.Sum256(signed)
	switch key := key.(type) {
	case *ecdsa.PublicKey:
		return ecdsa.VerifyASN1(key, sum[:], signature)
	case *rsa.PublicKey:
		return rsa.VerifyPKCS1v15(key, crypto.SHA256, sum[:], signature) == nil
	case ed25519.PublicKey:
		return ed25519.Verify(key, signed, signature)
	default:
		return false
	}
}

// names returns an error if the signed payload does not name the digest.
func names(signed []byte, digest v1.Hash) error {
	var statement struct {
		Critical struct {
			Image struct {
				Digest string `json:"docker-manifest-digest"`
			} `json:"image"`
			Type string `json:"type"`
		} `json:"critical"`
	}
	switch err := json.Unmarshal(signed, &statement); {
	case err != nil:
		return fmt.Errorf("the payload of a signature is not JSON: %w", err)
	case statement.Critical.Type != signedWord:
		return fmt.Errorf("the payload of a signature is of type %q, want %q", statement.Critical.Type, signedWord)
	case statement.Critical.Image.Digest != digest.String():
		return fmt.Errorf("a signature is for another artifact: %q", statement.Critical.Image.Digest)
	}
	return nil
}

// identityOf returns the unverified names in a certificate in PEM form. If the certificate cannot be read, identityOf
// returns "".
func identityOf(certificate string) string {
	block, _ := pem.Decode([]byte(certificate))
	if block == nil {
		return ""
	}
	c, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return ""
	}
	all := slices.Clone(c.EmailAddresses)
	for _, u := range c.URIs {
		all = append(all, u.String())
	}
	return wording.List(all, len(all), 3)
}
