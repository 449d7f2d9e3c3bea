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

// verifyField is the field that names the Secret with public keys.
const verifyField = "spec.verify.secretRef"

// Limits of what is read to verify an artifact.
const (
	maxSignatures = 32        // signatures of one artifact that are tried
	maxSigned     = 256 << 10 // bytes of what one signature signs, or of a bundle
)

// verified returns what an artifact says of its verification when it was verified with the present keys; the zero value
// if nothing has to be verified.
func (f *fetching) verified() artifact.Verification {
	if f.spec.Verify == nil {
		return artifact.Verification{}
	}
	text, _ := json.Marshal(f.Secrets[verifyField]) // byte slices: marshalling them cannot fail
	return artifact.Verification{Mode: f.spec.Verify.Provider, Keys: manifest.DigestOf(text)}
}

// verify checks that an accepted key signed the digest. Errors are source.ErrVerification, or those of the registry;
// they say who signed.
func (f *fetching) verify(ctx context.Context, digest v1.Hash) (artifact.Verification, error) {
	done := f.verified()
	if f.spec.Verify == nil {
		return done, nil
	}
	keys, err := readPublicKeys(f.Secrets[verifyField])
	if err != nil {
		return done, fmt.Errorf("%w: the Secret of %s: %w", source.ErrVerification, verifyField, err)
	}
	var refused []string
	for _, list := range []func(context.Context, v1.Hash) ([]signature, error){f.signatures, f.bundles} {
		signatures, err := list(ctx, digest)
		if err != nil {
			return done, fmt.Errorf("signatures of %s: %w", digest, err)
		}
		for _, s := range signatures {
			key, err := keys.accept(s, digest)
			if err == nil {
				done.Message = fmt.Sprintf("verified signature of %s with key %s", digest, key)
				return done, nil
			}
			refused = append(refused, err.Error())
		}
	}
	if len(refused) == 0 {
		return done, fmt.Errorf("%w: %s has no cosign signature; sign it with cosign sign --key", source.ErrVerification,
			digest)
	}
	return done, fmt.Errorf("%w: no signature of %s is accepted: %s", source.ErrVerification, digest,
		wording.List(refused, len(refused), 5))
}

// signatures returns the signatures of a digest: the layers of the image that cosign pushes to a tag that names the
// digest, each with its signature in an annotation.
func (f *fetching) signatures(ctx context.Context, digest v1.Hash) ([]signature, error) {
	d, err := f.puller.Get(ctx, f.repo.Tag(digest.Algorithm+"-"+digest.Hex+".sig"))
	var answer *transport.Error
	if errors.As(err, &answer) && answer.StatusCode == http.StatusNotFound {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	image, err := d.Image()
	if err != nil {
		return nil, err
	}
	m, err := image.Manifest()
	if err != nil {
		return nil, err
	}
	layers := slices.DeleteFunc(m.Layers, func(l v1.Descriptor) bool { return string(l.MediaType) != signedType })
	if len(layers) > maxSignatures {
		return nil, fmt.Errorf("%w: it has more than %d", artifact.ErrLimit, maxSignatures)
	}
	var found []signature
	for _, layer := range layers {
		signed, err := f.small(ctx, layer)
		if err != nil {
			return nil, err
		}
		raw, err := base64.StdEncoding.DecodeString(layer.Annotations[signatureAnnotation])
		if err != nil {
			return nil, fmt.Errorf("%w: one is not base64", source.ErrProtocol)
		}
		found = append(found, signature{
			signed: signed, raw: raw, certificate: layer.Annotations[certificateAnnotation],
			names: func(digest v1.Hash) error { return names(signed, digest) },
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
