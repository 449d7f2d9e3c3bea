package dispatch

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/klauspost/compress/zstd"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/navefleet/nave/hub/internal/lru"
	"github.com/navefleet/nave/hub/internal/store"
	spokev1 "github.com/navefleet/nave/proto/nave/spoke/v1"
	"github.com/navefleet/nave/shared/bundle"
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
	known, err := s.unstored(stream.Context(), caller, wanted)
	if err != nil {
		return err
	}
	for len(wanted) > 0 {
		blobs, err := s.read(stream.Context(), caller.cluster, known, wanted)
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

// readDigests returns the digests of a request. If there are too many, or one is malformed or listed twice, the error
// is INVALID_ARGUMENT.
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

// unstored returns the blobs that are not in the store: the envelope, and the content of an open preview. If the caller
// may not have one of the wanted blobs, the error is NOT_FOUND.
func (s *Server) unstored(ctx context.Context, caller caller, wanted []manifest.Digest) (map[manifest.Digest][]byte,
	error) {
	asked := s.asked(caller.cluster)
	envelope, err := s.authorise(ctx, caller, slices.DeleteFunc(slices.Clone(wanted),
		func(d manifest.Digest) bool { return asked[d] != nil }))
	if err != nil {
		return nil, err
	}
	known := map[manifest.Digest][]byte{manifest.DigestOf(envelope): envelope}
	maps.Copy(known, asked)
	return known, nil
}

// authorise returns the envelope of the bundle that reaches everything that is wanted: the signed bundle, or the newest
// that the session was offered, which is older while the signed one is held back. A digest of another cluster and one
// that does not exist get the same answer.
func (s *Server) authorise(ctx context.Context, caller caller, wanted []manifest.Digest) (envelope []byte, err error) {
	var signed store.SignedBundle
	err = s.view(ctx, caller, func(tx *store.Tx) (err error) {
		signed, _, err = store.SignedBundles.Get(tx, caller.cluster)
		return err
	})
	missing, reached := manifest.Digest{}, false
	if err == nil {
		missing, reached, err = s.reachable.allows(ctx, signed.Envelope, wanted)
	}
	if err != nil {
		return nil, s.readFailed(ctx, caller.cluster, err)
	}
	if reached {
		return signed.Envelope, nil
	}
	envelope = s.offered(caller.cluster, signed.Bundle)
	if _, reached, err = s.reachable.allows(ctx, envelope, wanted); err == nil && reached { // else it may be swept
		return envelope, nil
	}
	return nil, status.Errorf(codes.NotFound, "%s is not in the signed bundle of %s", missing, caller.cluster)
}

// offered returns the envelope of the newest bundle that the cluster's session was offered, if it is another one than
// the signed one and the spoke does not have it yet.
func (s *Server) offered(cluster string, signed bundle.ID) []byte {
	x := s.sessions.get(cluster)
	if x == nil {
		return nil
	}
	if o := x.mailbox.latest(); o != nil && o.id != signed {
		return o.envelope
	}
	return nil
}

// readFailed returns the answer to an error. It logs an error of the hub's own and hides it from the caller. If a blob
// is missing or damaged, readFailed asks the planner to make it anew.
func (s *Server) readFailed(ctx context.Context, cluster string, err error) error {
	answer := refusal(err)
	if errors.Is(err, store.ErrNotFound) || errors.Is(err, store.ErrDamaged) {
		err = errors.Join(err, s.repair(ctx, cluster))
	}
	if status.Code(answer) == codes.Unavailable && s.quotas.warn(cluster, condition.BlobsUnread, time.Now()) {
		s.Log.Error("blobs that a spoke fetches cannot be read", telemetry.Cluster(cluster), telemetry.Err(err))
	}
	return answer
}

// repair asks the planner for what is missing of a cluster's plan.
func (s *Server) repair(ctx context.Context, cluster string) error {
	return s.Store.Update(ctx, func(tx *store.Tx) error {
		if _, asked, err := store.Repairs.Get(tx, cluster); err != nil || asked {
			return err
		}
		return store.Repairs.Put(tx, cluster, store.Repair{})
	})
}

// read reads at least one of the wanted blobs, and more of them up to readAhead bytes. known are blobs that are not in
// the store.
func (s *Server) read(ctx context.Context, cluster string, known map[manifest.Digest][]byte,
	wanted []manifest.Digest) ([]*spokev1.Blob, error) {
	var blobs []*spokev1.Blob
	for total := 0; len(blobs) < len(wanted) && total < readAhead; {
		d := wanted[len(blobs)]
		var b *spokev1.Blob
		var err error
		if data, ok := known[d]; ok {
			b = &spokev1.Blob{Digest: d[:], Size: uint64(len(data)), Frame: encoder.EncodeAll(data, nil)}
		} else {
			b, err = s.whole.read(ctx, d)
		}
		if err != nil {
			return nil, s.readFailed(ctx, cluster, err)
		}
		blobs, total = append(blobs, b), total+len(b.Frame)
	}
	return blobs, nil
}

// readBlob returns a blob of the store. If it does not exist, the error wraps store.ErrNotFound.
func readBlob(ctx context.Context, from store.Blobs, d manifest.Digest) (*spokev1.Blob, error) {
	frame, size, err := from.Compressed(ctx, d)
	if err != nil {
		return nil, fmt.Errorf("read blob %s: %w", d, err)
	}
	return &spokev1.Blob{Digest: d[:], Size: size, Frame: frame}, nil
}

// wholeBlobs reads blobs, and verifies each of them when it is read first: a spoke cannot tell the hub that its blob is
// damaged.
type wholeBlobs struct {
	blobs    store.Blobs
	verified *lru.Cache[manifest.Digest, struct{}]
}

func newWholeBlobs(b store.Blobs) *wholeBlobs {
	return &wholeBlobs{b, lru.New[manifest.Digest, struct{}](maxReachable)}
}

func (w *wholeBlobs) read(ctx context.Context, d manifest.Digest) (*spokev1.Blob, error) {
	if _, ok := w.verified.Get(d); !ok {
		if _, err := w.blobs.Get(ctx, d); err != nil {
			return nil, fmt.Errorf("verify blob %s: %w", d, err)
		}
		w.verified.Put(d, struct{}{}, 1)
	}
	return readBlob(ctx, w.blobs, d)
}

// encoder makes the frames of envelopes, which are not stored compressed. EncodeAll may be called concurrently. The
// options are constants, so there is no error.
var encoder, _ = zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1))

// sendBlob sends one blob in chunks.
func (s *Server) sendBlob(stream spokev1.SpokeService_FetchServer, b *spokev1.Blob) error {
	m, frame := &spokev1.FetchResponse{Digest: b.Digest, Size: b.Size}, b.Frame
	for {
		n := min(len(frame), maxChunk)
		m.Data, frame = frame[:n], frame[n:]
		m.Last = len(frame) == 0
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
