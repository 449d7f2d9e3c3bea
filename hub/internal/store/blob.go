package store

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"sync"

	"github.com/klauspost/compress/zstd"

	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/manifest"
)

// Blobs keeps data under its SHA-256 digest, apart from the rows that name it. Put the data first, then Update the row:
//
//	d, err := s.Blobs().Put(ctx, data)
//	s.Update(ctx, func(tx *store.Tx) error { return store.Plans.Put(tx, cluster, planWith(d)) })
//
// No method may be called from within a function that View or Update runs.
type Blobs interface {
	// Put keeps data and returns its digest. The data can be read at once, is on disk no later than any row that is
	// written after Put returned, and outlives the next sweep. If the data is there already, Put costs a look-up. If data
	// has more than bundle.MaxBlobBytes, the error is a *bundle.TooLargeError. Errors: also those of Update.
	Put(ctx context.Context, data []byte) (manifest.Digest, error)
	// Get returns the data with the digest. Errors: ErrNotFound; ErrDamaged if it is not the data that was put.
	Get(ctx context.Context, d manifest.Digest) ([]byte, error)
	// Compressed returns the data with the digest as one zstd frame, and its size in bytes before compression. Errors:
	// ErrNotFound, ErrDamaged.
	Compressed(ctx context.Context, d manifest.Digest) (frame []byte, size uint64, err error)
	// Has reports whether there is data with the digest. The next sweep may delete it; Put keeps it.
	Has(ctx context.Context, d manifest.Digest) (bool, error)
	// Delete removes damaged data, so that Put writes it anew.
	Delete(ctx context.Context, digests ...manifest.Digest) error
	// Sweep deletes the data that keep refuses, and returns how many blobs it deleted. Find out what to keep in a View
	// before. Sweep spares whatever was put since the sweep before: a writer has that long to write its row.
	Sweep(ctx context.Context, keep func(manifest.Digest) bool) (int, error)
}

// Blobs returns the store's blobs.
func (s *Store) Blobs() Blobs { return &s.blobs }

// maxWaiting is how many compressed bytes wait in memory for the next Update.
const maxWaiting = 8 << 20

// blobs keeps blobs in the engine of the rows. New ones wait in memory until the next Update that commits and are
// written in its transaction: so no row is on disk before the blobs that it names, and blobs cost no commit of their
// own.
type blobs struct {
	store *Store

	mu       sync.Mutex
	waiting  map[manifest.Digest][]byte // as on disk; a nil map is empty
	size     int                        // bytes of these
	shared   map[manifest.Digest]bool   // of these, put more than once: another writer counts on them
	young    map[manifest.Digest]bool   // put since the last sweep began
	sweeping bool                       // what is on disk may be about to go
}

// The one compressor and decompressor: both are safe for concurrent use of their EncodeAll and DecodeAll. The options
// are constants, so there is no error to have.
var (
	compressor, _   = zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedDefault), zstd.WithLowerEncoderMem(true))
	decompressor, _ = zstd.NewReader(nil, zstd.WithDecoderMaxMemory(bundle.MaxBlobBytes))
)

const (
	blobTable  = "blobs"
	sizeLength = 8 // bytes of the size that stands before the zstd frame of a blob
)

func (b *blobs) Put(ctx context.Context, data []byte) (manifest.Digest, error) {
	d := manifest.DigestOf(data)
	if len(data) > bundle.MaxBlobBytes {
		return d, &bundle.TooLargeError{What: "blob " + d.String(), Unit: "bytes", Size: len(data),
			Limit: bundle.MaxBlobBytes}
	}
	known := b.mark(d)
	if !known {
		var err error
		if known, err = b.onDisk(ctx, d); err != nil {
			return d, err
		}
	}
	if known {
		return d, nil
	}
	value := binary.BigEndian.AppendUint64(make([]byte, 0, sizeLength+len(data)/2), uint64(len(data)))
	if b.add(d, compressor.EncodeAll(data, value)) <= maxWaiting {
		return d, nil
	}
	err := b.update(ctx, func(t engineTx) error { return b.commit(t) })
	if err != nil {
		b.giveUp(d)
		return d, fmt.Errorf("put blobs in the store: %w", err)
	}
	return d, nil
}

// mark keeps the blob from the next sweep, and reports whether it waits already.
func (b *blobs) mark(d manifest.Digest) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.young == nil {
		b.young = map[manifest.Digest]bool{}
	}
	b.young[d] = true
	return b.share(d)
}

// share reports whether a blob waits. If it does, a second writer counts on it from now on.
func (b *blobs) share(d manifest.Digest) bool {
	_, waits := b.waiting[d]
	if waits && b.shared == nil {
		b.shared = map[manifest.Digest]bool{}
	}
	if waits {
		b.shared[d] = true
	}
	return waits
}

// onDisk reports whether the blob is on disk, and stays there.
func (b *blobs) onDisk(ctx context.Context, d manifest.Digest) (bool, error) {
	b.mu.Lock()
	sweeping := b.sweeping
	b.mu.Unlock()
	if sweeping {
		return false, nil
	}
	value, err := b.read(ctx, d)
	return value != nil, err
}

// add lets a blob wait, and returns how many bytes wait.
func (b *blobs) add(d manifest.Digest, value []byte) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.waiting == nil {
		b.waiting = map[manifest.Digest][]byte{}
	}
	b.share(d) // another Put may have added it since mark
	b.size += len(value) - len(b.waiting[d])
	b.waiting[d] = value
	return b.size
}

// giveUp drops a blob that could not be written, unless another writer counts on it: then it waits on.
func (b *blobs) giveUp(d manifest.Digest) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.shared[d] {
		b.drop(d)
	}
}

// drop removes a blob from those that wait.
func (b *blobs) drop(d manifest.Digest) {
	b.size -= len(b.waiting[d])
	delete(b.waiting, d)
	delete(b.shared, d)
}

// update runs fn alone among the writers. fn commits.
func (b *blobs) update(ctx context.Context, fn func(t engineTx) error) error {
	if err := b.store.lock(ctx); err != nil {
		return err
	}
	defer b.store.unlock()
	t, err := b.store.engine.begin(ctx, true)
	if err != nil {
		return err
	}
	defer t.rollback()
	return fn(t)
}

// commit commits a transaction, and with it what waits.
func (b *blobs) commit(t engineTx) error {
	b.mu.Lock()
	written := maps.Clone(b.waiting)
	b.mu.Unlock()
	for d, value := range written {
		if err := t.put(blobTable, blobKey(d), value); err != nil {
			return err
		}
	}
	if err := t.commit(); err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for d := range written {
		b.drop(d)
	}
	return nil
}

func (b *blobs) Get(ctx context.Context, d manifest.Digest) ([]byte, error) {
	value, err := b.read(ctx, d)
	if err != nil {
		return nil, err
	}
	return decompress(d, value)
}

// decompress returns the data of a blob as it lies on disk.
func decompress(d manifest.Digest, value []byte) ([]byte, error) {
	frame, size, err := split(d, value)
	if err != nil {
		return nil, err
	}
	data, err := decompressor.DecodeAll(frame, make([]byte, 0, size))
	if err != nil {
		return nil, fmt.Errorf("decompress blob %s of the store: %w: %w", d, ErrDamaged, err)
	}
	if manifest.DigestOf(data) != d {
		return nil, fmt.Errorf("blob %s of the store: %w: its bytes have another digest", d, ErrDamaged)
	}
	return data, nil
}

func (b *blobs) Compressed(ctx context.Context, d manifest.Digest) (frame []byte, size uint64, err error) {
	value, err := b.read(ctx, d)
	if err != nil {
		return nil, 0, err
	}
	return split(d, value)
}

// split returns the parts of a blob as it lies on disk; nil is none.
func split(d manifest.Digest, value []byte) (frame []byte, size uint64, err error) {
	switch {
	case value == nil:
		return nil, 0, fmt.Errorf("blob %s in the store: %w", d, ErrNotFound)
	case len(value) < sizeLength || binary.BigEndian.Uint64(value) > bundle.MaxBlobBytes:
		return nil, 0, fmt.Errorf("blob %s in the store: %w", d, ErrDamaged)
	}
	return value[sizeLength:], binary.BigEndian.Uint64(value), nil
}

func (b *blobs) Has(ctx context.Context, d manifest.Digest) (bool, error) {
	value, err := b.read(ctx, d)
	return value != nil, err
}

// read returns a blob as it lies on disk or waits for it; nil if there is none.
func (b *blobs) read(ctx context.Context, d manifest.Digest) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("read blob %s: %w", d, err)
	}
	if value := b.waits(d); value != nil {
		return value, nil
	}
	t, err := b.store.engine.begin(ctx, false)
	if err != nil {
		return nil, fmt.Errorf("read blob %s: %w", d, err)
	}
	defer t.rollback()
	value, err := t.get(blobTable, blobKey(d))
	if err != nil {
		return nil, fmt.Errorf("read blob %s: %w", d, err)
	}
	return bytes.Clone(value), nil
}

// waits returns a blob that waits; nil if it does not.
func (b *blobs) waits(d manifest.Digest) []byte {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.waiting[d]
}

func (b *blobs) Delete(ctx context.Context, digests ...manifest.Digest) error {
	err := b.update(ctx, func(t engineTx) error {
		for _, d := range digests {
			if err := t.delete(blobTable, blobKey(d)); err != nil {
				return err
			}
		}
		return t.commit()
	})
	if err != nil {
		return fmt.Errorf("delete blobs of the store: %w", err)
	}
	return nil
}

func (b *blobs) Sweep(ctx context.Context, keep func(manifest.Digest) bool) (int, error) {
	spared := b.beginSweep()
	var swept []string
	err := b.update(ctx, func(t engineTx) error {
		err := t.scan(blobTable, "", "", func(key string, _ []byte) error {
			d, err := manifest.DigestFromBytes([]byte(key))
			if err == nil && !spared[d] && !b.isYoung(d) && !keep(d) {
				swept = append(swept, key)
			}
			return err
		})
		for _, key := range swept {
			err = errors.Join(err, t.delete(blobTable, key))
		}
		if err != nil || len(swept) == 0 {
			return err
		}
		return t.commit()
	})
	if b.endSweep(spared, err); err != nil {
		return 0, fmt.Errorf("sweep blobs of the store: %w", err)
	}
	return len(swept), nil
}

// beginSweep returns what a sweep must spare. From now on nothing that is put counts on what is on disk.
func (b *blobs) beginSweep() map[manifest.Digest]bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	spared := b.young
	b.young, b.sweeping = nil, true
	return spared
}

// isYoung reports whether a blob was put since the last sweep began.
func (b *blobs) isYoung(d manifest.Digest) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.young[d]
}

// endSweep ends a sweep; one that failed did not happen.
func (b *blobs) endSweep(spared map[manifest.Digest]bool, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.sweeping = false
	if err != nil && spared != nil {
		maps.Copy(spared, b.young)
		b.young = spared
	}
}

func blobKey(d manifest.Digest) string { return string(d[:]) }
