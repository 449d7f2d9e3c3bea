package dispatch

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/klauspost/compress/zstd"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/navefleet/nave/hub/internal/store"
	spokev1 "github.com/navefleet/nave/proto/nave/spoke/v1"
	"github.com/navefleet/nave/shared/condition"
	"github.com/navefleet/nave/shared/manifest"
	"github.com/navefleet/nave/shared/telemetry"
)

// Sizes of Fetch.
const (
	maxFetchDigests = 4096
	maxChunk        = 64 << 10 // 8 s over 64 kbit/s
	readAhead       = 1 << 20  // bytes read from the store in one View; no View is open while a spoke takes its time
)

// Fetch implements spokev1.SpokeServiceServer.
func (s *Server) Fetch(r *spokev1.FetchRequest, stream spokev1.SpokeService_FetchServer) error {
	caller, err := s.caller(stream.Context())
	if err != nil {
		return err
	}
	wanted, err := readDigests(r)
	if err != nil {
		return err
	}
	release, err := s.quotas.fetch(caller.cluster)
	if err != nil {
		return err
	}
	defer release()
	desired, err := s.authorise(stream.Context(), caller, wanted)
	if err != nil {
		return err
	}
	for len(wanted) > 0 {
		blobs, err := s.read(stream.Context(), caller.cluster, desired, wanted)
		if err != nil {
			return err
		}
		for _, b := range blobs {
			if err := s.sendBlob(stream, b); err != nil {
				return err
			}
		}
		wanted = wanted[len(blobs):]
	}
	return nil
}

// readDigests returns what a request asks for; INVALID_ARGUMENT for too many digests, malformed ones, or one twice.
func readDigests(r *spokev1.FetchRequest) ([]manifest.Digest, error) {
	if n := len(r.Digests); n > maxFetchDigests {
		return nil, invalid("%d digests: at most %d", n, maxFetchDigests)
	}
	wanted := make([]manifest.Digest, len(r.Digests))
	seen := make(map[manifest.Digest]struct{}, len(r.Digests))
	for i, b := range r.Digests {
		d, err := manifest.DigestFromBytes(b)
		if err != nil {
			return nil, invalid("%v", err)
		}
		if _, again := seen[d]; again { // one small request must not cost thousands of large blobs
			return nil, invalid("%s is asked for twice", d)
		}
		seen[d], wanted[i] = struct{}{}, d
	}
	return wanted, nil
}

// authorise returns the cluster's desired row when it reaches everything that is wanted. A digest of another cluster
// and one that does not exist get the same answer.
func (s *Server) authorise(ctx context.Context, caller caller, wanted []manifest.Digest) (desired store.SignedBundle,
	err error) {
	published := false
	err = s.store.View(ctx, func(tx *store.Tx) (err error) {
		if err = admitted(tx, caller); err == nil {
			desired, published, err = store.SignedBundles.Get(tx, caller.cluster)
		}
		return err
	})
	missing, reached := manifest.Digest{}, len(wanted) == 0
	switch {
	case err != nil:
		err = s.warnRevoked(caller, err)
	case published:
		missing, reached, err = s.reachable.allows(ctx, desired, wanted)
	case len(wanted) > 0:
		missing = wanted[0]
	}
	if err != nil {
		return store.SignedBundle{}, s.readFailed(caller.cluster, err)
	}
	if !reached {
		return store.SignedBundle{}, status.Errorf(codes.NotFound, "%s is not in the desired bundle of %s", missing,
			caller.cluster)
	}
	return desired, nil
}

// readFailed logs what is the hub's own trouble and hides it from the caller.
func (s *Server) readFailed(cluster string, err error) error {
	answer := refusal(err)
	if status.Code(answer) == codes.Unavailable && s.quotas.warn(cluster, condition.BlobsUnread, time.Now()) {
		s.log.Error("read blobs for a spoke", telemetry.Cluster(cluster), telemetry.Err(err))
	}
	return answer
}

// blob is one blob on its way: a zstd frame and the length of what is in it.
type blob struct {
	digest manifest.Digest
	frame  []byte
	size   uint64
}

// read reads at least one of the wanted blobs, and more of them up to readAhead bytes.
func (s *Server) read(ctx context.Context, cluster string, desired store.SignedBundle, wanted []manifest.Digest) (
	[]blob, error) {
	envelope := manifest.DigestOf(desired.Envelope)
	var blobs []blob
	for total := 0; len(blobs) < len(wanted) && total < readAhead; {
		b := blob{digest: wanted[len(blobs)]}
		var err error
		if b.digest == envelope {
			b.frame, b.size, err = compress(desired.Envelope)
		} else {
			b.frame, b.size, err = s.store.Blobs().Compressed(ctx, b.digest)
		}
		if errors.Is(err, store.ErrNotFound) { // swept meanwhile: a newer bundle is on its way
			return nil, status.Errorf(codes.NotFound, "%s is not in the desired bundle any more", b.digest)
		}
		if err != nil {
			return nil, s.readFailed(cluster, fmt.Errorf("read blob %s: %w", b.digest, err))
		}
		blobs, total = append(blobs, b), total+len(b.frame)
	}
	return blobs, nil
}

// encoder makes the frames of envelopes, which are not stored compressed. EncodeAll may be called concurrently.
var encoder, errEncoder = zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1))

func compress(data []byte) ([]byte, uint64, error) {
	if errEncoder != nil {
		return nil, 0, errEncoder
	}
	return encoder.EncodeAll(data, nil), uint64(len(data)), nil
}

// sendBlob sends one blob in chunks.
func (s *Server) sendBlob(stream spokev1.SpokeService_FetchServer, b blob) error {
	m := &spokev1.FetchResponse{Digest: b.digest[:], Size: b.size}
	for {
		n := min(len(b.frame), maxChunk)
		m.Data, b.frame = b.frame[:n], b.frame[n:]
		m.Last = len(b.frame) == 0
		if err := stream.Send(m); err != nil {
			return err
		}
		s.metrics.fetched.Add(float64(n))
		if m.Last {
			return nil
		}
		m = &spokev1.FetchResponse{}
	}
}
