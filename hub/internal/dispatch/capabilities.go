package dispatch

import (
	"context"
	"errors"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/navefleet/nave/hub/internal/store"
	spokev1 "github.com/navefleet/nave/proto/nave/spoke/v1"
	"github.com/navefleet/nave/shared/manifest"
	"github.com/navefleet/nave/shared/reporting"
	"github.com/navefleet/nave/shared/telemetry"
)

// A cluster's capabilities are a blob, which equal clusters share; its Spoke row names the digest. A spoke sends the
// digest with each hello, and the capabilities themselves only when the hub lacks them.

// named returns the digest of the capabilities that a hello names, zero if it names none, and whether the hub lacks
// them.
func (s *Server) named(ctx context.Context, hello *spokev1.Hello) (d manifest.Digest, lacks bool, err error) {
	if len(hello.CapabilitiesDigest) == 0 {
		return d, false, nil
	}
	if d, err = manifest.DigestFromBytes(hello.CapabilitiesDigest); err != nil {
		return d, false, invalid("digest of capabilities: %v", err)
	}
	if lacks, err = s.lacks(ctx, d); err != nil {
		return d, false, refusal(err)
	}
	return d, lacks, nil
}

// lacks reports whether the store has no capabilities with the digest. Another blob does not count: a spoke must not
// learn whether the hub has what it guesses of other clusters.
func (s *Server) lacks(ctx context.Context, d manifest.Digest) (bool, error) {
	_, size, err := s.store.Blobs().Compressed(ctx, d)
	if err == nil && size > reporting.MaxCapabilities {
		return true, nil
	}
	var data []byte
	if err == nil {
		data, err = s.store.Blobs().Get(ctx, d)
	}
	if errors.Is(err, store.ErrNotFound) || errors.Is(err, store.ErrDamaged) {
		return true, nil
	}
	return proto.Unmarshal(data, &spokev1.Capabilities{}) != nil, err
}

// capabilities keeps what a spoke says that its API server serves. If the cluster sends more than its quota, or the
// store cannot be written, the message is dropped: the next hello names the digest again.
func (s *Server) capabilities(ctx context.Context, x *session, data []byte) error {
	if len(data) > reporting.MaxCapabilities {
		return invalid("capabilities of %d bytes: at most %d", len(data), reporting.MaxCapabilities)
	}
	if err := proto.Unmarshal(data, &spokev1.Capabilities{}); err != nil {
		return invalid("capabilities: %v", err)
	}
	if now := time.Now(); !s.quotas.served.Allow(x.cluster, 1, now) {
		if s.quotas.warn(x.cluster, "capabilities", now) {
			s.log.Warn("capabilities dropped: the cluster sends them too often", telemetry.Cluster(x.cluster))
		}
		return nil
	}
	d, err := s.store.Blobs().Put(ctx, data)
	if err != nil {
		s.log.Warn("capabilities not stored", telemetry.Cluster(x.cluster), telemetry.Err(err))
		return nil
	}
	s.batch.capabilities(x.cluster, d)
	return nil
}
