package store

import (
	"bytes"
	"encoding/binary"
	"fmt"

	"github.com/klauspost/compress/zstd"

	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/manifest"
)

// The one compressor and decompressor: both are safe for concurrent use of their EncodeAll and DecodeAll. The options
// are constants, so there is no error to have.
var (
	compressor, _   = zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedDefault), zstd.WithLowerEncoderMem(true))
	decompressor, _ = zstd.NewReader(nil, zstd.WithDecoderMaxMemory(bundle.MaxBlobBytes))
)

// sizeLength is the length of the size that stands before the zstd frame of a blob.
const sizeLength = 8

// PutBlob keeps data under its digest. Data that is there already costs a look-up; data of more than
// bundle.MaxBlobBytes, which no spoke would take, is refused.
func PutBlob(tx *Tx, data []byte) (manifest.Digest, error) {
	d := manifest.DigestOf(data)
	if len(data) > bundle.MaxBlobBytes {
		return d, &bundle.TooLargeError{What: "blob " + d.String(), Unit: "bytes", Size: len(data),
			Limit: bundle.MaxBlobBytes}
	}
	if has, err := HasBlob(tx, d); err != nil || has {
		return d, err
	}
	value := binary.BigEndian.AppendUint64(make([]byte, 0, sizeLength+len(data)/2), uint64(len(data)))
	if err := tx.put(blobTable, blobKey(d), compressor.EncodeAll(data, value)); err != nil {
		return d, fmt.Errorf("put blob %s in the store: %w", d, err)
	}
	return d, nil
}

// Blob returns the data with the digest. Errors: ErrNotFound; ErrDamaged when they are not what was put.
func Blob(tx *Tx, d manifest.Digest) ([]byte, error) {
	frame, size, err := blobFrame(tx, d)
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

// CompressedBlob returns the data with the digest as one zstd frame, and its size in bytes before compression. Errors:
// ErrNotFound.
func CompressedBlob(tx *Tx, d manifest.Digest) (frame []byte, size uint64, err error) {
	frame, size, err = blobFrame(tx, d)
	return bytes.Clone(frame), size, err
}

// HasBlob reports whether there is data with the digest.
func HasBlob(tx *Tx, d manifest.Digest) (bool, error) {
	value, err := tx.get(blobTable, blobKey(d))
	if err != nil {
		return false, fmt.Errorf("blob %s: %w", d, err)
	}
	return value != nil, nil
}

// SweepBlobs deletes the blobs that keep does not want and returns how many.
func SweepBlobs(tx *Tx, keep func(manifest.Digest) bool) (int, error) {
	swept := 0
	err := tx.scan(blobTable, "", func(key string, _ []byte) error {
		d, err := manifest.DigestFromBytes([]byte(key))
		if err != nil || keep(d) {
			return err
		}
		swept++
		return tx.delete(blobTable, key)
	})
	if err != nil {
		return swept, fmt.Errorf("sweep blobs of the store: %w", err)
	}
	return swept, nil
}

func blobKey(d manifest.Digest) string { return string(d[:]) }

// blobFrame returns the frame as it lies in the store; it is valid until the transaction ends.
func blobFrame(tx *Tx, d manifest.Digest) ([]byte, uint64, error) {
	value, err := tx.get(blobTable, blobKey(d))
	switch {
	case err != nil:
		return nil, 0, fmt.Errorf("blob %s: %w", d, err)
	case value == nil:
		return nil, 0, fmt.Errorf("blob %s in the store: %w", d, ErrNotFound)
	case len(value) < sizeLength || binary.BigEndian.Uint64(value) > bundle.MaxBlobBytes:
		return nil, 0, fmt.Errorf("blob %s in the store: %w", d, ErrDamaged)
	}
	return value[sizeLength:], binary.BigEndian.Uint64(value), nil
}
