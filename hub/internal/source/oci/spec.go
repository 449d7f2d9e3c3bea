package oci

import (
	"encoding/json"
	"fmt"
	"strings"

	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	"github.com/google/go-containerregistry/pkg/name"

	"github.com/navefleet/nave/hub/internal/source"
)

// spec is what a fetch reads of an OCIRepository.
type spec struct {
	URL      string                    `json:"url"`
	Ref      sourcev1.OCIRepositoryRef `json:"ref"`
	Layer    sourcev1.OCILayerSelector `json:"layerSelector"`
	Ignore   *string                   `json:"ignore"`
	Insecure bool                      `json:"insecure"`
	Verify   *verification             `json:"verify"`
}

// verification says how signatures are verified.
type verification struct {
	Provider  string     `json:"provider"` // cosign
	SecretRef any        `json:"secretRef"`
	Match     []identity `json:"matchOIDCIdentity"`
}

// identity has regular expressions for an identity and for who vouches for it.
type identity struct {
	Issuer  string `json:"issuer"`
	Subject string `json:"subject"`
}

// keyless reports whether identities sign, and not keys.
func (v verification) keyless() bool { return v.SecretRef == nil }

// defaultTag is followed by an OCIRepository without a reference, as in Flux.
const defaultTag = "latest"

// reference returns the field of ref that counts: "tag latest".
func (s spec) reference() string {
	switch r := s.Ref; {
	case r.Digest != "":
		return "digest " + r.Digest
	case r.SemVer != "":
		return fmt.Sprintf("version %q", r.SemVer)
	case r.Tag != "":
		return "tag " + r.Tag
	default:
		return "tag " + defaultTag
	}
}

// decode reads the object.
func (f *fetching) decode() error {
	var object struct {
		Spec spec `json:"spec"`
	}
	if err := json.Unmarshal(f.Object.JSON, &object); err != nil {
		return fmt.Errorf("%w: %w", source.ErrRequest, err)
	}
	f.spec = object.Spec
	f.Insecure = f.spec.Insecure
	var options []name.Option
	if f.Insecure {
		options = append(options, name.Insecure)
	}
	var err error
	f.Repository, err = name.NewRepository(strings.TrimPrefix(f.spec.URL, sourcev1.OCIRepositoryPrefix), options...)
	if err != nil {
		return fmt.Errorf("%w: spec.url: %w", source.ErrRequest, err)
	}
	f.ID = f.CacheID(f.spec.URL)
	return nil
}
