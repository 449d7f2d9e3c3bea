package session

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/manifest"
	"github.com/navefleet/nave/spoke/internal/state"

	spokev1 "github.com/navefleet/nave/proto/nave/spoke/v1"
)

const maxDigests = 4096 // of one Fetch call

// ErrProtocol means that the hub sent an answer that does not fit the request.
var ErrProtocol = errors.New("the hub breaks the protocol")

// Fetch asks the hub for blobs and calls store for each, in the order of digests, with the digest, the announced size
// and the zstd frame. None of them is verified yet. A frame is at most as long as its announced size allows. Fetch ends
// with the first error of store, or with errStalled if the connection stalls.
func (s *Session) Fetch(ctx context.Context, digests []manifest.Digest,
	store func(d manifest.Digest, size uint64, frame []byte) error) error {
	for batch := range slices.Chunk(digests, maxDigests) {
		if err := s.fetch(ctx, batch, store); err != nil {
			return fmt.Errorf("fetch %d blobs: %w", len(batch), err)
		}
	}
	return nil
}

func (s *Session) fetch(ctx context.Context, digests []manifest.Digest,
	store func(manifest.Digest, uint64, []byte) error) error {
	hub := s.client.Load()
	if hub == nil {
		return ErrDisconnected
	}
	request := &spokev1.FetchRequest{}
	for _, d := range digests {
		request.Digests = append(request.Digests, d[:])
	}
	ctx, cancel := hub.meter.watch(ctx)
	defer cancel(nil)
	watchdog := time.AfterFunc(callTimeout, func() { cancel(errStalled) })
	defer watchdog.Stop()
	stream, err := hub.Fetch(ctx, request)
	if err != nil {
		return causeOf(ctx, err)
	}
	for _, d := range digests {
		size, frame, err := readBlob(stream, d, func() { watchdog.Reset(callTimeout) })
		if err != nil {
			return causeOf(ctx, err)
		}
		if err := store(d, size, frame); err != nil {
			return err
		}
	}
	if _, err = stream.Recv(); err == nil {
		return fmt.Errorf("%w: more blobs than asked for", ErrProtocol)
	}
	if errors.Is(err, io.EOF) {
		return nil
	}
	return causeOf(ctx, err)
}

// readBlob reads the chunks of one blob, and calls progress after each.
func readBlob(stream spokev1.SpokeService_FetchClient, want manifest.Digest, progress func()) (uint64, []byte, error) {
	var size uint64
	var frame []byte
	for first := true; ; first = false {
		chunk, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return 0, nil, fmt.Errorf("%w: the answer ends before blob %s", ErrProtocol, want)
		}
		if err != nil {
			return 0, nil, err
		}
		progress()
		if first {
			if d, err := manifest.DigestFromBytes(chunk.GetDigest()); err != nil || d != want {
				return 0, nil, fmt.Errorf("%w: the answer has another blob than %s", ErrProtocol, want)
			}
			if size = chunk.GetSize(); size > bundle.MaxBlobBytes {
				return 0, nil, fmt.Errorf("%w: blob %s has %d bytes, the limit is %d", ErrProtocol, want, size, bundle.MaxBlobBytes)
			}
		} else if len(chunk.GetDigest()) > 0 || chunk.GetSize() > 0 {
			return 0, nil, fmt.Errorf("%w: another blob begins inside of blob %s", ErrProtocol, want)
		}
		if uint64(len(frame)+len(chunk.GetData())) > state.MaxFrame(size) {
			return 0, nil, fmt.Errorf("%w: blob %s is longer than announced", ErrProtocol, want)
		}
		frame = append(frame, chunk.GetData()...)
		if chunk.GetLast() {
			return size, frame, nil
		}
	}
}
