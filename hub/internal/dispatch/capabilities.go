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

// named returns the digest of the capabilities that a hello names if the store has them, and zero otherwise; lacks is
// true if the store does not have them. Another blob does not count: a spoke must not learn whether the hub has what it
// guesses of other clusters.
func (s *Server) named(ctx context.Context, hello *spokev1.Hello) (has manifest.Digest, lacks bool, err error) {
	if len(hello.CapabilitiesDigest) == 0 {
		return has, false, nil
	}
	d, err := manifest.DigestFromBytes(hello.CapabilitiesDigest)
	if err != nil {
		return has, false, invalid("digest of capabilities: %v", err)
	}
	blobs := s.Store.Blobs()
	_, size, err := blobs.Compressed(ctx, d)
	if err == nil && size > reporting.MaxCapabilities {
		return has, true, nil
	}
	var data []byte
	if err == nil {
		data, err = blobs.Get(ctx, d)
	}
	if errors.Is(err, store.ErrNotFound) || errors.Is(err, store.ErrDamaged) ||
		err == nil && proto.Unmarshal(data, &spokev1.Capabilities{}) != nil {
		return has, true, nil
	}
	if err == nil {
		has, err = blobs.Put(ctx, data) // no sweep deletes them before the row names them
	}
	return has, false, refusal(err)
}

// capabilities stores the capabilities that a spoke sends. If the cluster exceeds its quota, or the store cannot be
// written, the message is dropped: the next hello names the digest again.
func (s *Server) capabilities(ctx context.Context, x *session, data []byte) error {
	if len(data) > reporting.MaxCapabilities {
		return invalid("capabilities of %d bytes: at most %d", len(data), reporting.MaxCapabilities)
	}
	if err := proto.Unmarshal(data, &spokev1.Capabilities{}); err != nil {
		return invalid("capabilities: %v", err)
	}
	if now := time.Now(); !s.quotas.served.Allow(x.cluster, 1, now) {
		if s.quotas.warn(x.cluster, "capabilities", now) {
			s.Log.Warn("capabilities dropped: the cluster sends them too often", telemetry.Cluster(x.cluster))
		}
		return nil
	}
	d, err := s.Store.Blobs().Put(ctx, data)
	if err != nil {
		s.Log.Warn("capabilities not stored", telemetry.Cluster(x.cluster), telemetry.Err(err))
		return nil
	}
	s.batch.edit(x.cluster, func(delta *spokeDelta) { delta.capabilities = d })
	return nil
}
