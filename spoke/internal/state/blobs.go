package state

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/klauspost/compress/zstd"
	bolt "go.etcd.io/bbolt"

	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/manifest"
)

const (
	// maxWindow bounds the memory that a frame can make the decoder use.
	maxWindow  = 8 << 20
	lengthSize = 8
)

// ErrBlob means that bytes are not the blob with the expected digest and size.
var ErrBlob = errors.New("not the announced blob")

// Blob is content by its digest, compressed as it was received. Only Check makes one.
type Blob struct {
	digest manifest.Digest
	size   uint64
	frame  []byte
}

// Weight returns the size of the blob in memory and on disk, in bytes.
func (b Blob) Weight() int { return len(b.frame) }

// MaxFrame returns the longest zstd frame, in bytes, that a receiver accepts for a blob of size bytes.
func MaxFrame(size uint64) uint64 { return size + size/64 + 1024 }

// Check verifies that frame is exactly one blob of the announced digest and size, at most bundle.MaxBlobBytes. It
// returns the blob and its uncompressed bytes, or ErrBlob. For a hostile frame, too, Check writes at most size bytes
// and uses a bounded window.
func (s *Store) Check(digest manifest.Digest, size uint64, frame []byte) (Blob, []byte, error) {
	if size > bundle.MaxBlobBytes || uint64(len(frame)) > MaxFrame(size) {
		return Blob{}, nil, fmt.Errorf("%w: %s: %d bytes in a frame of %d are too large", ErrBlob, digest, size, len(frame))
	}
	data, err := s.frames.decode(frame, size)
	if err != nil {
		return Blob{}, nil, fmt.Errorf("%w: %s: %w", ErrBlob, digest, err)
	}
	if manifest.DigestOf(data) != digest {
		return Blob{}, nil, fmt.Errorf("%w: %s: the bytes are %s", ErrBlob, digest, manifest.DigestOf(data))
	}
	return Blob{digest: digest, size: size, frame: frame}, data, nil
}

// PutBlobs stores blobs before the bundle that needs them is accepted. The next Sweep deletes the blobs that no
// accepted bundle needs.
func (s *Store) PutBlobs(blobs []Blob) error {
	if len(blobs) == 0 {
		return nil
	}
	err := s.update(func(tx *bolt.Tx) error { return putBlobs(tx, blobs) })
	if err != nil {
		return fmt.Errorf("store %d blobs: %w", len(blobs), err)
	}
	return nil
}

func putBlobs(tx *bolt.Tx, blobs []Blob) error {
	b := tx.Bucket(blobsBucket)
	for _, blob := range blobs {
		row := binary.BigEndian.AppendUint64(make([]byte, 0, lengthSize+len(blob.frame)), blob.size)
		if err := b.Put(blob.digest[:], append(row, blob.frame...)); err != nil {
			return err
		}
	}
	return nil
}

// Blob returns the uncompressed bytes of a blob, or ErrNotFound. The bytes are verified again, because a disk can
// damage them. If a blob is damaged, Blob deletes it, so that it can be fetched again, and returns ErrBlob.
func (s *Store) Blob(d manifest.Digest) ([]byte, error) {
	var row []byte
	err := s.view(func(tx *bolt.Tx) error {
		row = append(row, tx.Bucket(blobsBucket).Get(d[:])...)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("blob %s: %w", d, err)
	}
	if len(row) < lengthSize {
		return nil, fmt.Errorf("blob %s: %w", d, ErrNotFound)
	}
	_, data, err := s.Check(d, binary.BigEndian.Uint64(row), row[lengthSize:])
	if err != nil {
		return nil, errors.Join(err, s.update(func(tx *bolt.Tx) error { return tx.Bucket(blobsBucket).Delete(d[:]) }))
	}
	return data, nil
}

// Missing returns the digests that are not stored, in the given order.
func (s *Store) Missing(digests []manifest.Digest) ([]manifest.Digest, error) {
	var missing []manifest.Digest
	err := s.view(func(tx *bolt.Tx) error {
		b := tx.Bucket(blobsBucket)
		for _, d := range digests {
			if b.Get(d[:]) == nil {
				missing = append(missing, d)
			}
		}
		return nil
	})
	return missing, err
}

// Sweep deletes the blobs that keep does not name, and returns their number.
func (s *Store) Sweep(keep func(manifest.Digest) bool) (int, error) {
	var gone [][]byte
	err := s.view(func(tx *bolt.Tx) error {
		return tx.Bucket(blobsBucket).ForEach(func(k, _ []byte) error {
			if d, err := manifest.DigestFromBytes(k); err != nil || !keep(d) {
				gone = append(gone, bytes.Clone(k))
			}
			return nil
		})
	})
	if err != nil || len(gone) == 0 {
		return 0, err
	}
	err = s.update(func(tx *bolt.Tx) error {
		for _, k := range gone {
			if err := tx.Bucket(blobsBucket).Delete(k); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return 0, fmt.Errorf("sweep %d blobs: %w", len(gone), err)
	}
	return len(gone), nil
}

// decoder has the only zstd decoder, which is made when it is first used. One is enough, because decoding is short.
type decoder struct {
	mu   sync.Mutex
	zstd *zstd.Decoder
}

func (d *decoder) decode(frame []byte, size uint64) ([]byte, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.zstd == nil {
		r, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true),
			zstd.WithDecoderMaxWindow(maxWindow))
		if err != nil {
			return nil, err
		}
		d.zstd = r
	}
	if err := d.zstd.Reset(bytes.NewReader(frame)); err != nil {
		return nil, err
	}
	data := make([]byte, size)
	if _, err := io.ReadFull(d.zstd, data); err != nil {
		return nil, fmt.Errorf("shorter than announced, or damaged: %w", err)
	}
	if n, err := d.zstd.Read(make([]byte, 1)); n != 0 || !errors.Is(err, io.EOF) {
		return nil, errors.New("longer than announced, or damaged")
	}
	return data, nil
}

func (d *decoder) close() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.zstd != nil {
		d.zstd.Close()
		d.zstd = nil
	}
}
