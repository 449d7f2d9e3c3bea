package cache

import (
	"bytes"
	"fmt"

	utiljson "k8s.io/apimachinery/pkg/util/json"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/lru"
	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/manifest"
)

const (
	admittedSize = 32 << 20 // limits the rendered objects that are remembered, in bytes
	entrySize    = 300      // of one that does not extend the graph, about
)

// admitted is a rendered object that was decoded and checked. It must not be changed.
type admitted struct {
	reference bundle.ObjectReference
	known     *manifest.Object // if it extends the graph (api.Known)
	flux      bool             // a component of Flux itself
}

// admissions remembers objects that were admitted, by the digest of their canonical JSON.
type admissions = lru.Cache[manifest.Digest, admitted]

func newAdmissions() *admissions { return lru.New[manifest.Digest, admitted](admittedSize) }

// admit returns an object and its canonical JSON. A known object is not decoded again. If no spoke would accept the
// object, admit returns an error.
func admit(data []byte, known *admissions) (admitted, []byte, error) {
	digest := manifest.DigestOf(data)
	if a, ok := known.Get(digest); ok {
		return a, data, nil
	}
	o := &manifest.Object{}
	if err := utiljson.Unmarshal(data, &o.Object); err != nil {
		return admitted{}, nil, fmt.Errorf("decode a rendered object: %w", err)
	}
	canonical, err := manifest.Canonical(o)
	if err != nil {
		return admitted{}, nil, err
	}
	if err := bundle.FitsObject(manifest.IDOf(o).String(), canonical); err != nil {
		return admitted{}, nil, err
	}
	isCanonical := bytes.Equal(data, canonical)
	if !isCanonical {
		digest = manifest.DigestOf(canonical)
	}
	a := admitted{reference: bundle.ObjectReference{ObjectIdentity: identityOf(o), Digest: digest},
		flux: api.IsFluxComponent(o)}
	size := entrySize
	if api.Known(o) {
		a.known, size = o, size+len(data)
	}
	if isCanonical {
		known.Put(digest, a, size)
	}
	return a, canonical, nil
}
