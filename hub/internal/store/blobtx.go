package store

import (
	"encoding/binary"
	"fmt"

	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/manifest"
)

// PutBlob is Blobs.Put within a transaction.
func PutBlob(tx *Tx, data []byte) (manifest.Digest, error) {
	d := manifest.DigestOf(data)
	if len(data) > bundle.MaxBlobBytes {
		return d, &bundle.TooLargeError{What: "blob " + d.String(), Unit: "bytes", Size: len(data),
			Limit: bundle.MaxBlobBytes}
	}
	tx.blobs.mark(d)
	if has, err := HasBlob(tx, d); err != nil || has {
		return d, err
	}
	value := binary.BigEndian.AppendUint64(make([]byte, 0, sizeLength+len(data)/2), uint64(len(data)))
	if err := tx.put(blobTable, blobKey(d), compressor.EncodeAll(data, value)); err != nil {
		return d, fmt.Errorf("put blob %s in the store: %w", d, err)
	}
	return d, nil
}

// Blob is Blobs.Get within a transaction.
func Blob(tx *Tx, d manifest.Digest) ([]byte, error) {
	value, err := tx.blob(d)
	if err != nil {
		return nil, err
	}
	return decompress(d, value)
}

// CompressedBlob is Blobs.Compressed within a transaction.
func CompressedBlob(tx *Tx, d manifest.Digest) (frame []byte, size uint64, err error) {
	value, err := tx.blob(d)
	if err != nil {
		return nil, 0, err
	}
	return split(d, value)
}

// HasBlob is Blobs.Has within a transaction.
func HasBlob(tx *Tx, d manifest.Digest) (bool, error) {
	value, err := tx.blob(d)
	return value != nil, err
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

func (tx *Tx) blob(d manifest.Digest) ([]byte, error) {
	value, err := tx.get(blobTable, blobKey(d))
	if err != nil {
		return nil, fmt.Errorf("blob %s: %w", d, err)
	}
	if value == nil {
		value = tx.blobs.waits(d)
	}
	return value, nil
}
