package git

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"slices"

	"github.com/go-git/go-git/v5/plumbing"
)

// packIndex finds objects in a pack by an index in Git's format, version 2: a header of 8 bytes; for each first byte of
// a hash, how many objects have at most that; the hashes, sorted; a checksum of each object; and the offsets of all. A
// search reads what is about objects with the same first byte. go-git's reader reads the whole index.
type packIndex struct {
	file   *os.File
	counts [256]uint32
	parts  [256]*indexPart // nil: not read yet
}

// indexPart is what the index says of the objects with one first byte.
type indexPart struct{ hashes, offsets []byte }

const (
	indexHeader = 8
	indexHashes = indexHeader + 256*4
	hashSize    = len(plumbing.ZeroHash)
)

var errIndex = errors.New("the index of a pack is malformed")

// openPackIndex opens an index and reads what every search needs.
func openPackIndex(file *os.File) (*packIndex, error) {
	start := make([]byte, indexHashes)
	if _, err := file.ReadAt(start, 0); err != nil {
		return nil, fmt.Errorf("%w: %w", errIndex, err)
	}
	x := &packIndex{file: file}
	for i := range x.counts {
		x.counts[i] = binary.BigEndian.Uint32(start[indexHeader+4*i:])
	}
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	const perObject = int64(hashSize + 4 + 4)
	least := int64(indexHashes) + int64(x.counts[255])*perObject
	if string(start[:indexHeader]) != "\xfftOc\x00\x00\x00\x02" || !slices.IsSorted(x.counts[:]) || info.Size() < least {
		return nil, errIndex
	}
	return x, nil
}

// find returns the offset of an object in the pack. If the pack does not have the object, the error is
// plumbing.ErrObjectNotFound.
func (x *packIndex) find(id plumbing.Hash) (offset int64, err error) {
	part, err := x.part(id[0])
	if err != nil {
		return 0, err
	}
	for n := range len(part.hashes) / hashSize {
		if bytes.Equal(part.hashes[n*hashSize:][:hashSize], id[:]) {
			return x.offset(binary.BigEndian.Uint32(part.offsets[4*n:]))
		}
	}
	return 0, plumbing.ErrObjectNotFound
}

// part reads what the index says of the objects with a first byte.
func (x *packIndex) part(first byte) (*indexPart, error) {
	if x.parts[first] != nil {
		return x.parts[first], nil
	}
	from := int64(0)
	if first > 0 {
		from = int64(x.counts[first-1])
	}
	n := int64(x.counts[first]) - from
	part := &indexPart{make([]byte, n*int64(hashSize)), make([]byte, n*4)}
	_, err := x.file.ReadAt(part.hashes, indexHashes+from*int64(hashSize))
	if err == nil {
		_, err = x.file.ReadAt(part.offsets, x.offsets()+from*4)
	}
	if err != nil {
		return nil, err
	}
	x.parts[first] = part
	return part, nil
}

// offsets returns where in the index the offsets begin.
func (x *packIndex) offsets() int64 { return indexHashes + int64(x.counts[255])*int64(hashSize+4) }

// offset returns an offset as it is. One of more than 31 bits is a place among the offsets of 64 bits at the end.
func (x *packIndex) offset(short uint32) (int64, error) {
	if short>>31 == 0 {
		return int64(short), nil
	}
	var long [8]byte
	at := x.offsets() + 4*int64(x.counts[255]) + 8*int64(short&(1<<31-1))
	_, err := x.file.ReadAt(long[:], at)
	return int64(binary.BigEndian.Uint64(long[:]) & (1<<63 - 1)), err
}
