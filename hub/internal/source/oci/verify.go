package oci

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"

	"github.com/navefleet/nave/hub/internal/artifact"
	"github.com/navefleet/nave/hub/internal/source"
	"github.com/navefleet/nave/shared/manifest"
	"github.com/navefleet/nave/shared/wording"
)

// The fields that name Secrets to verify with.
const (
	verifyField = "spec.verify.secretRef"            // public keys
	rootField   = "spec.verify.trustedRootSecretRef" // the trusted root of a Sigstore, for signatures without keys
)

// Limits of the verification of an artifact.
const (
	maxSignatures = 32        // signatures of one artifact that are tried
	maxSigned     = 256 << 10 // bytes of the payload of a signature, or of a bundle
)

// verified returns the verification with the present keys, trusted root and identities, without a message. If nothing
// has to be verified, verified returns the zero value.
func (f *fetching) verified() artifact.Verification {
	if f.spec.Verify == nil {
		return artifact.Verification{}
	}
	var with any = f.Secrets[verifyField]
	if f.spec.Verify.keyless() {
		with = []any{f.Secrets[rootField], f.spec.Verify.Match}
	}
	text, _ := json.Marshal(with) // byte slices and texts: marshalling them cannot fail
	return artifact.Verification{Mode: f.spec.Verify.Provider, Keys: manifest.DigestOf(text)}
}

// acceptor reads the keys, or the trusted root. Errors are source.ErrVerification.
func (f *fetching) acceptor() (a acceptor, err error) {
	at := verifyField
	if f.spec.Verify.keyless() {
		at = rootField
		a, err = newKeyless(f.Secrets[at], f.spec.Verify.Match)
	} else {
		a, err = readPublicKeys(f.Secrets[at])
	}
	if err != nil {
		return nil, fmt.Errorf("%w: the Secret of %s: %w", source.ErrVerification, at, err)
	}
	return a, nil
}

// verify checks that an accepted key or identity signed the digest. Errors are source.ErrVerification, or those of the
// registry; they say who signed.
func (f *fetching) verify(ctx context.Context, digest v1.Hash) (artifact.Verification, error) {
	done := f.verified()
	if f.spec.Verify == nil {
		return done, nil
	}
	accepted, err := f.acceptor()
	if err != nil {
		return done, err
	}
	var refused []string
	for _, list := range []func(context.Context, v1.Hash) ([]signature, error){f.signatures, f.bundles} {
		signatures, err := list(ctx, digest)
		if err != nil {
			return done, fmt.Errorf("signatures of %s: %w", digest, err)
		}
		for _, s := range signatures {
			who, err := accepted.accept(s, digest)
			if err == nil {
				done.Message = fmt.Sprintf("verified signature of %s with %s", digest, who)
				return done, nil
			}
			refused = append(refused, err.Error())
		}
	}
	if len(refused) == 0 {
		return done, fmt.Errorf("%w: %s has no cosign signature; sign it with cosign sign", source.ErrVerification, digest)
	}
	return done, fmt.Errorf("%w: no signature of %s is accepted: %s", source.ErrVerification, digest,
		wording.List(refused, len(refused), 5))
}

// signatures returns the signatures of a digest: the layers of the image that cosign pushes to a tag that names the
// digest, each with its signature in an annotation.
func (f *fetching) signatures(ctx context.Context, digest v1.Hash) ([]signature, error) {
	m, err := f.manifest(ctx, f.Repository.Tag(digest.Algorithm+"-"+digest.Hex+".sig"))
	var answer *transport.Error
	if errors.As(err, &answer) && answer.StatusCode == http.StatusNotFound {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	layers := slices.DeleteFunc(m.Layers, func(l v1.Descriptor) bool { return string(l.MediaType) != signedType })
	if len(layers) > maxSignatures {
		return nil, fmt.Errorf("%w: more than %d signatures", artifact.ErrLimit, maxSignatures)
	}
	var found []signature
	for _, layer := range layers {
		signed, err := f.small(ctx, layer)
		if err != nil {
			return nil, err
		}
		raw, err := base64.StdEncoding.DecodeString(layer.Annotations[signatureAnnotation])
		if err != nil {
			return nil, fmt.Errorf("%w: the annotation %s of a signature is not base64", source.ErrProtocol,
				signatureAnnotation)
		}
		found = append(found, signature{
			signed: signed, raw: raw, certificate: layer.Annotations[certificateAnnotation],
			annotations: layer.Annotations,
			names:       func(digest v1.Hash) error { return names(signed, digest) },
		})
	}
	return found, nil
}

// small returns the content of a small layer, whose digest is verified.
func (f *fetching) small(ctx context.Context, d v1.Descriptor) ([]byte, error) {
	if d.Size > maxSigned {
		return nil, fmt.Errorf("%w: layer %s has %s, the limit is %s", artifact.ErrLimit, d.Digest,
			artifact.FormatSize(d.Size), artifact.FormatSize(maxSigned))
	}
	blob, err := f.download(ctx, d)
	if err != nil {
		return nil, err
	}
	defer blob.Close()
	content := make([]byte, d.Size)
	n, err := blob.ReadAt(content, 0)
	if int64(n) != d.Size {
		return nil, artifact.StorageError(err)
	}
	return content, nil
}
