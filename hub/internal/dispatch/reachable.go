package dispatch

import (
	"context"
	"fmt"

	"github.com/navefleet/nave/hub/internal/lru"
	"github.com/navefleet/nave/hub/internal/store"
	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/manifest"
	"github.com/navefleet/nave/shared/signing"
)

// maxReachable is how many digests reachableSets holds: at most about 100 MiB of memory.
const maxReachable = 1 << 20

// reachableSets computes which blobs a cluster may fetch: the envelope of its bundle, the Applications of the bundle,
// and the digests that these list. A cluster gets no other blob, even if it knows the digest. The list of an
// Application never changes, so the sets are cached by the Application's digest. Equal clusters share them.
type reachableSets struct {
	blobs         store.Blobs
	byApplication *lru.Cache[manifest.Digest, map[manifest.Digest]struct{}]
}

func newReachableSets(b store.Blobs) *reachableSets {
	return &reachableSets{b, lru.New[manifest.Digest, map[manifest.Digest]struct{}](maxReachable)}
}

// allows returns the first digest that the bundle of an envelope does not reach, and true if it reaches all of them. No
// envelope reaches nothing.
func (r *reachableSets) allows(ctx context.Context, envelope []byte, wanted []manifest.Digest) (
	missing manifest.Digest, ok bool, err error) {
	left := make(map[manifest.Digest]struct{}, len(wanted))
	for _, d := range wanted {
		left[d] = struct{}{}
	}
	if len(envelope) > 0 {
		if err := r.remove(ctx, envelope, left); err != nil {
			return manifest.Digest{}, false, err
		}
	}
	for _, d := range wanted {
		if _, is := left[d]; is {
			return d, false, nil
		}
	}
	return manifest.Digest{}, true, nil
}

// remove deletes the digests from left that the bundle of an envelope reaches.
func (r *reachableSets) remove(ctx context.Context, envelope []byte, left map[manifest.Digest]struct{}) error {
	if delete(left, manifest.DigestOf(envelope)); len(left) == 0 {
		return nil
	}
	b, err := readBundle(envelope)
	if err != nil {
		return err
	}
	for _, e := range b.Applications {
		delete(left, e.Digest)
	}
	for _, e := range b.Applications {
		if len(left) == 0 {
			return nil
		}
		digests, err := r.of(ctx, e.Digest)
		if err != nil {
			return fmt.Errorf("read application %s: %w", e.Name, err)
		}
		for d := range left {
			if _, is := digests[d]; is {
				delete(left, d)
			}
		}
	}
	return nil
}

// readBundle returns the bundle of an envelope that the hub itself signed.
func readBundle(signed []byte) (*bundle.Bundle, error) {
	envelope, err := signing.DecodeEnvelope(signed)
	if err != nil {
		return nil, fmt.Errorf("read signed envelope: %w", err)
	}
	b, err := bundle.DecodeBundle(envelope.Payload)
	if err != nil {
		return nil, fmt.Errorf("read signed bundle: %w", err)
	}
	return b, nil
}

// of returns the digests that an Application lists. The map is shared and must not be changed.
func (r *reachableSets) of(ctx context.Context, application manifest.Digest) (map[manifest.Digest]struct{}, error) {
	if digests, ok := r.byApplication.Get(application); ok {
		return digests, nil
	}
	a, err := store.ReadApplication(ctx, r.blobs, application)
	if err != nil {
		return nil, err
	}
	digests := map[manifest.Digest]struct{}{}
	for _, d := range a.Digests() {
		digests[d] = struct{}{}
	}
	r.byApplication.Put(application, digests, len(digests)+1)
	return digests, nil
}
