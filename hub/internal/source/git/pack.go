package git

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/format/idxfile"
	"github.com/go-git/go-git/v5/plumbing/format/packfile"

	"github.com/navefleet/nave/hub/internal/artifact"
	"github.com/navefleet/nave/hub/internal/source"
)

const (
	fewObjects    = 200      // up to so many objects become loose objects; more stay a pack, unless it is thin
	fewBytes      = 16 << 20 // up to so many inflated bytes become loose objects, which are not compressed
	maxDeltaChain = 250      // git's own packs have 50
)

// install adds the objects of a spooled pack of n bytes to the cache, after it has checked every announced size.
func (r *repository) install(ctx context.Context, file *os.File, n int64, limits Limits) (err error) {
	defer func() { // go-git's scanner has panicked on malformed packs before
		if p := recover(); p != nil {
			err = fmt.Errorf("%w: the pack is malformed: %v", source.ErrProtocol, p)
		}
	}()
	if n == 0 {
		return fmt.Errorf("%w: it ended without a pack", source.ErrUnreachable)
	}
	c, err := survey(ctx, file, limits)
	if err != nil || len(c.items) == 0 {
		return err
	}
	content := newPack(untilDone{ctx, file}, c.find, newRecent(limits.File))
	if r.mayBeThin() {
		content.outside.objects = r.objects
	}
	if err := c.resolve(content); err != nil {
		return err
	}
	if c.thin || len(c.items) <= fewObjects && c.total <= fewBytes {
		return r.unpack(c, content)
	}
	return r.adopt(c, file, n)
}

// contents is the list of objects in a pack.
type contents struct {
	items    []item // in the order of the pack
	checksum plumbing.Hash
	total    int64 // inflated bytes of the objects and deltas
	offsets  map[plumbing.Hash]int64
	thin     bool // some deltas change objects that are not in the pack
}

// item is one object of a pack.
type item struct {
	offset     int64
	crc        uint32
	hash       plumbing.Hash // of a delta: zero until resolve
	delta      bool
	base       plumbing.Hash // of a REF_DELTA
	baseOffset int64         // of an OFS_DELTA; otherwise zero, where no object is
	size       int64         // of the object, inflated
}

// find returns the offset of an object whose hash is known; otherwise plumbing.ErrObjectNotFound.
func (c *contents) find(id plumbing.Hash) (int64, error) {
	if offset, ok := c.offsets[id]; ok {
		return offset, nil
	}
	return 0, plumbing.ErrObjectNotFound
}

// survey reads a pack once from front to back. It refuses a pack of too large objects before any object is in memory.
func survey(ctx context.Context, file *os.File, limits Limits) (*contents, error) {
	if _, err := file.Seek(0, io.SeekStart); err != nil {
		return nil, artifact.StorageError(err)
	}
	scanner := packfile.NewScanner(untilDone{ctx, file})
	_, count, err := scanner.Header()
	if err != nil {
		return nil, err
	}
	if int64(count) > int64(limits.Objects) {
		return nil, fmt.Errorf("%w: the transfer has %d objects, the limit is %d", artifact.ErrLimit, count, limits.Objects)
	}
	c := &contents{offsets: map[plumbing.Hash]int64{}}
	for range count {
		i, err := c.next(scanner, limits)
		if err == nil && !i.delta {
			err = c.place(i)
		}
		if err != nil {
			return nil, err
		}
		c.items = append(c.items, i)
	}
	c.checksum, err = scanner.Checksum()
	return c, err
}

// next skips one object and returns its item.
func (c *contents) next(scanner *packfile.Scanner, limits Limits) (item, error) {
	h, err := scanner.NextObjectHeader()
	if err != nil {
		return item{}, err
	}
	i := item{offset: h.Offset, delta: h.Type.IsDelta(), base: h.Reference, baseOffset: h.OffsetReference, size: h.Length}
	if h.Type > plumbing.TagObject && !i.delta || h.Type == plumbing.InvalidObject {
		return i, fmt.Errorf("%w: the pack has an object of the unknown type %d", source.ErrProtocol, h.Type)
	}
	if err := c.weigh(h.Length, limits); err != nil {
		return i, err
	}
	var start prefix
	var n int64
	if i.delta {
		n, i.crc, err = scanner.NextObject(&start)
	} else {
		hasher := plumbing.NewHasher(h.Type, h.Length)
		n, i.crc, err = scanner.NextObject(hasher)
		i.hash = hasher.Sum()
	}
	if err == nil && n != h.Length {
		err = fmt.Errorf("%w: the pack has an object of a wrong size", source.ErrProtocol)
	}
	if i.delta && err == nil {
		i.size = start.target()
		err = c.weigh(i.size, limits)
	}
	return i, err
}

// weigh adds the bytes of one object or delta, and checks the limits.
func (c *contents) weigh(n int64, limits Limits) error {
	if n < 0 || n > limits.File {
		return fmt.Errorf("%w: the transfer has an object of %s, the limit of a file is %s", artifact.ErrLimit,
			artifact.FormatSize(n), artifact.FormatSize(limits.File))
	}
	if c.total += n; c.total > inflation*limits.Pack {
		return fmt.Errorf("%w: the transfer inflates to more than %s", artifact.ErrLimit,
			artifact.FormatSize(inflation*limits.Pack))
	}
	return nil
}

// prefix keeps the first bytes of a delta, which hold two sizes.
type prefix struct {
	bytes [20]byte
	n     int
}

func (p *prefix) Write(b []byte) (int, error) {
	p.n += copy(p.bytes[p.n:], b)
	return len(b), nil
}

// target returns the size of the object that a delta makes: the second of its two numbers, or -1 without one.
func (p *prefix) target() int64 {
	_, n := binary.Uvarint(p.bytes[:p.n])
	if n <= 0 {
		return -1
	}
	result, n := binary.Uvarint(p.bytes[n:p.n])
	if n <= 0 || result > 1<<62 {
		return -1
	}
	return int64(result)
}

// unpack writes each object as a loose object.
func (r *repository) unpack(c *contents, content *pack) error {
	for _, i := range c.items {
		kind, text, err := content.object(i.offset)
		if err != nil {
			return err
		}
		n, err := r.objects.add(i.hash, kind, text)
		if err != nil {
			return err
		}
		r.state.Loose++
		r.state.Disk += n
	}
	return nil
}

// adopt writes the index of the pack and then moves the pack into the cache.
func (r *repository) adopt(c *contents, file *os.File, n int64) error {
	index, err := c.index()
	if err != nil {
		return err
	}
	name := r.objects.packName(c.checksum)
	if err := errors.Join(os.WriteFile(name+".idx", index, 0o600), os.Rename(file.Name(), name+".pack")); err != nil {
		return cacheError(artifact.StorageError(err))
	}
	r.objects.close() // the next use opens them again, with this one
	r.state.Packs++
	r.state.Disk += onDisk(n) + onDisk(int64(len(index)))
	return nil
}

// index returns the pack's index in Git's format.
func (c *contents) index() ([]byte, error) {
	var w idxfile.Writer
	if err := w.OnHeader(uint32(len(c.items))); err != nil {
		return nil, err
	}
	for _, i := range c.items {
		w.Add(i.hash, uint64(i.offset), i.crc)
	}
	if err := w.OnFooter(c.checksum); err != nil {
		return nil, err
	}
	index, err := w.Index()
	if err != nil {
		return nil, err
	}
	var encoded bytes.Buffer
	_, err = idxfile.NewEncoder(&encoded).Encode(index)
	return encoded.Bytes(), err
}

// untilDone reads a file until a context ends: go-git's scanner knows no context.
type untilDone struct {
	ctx  context.Context
	file *os.File
}

func (u untilDone) Read(p []byte) (int, error) {
	if err := u.ctx.Err(); err != nil {
		return 0, err
	}
	return u.file.Read(p)
}

func (u untilDone) Seek(offset int64, whence int) (int64, error) { return u.file.Seek(offset, whence) }
