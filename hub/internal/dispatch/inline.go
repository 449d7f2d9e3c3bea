package dispatch

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/navefleet/nave/hub/internal/store"
	spokev1 "github.com/navefleet/nave/proto/nave/spoke/v1"
	"github.com/navefleet/nave/shared/manifest"
	"github.com/navefleet/nave/shared/telemetry"
)

// A small change travels inside of its offer, so that a spoke has it after one message. A spoke lacks the blobs that
// its new bundle reaches and the bundle that it verified last does not. Either all of them are enclosed or none: a
// spoke that must fetch some fetches all.
const (
	// bytes that the blobs add to the message; with an envelope it stays under maxSessionMessage
	maxBlobsInline  = 16 << 10
	maxChangeInline = 64  // Applications that came, and that went
	maxChanges      = 256 // remembered, at most 4 MiB
)

// changes caches the blobs that a change of Applications adds, by the digests of the removed and the added
// Applications. Equal clusters change alike, so that the blobs are read once for all of them. Only the watcher's
// goroutine uses changes.
type changes struct {
	reachable *reachableSets
	blobs     map[manifest.Digest][]*spokev1.Blob // nil: too much to enclose
}

func newChanges(r *reachableSets) *changes {
	return &changes{reachable: r, blobs: map[manifest.Digest][]*spokev1.Blob{}}
}

// enclose adds the blobs that the spoke probably lacks to an offer.
func (s *Server) enclose(ctx context.Context, x *session, o *offer) {
	held := x.mailbox.known(o)
	if held == nil || held.applications == nil || o.applications == nil {
		return
	}
	blobs, err := s.changes.between(ctx, held.applications, o.applications)
	if err != nil { // the spoke will fetch them, and get the error then
		s.Log.Debug("blobs not enclosed", telemetry.Cluster(x.cluster), telemetry.Err(err))
		return
	}
	o.message.GetOffer().Blobs = blobs
}

// between returns the blobs that a bundle of the Applications now reaches and a bundle of the Applications before does
// not; none if they are too many. The blobs are shared and must not be changed.
func (c *changes) between(ctx context.Context, before, now []manifest.Digest) ([]*spokev1.Blob, error) {
	went, came := without(before, now), without(now, before)
	if len(came) == 0 || len(came) > maxChangeInline || len(went) > maxChangeInline {
		return nil, nil
	}
	key := changeKey(went, came)
	if blobs, ok := c.blobs[key]; ok {
		return blobs, nil
	}
	blobs, err := c.read(ctx, went, came)
	if err != nil {
		return nil, err
	}
	if len(c.blobs) >= maxChanges {
		clear(c.blobs)
	}
	c.blobs[key] = blobs
	return blobs, nil
}

// without returns the digests that are not among others, in their order.
func without(digests, others []manifest.Digest) (left []manifest.Digest) {
	if slices.Equal(digests, others) {
		return nil
	}
	among := make(map[manifest.Digest]struct{}, len(others))
	for _, d := range others {
		among[d] = struct{}{}
	}
	for _, d := range digests {
		if _, is := among[d]; !is {
			left = append(left, d)
		}
	}
	return left
}

func changeKey(went, came []manifest.Digest) manifest.Digest {
	key := []byte{byte(len(went))} // at most maxChangeInline
	for _, d := range slices.Concat(went, came) {
		key = append(key, d[:]...)
	}
	return manifest.DigestOf(key)
}

// read returns the blobs of the Applications that came, and of the digests that these list and the Applications that
// went do not.
func (c *changes) read(ctx context.Context, went, came []manifest.Digest) ([]*spokev1.Blob, error) {
	p := parcel{packed: map[manifest.Digest]struct{}{}}
	for _, d := range went {
		listed, err := c.reachable.of(ctx, d)
		if errors.Is(err, store.ErrNotFound) {
			continue // swept: nobody knows any more what it listed, so that some of it may go twice
		}
		if err != nil {
			return nil, fmt.Errorf("read application %s: %w", d, err)
		}
		p.had = append(p.had, listed)
	}
	for _, d := range came {
		if fits, err := p.pack(ctx, c.reachable.blobs, d); err != nil || !fits {
			return nil, err
		}
		listed, err := c.reachable.of(ctx, d)
		if err != nil {
			return nil, fmt.Errorf("read application %s: %w", d, err)
		}
		for object := range listed {
			if fits, err := p.pack(ctx, c.reachable.blobs, object); err != nil || !fits {
				return nil, err
			}
		}
	}
	return p.blobs, nil
}

// parcel is the blobs of one change on their way into an offer.
type parcel struct {
	had    []map[manifest.Digest]struct{} // what is not packed
	packed map[manifest.Digest]struct{}
	blobs  []*spokev1.Blob
	size   int // of the message
}

// pack adds a blob unless the spoke had it or it is packed already. It returns false if the blob does not fit.
func (p *parcel) pack(ctx context.Context, from store.Blobs, d manifest.Digest) (fits bool, err error) {
	for _, have := range append(p.had[:len(p.had):len(p.had)], p.packed) {
		if _, is := have[d]; is {
			return true, nil
		}
	}
	p.packed[d] = struct{}{}
	b, err := readBlob(ctx, from, d)
	if err != nil {
		return false, err
	}
	p.blobs = append(p.blobs, b)
	p.size += protowire.SizeTag(4) + protowire.SizeBytes(proto.Size(b)) // as a field of Offer
	return p.size <= maxBlobsInline, nil
}
