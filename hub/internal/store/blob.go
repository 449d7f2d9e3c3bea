package store

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
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
	// Delete removes damaged data, so that Put writes it anew.
	Delete(ctx context.Context, digests ...manifest.Digest) error
	// Sweep deletes the data that keep refuses, and returns how many blobs it deleted. Find out what to keep in a View
	// before. Sweep spares whatever was put since the sweep before: a writer has that long to write its row.
	Sweep(ctx context.Context, keep func(manifest.Digest) bool) (int, error)
}

// ReadApplication returns the Application with the digest. The errors are those of Blobs.Get and of
// bundle.DecodeApplication.
func ReadApplication(ctx context.Context, b Blobs, d manifest.Digest) (*bundle.Application, error) {
	data, err := b.Get(ctx, d)
	if err != nil {
		return nil, err
	}
	return bundle.DecodeApplication(data)
}

// DeleteDamaged deletes the damaged ones among blobs, so that they can be put again, and reports whether one of the
// blobs is damaged or missing.
func DeleteDamaged(ctx context.Context, b Blobs, digests iter.Seq[manifest.Digest]) (lost bool, err error) {
	var damaged []manifest.Digest
	for d := range digests {
		_, err := b.Get(ctx, d)
		switch {
		case err == nil:
			continue
		case errors.Is(err, ErrDamaged):
			damaged = append(damaged, d)
		case !errors.Is(err, ErrNotFound):
			return false, err
		}
		lost = true
	}
	if len(damaged) > 0 {
		err = b.Delete(ctx, damaged...)
	}
	return lost, err
}

// Blobs returns the store's blobs.
func (s *Store) Blobs() Blobs { return &s.blobs }

// maxWaiting is how many compressed bytes wait in memory for the next Update, if a single blob has not more.
const maxWaiting = 8 << 20

// blobs keeps blobs in the engine of the rows. New ones wait in memory until the next Update that may name them, and
// are written in its transaction: so no row is on disk before the blobs that it names, and blobs cost no commit of
// their own.
type blobs struct {
	store *Store

	mu       sync.Mutex
	waiting  map[manifest.Digest][]byte // in their form on disk
	size     int                        // bytes of these
	young    map[manifest.Digest]bool   // put since the last sweep began
	sweeping bool                       // blobs on disk may be about to be deleted
}

// The compressor and the decompressor of all stores. EncodeAll and DecodeAll may be called concurrently. The options
// are constants and valid, so that neither returns an error.
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
	if known, err := b.keep(ctx, d); err != nil || known {
		return d, err
	}
	value := binary.BigEndian.AppendUint64(make([]byte, 0, sizeLength+len(data)/2), uint64(len(data)))
	value = compressor.EncodeAll(data, value)
	if !b.fits(value) {
		if err := b.update(ctx, b.commit); err != nil {
			return d, fmt.Errorf("put blobs in the store: %w", err)
		}
	}
	b.add(d, value)
	return d, nil
}

// keep spares a blob from the next sweep, and reports whether the blob is there and stays.
func (b *blobs) keep(ctx context.Context, d manifest.Digest) (bool, error) {
	b.mu.Lock()
	b.young[d] = true
	waits, sweeping := b.waiting[d] != nil, b.sweeping
	b.mu.Unlock()
	if waits || sweeping {
		return waits, nil
	}
	return b.isStored(ctx, d)
}

// fits reports whether a blob may wait together with those that wait already.
func (b *blobs) fits(value []byte) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.size == 0 || b.size+len(value) <= maxWaiting
}

// add lets a blob wait.
func (b *blobs) add(d manifest.Digest, value []byte) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.size += len(value) - len(b.waiting[d]) // another Put may have added it since keep
	b.waiting[d] = value
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

// commit writes the blobs that wait and commits the transaction.
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
		b.size -= len(b.waiting[d])
		delete(b.waiting, d)
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

// decompress returns the data of a blob in its form on disk.
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

// split returns the parts of a blob in its form on disk. If value is nil, the error is ErrNotFound.
func split(d manifest.Digest, value []byte) (frame []byte, size uint64, err error) {
	switch {
	case value == nil:
		return nil, 0, fmt.Errorf("blob %s in the store: %w", d, ErrNotFound)
	case len(value) < sizeLength || binary.BigEndian.Uint64(value) > bundle.MaxBlobBytes:
		return nil, 0, fmt.Errorf("blob %s in the store: %w", d, ErrDamaged)
	}
	return value[sizeLength:], binary.BigEndian.Uint64(value), nil
}

// read returns a blob in its form on disk, whether it is there or waits; nil if there is none.
func (b *blobs) read(ctx context.Context, d manifest.Digest) (value []byte, err error) {
	if value := b.waits(d); value != nil && ctx.Err() == nil {
		return value, nil
	}
	err = b.look(ctx, d, func(found []byte) { value = bytes.Clone(found) })
	return value, err
}

// isStored reports whether a blob is on disk.
func (b *blobs) isStored(ctx context.Context, d manifest.Digest) (is bool, err error) {
	err = b.look(ctx, d, func(found []byte) { is = found != nil })
	return is, err
}

// look calls fn with a blob in its form on disk, which is valid until fn returns; nil if there is none.
func (b *blobs) look(ctx context.Context, d manifest.Digest, fn func(value []byte)) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("read blob %s: %w", d, err)
	}
	t, err := b.store.engine.begin(ctx, false)
	if err != nil {
		return fmt.Errorf("read blob %s: %w", d, err)
	}
	defer t.rollback()
	value, err := t.get(blobTable, blobKey(d))
	if err != nil {
		return fmt.Errorf("read blob %s: %w", d, err)
	}
	fn(value)
	return nil
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
			if err := t.put(blobTable, blobKey(d), nil); err != nil {
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
	var spared map[manifest.Digest]bool
	var swept []string
	err := b.update(ctx, func(t engineTx) error {
		spared = b.beginSweep() // nobody commits from here on to the end
		err := t.scan(blobTable, "", "", func(key string, _ []byte) error {
			d, err := manifest.DigestFromBytes([]byte(key))
			if err == nil && !spared[d] && !keep(d) {
				swept = append(swept, key)
			}
			return err
		})
		for _, key := range swept {
			err = errors.Join(err, t.put(blobTable, key, nil))
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

// beginSweep returns the blobs that a sweep spares. Until endSweep, Put takes every blob on disk for missing.
func (b *blobs) beginSweep() map[manifest.Digest]bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	spared := b.young
	b.young, b.sweeping = map[manifest.Digest]bool{}, true
	return spared
}

// endSweep ends a sweep. If the sweep failed, the next one spares the same blobs.
func (b *blobs) endSweep(spared map[manifest.Digest]bool, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.sweeping = false
	if err != nil {
		maps.Copy(b.young, spared)
	}
}

func blobKey(d manifest.Digest) string { return string(d[:]) }
