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
)

const (
	fewObjects    = 200 // so many are kept as files of their own, more as a pack
	maxDeltaChain = 250 // git's own packs have 50
)

// install brings a spooled pack into the cache, after a look at every object's announced size.
func (r *repository) install(ctx context.Context, file *os.File, n int64, limits Limits) (err error) {
	defer func() { // go-git has known packs before that its parser was not made for
		if p := recover(); p != nil {
			err = fmt.Errorf("%w: the pack is malformed: %v", ErrProtocol, p)
		}
	}()
	if n == 0 {
		return fmt.Errorf("%w: it ended without a pack", ErrUnreachable)
	}
	count, err := inspect(ctx, file, limits)
	if err != nil {
		return err
	}
	if count == 0 {
		return nil
	}
	if err := r.keepPack(ctx, file, count); err != nil {
		return installError(err)
	}
	r.state.Bytes += n
	return nil
}

// keepPack indexes a pack and keeps it as it is, or each of its objects by itself when they are few.
func (r *repository) keepPack(ctx context.Context, file *os.File, count int) error {
	checksum, index, err := index(ctx, file)
	if err != nil {
		return err
	}
	if count > fewObjects {
		r.state.Packs++
		return r.adopt(file, checksum, index)
	}
	r.state.Loose += count
	return r.unpack(ctx, file, index)
}

// installError blames the cache for what went wrong with a pack that inspect found whole.
func installError(err error) error {
	if err = storageError(err); errors.Is(err, ErrStorage) {
		return err
	}
	return fmt.Errorf("%w: %w", errCache, err)
}

// inspect reads a pack once from front to end and refuses it when an object, or all together, would be too large, before
// anything keeps an object in memory. It returns the number of objects.
func inspect(ctx context.Context, file *os.File, limits Limits) (int, error) {
	scanner, err := scan(ctx, file)
	if err != nil {
		return 0, err
	}
	_, count, err := scanner.Header()
	if err != nil {
		return 0, err
	}
	if int64(count) > int64(limits.Objects) {
		return 0, fmt.Errorf("%w: the transfer has %d objects, the limit is %d", ErrLimit, count, limits.Objects)
	}
	weighing := weigher{limits: limits, depth: map[int64]int{}}
	for range count {
		if err := weighing.next(scanner); err != nil {
			return 0, err
		}
	}
	_, err = scanner.Checksum()
	return int(count), err
}

// scan reads a pack from its beginning until ctx ends.
func scan(ctx context.Context, file *os.File) (*packfile.Scanner, error) {
	if _, err := file.Seek(0, io.SeekStart); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrStorage, err)
	}
	return packfile.NewScanner(untilDone{ctx, file}), nil
}

// weigher adds up what a pack's objects will need.
type weigher struct {
	limits Limits
	total  int64
	depth  map[int64]int // of the delta chain that ends at an offset
}

func (w *weigher) next(scanner *packfile.Scanner) error {
	header, err := scanner.NextObjectHeader()
	if err != nil {
		return err
	}
	if err := w.add(header.Length); err != nil {
		return err
	}
	if !header.Type.IsDelta() {
		return w.whole(scanner, header)
	}
	var start prefix
	if n, _, err := scanner.NextObject(&start); err != nil || n != header.Length {
		return errors.Join(fmt.Errorf("%w: the pack has an object of a wrong size", ErrProtocol), err)
	}
	if w.depth[header.Offset] = w.depth[header.OffsetReference] + 1; w.depth[header.Offset] > maxDeltaChain {
		return fmt.Errorf("%w: the pack has a chain of more than %d deltas", ErrLimit, maxDeltaChain)
	}
	return w.add(start.target())
}

// whole passes over an object that is no delta.
func (w *weigher) whole(scanner *packfile.Scanner, header *packfile.ObjectHeader) error {
	n, _, err := scanner.NextObject(io.Discard)
	if err == nil && n != header.Length {
		err = fmt.Errorf("%w: the pack has an object of a wrong size", ErrProtocol)
	}
	return err
}

// add counts the bytes of one object.
func (w *weigher) add(n int64) error {
	if n < 0 || n > w.limits.File {
		return fmt.Errorf("%w: the transfer has an object of %s, the limit of a file is %s", ErrLimit, size(n), size(w.limits.File))
	}
	if w.total += n; w.total > inflation*w.limits.Pack {
		return fmt.Errorf("%w: the transfer inflates to more than %s", ErrLimit, size(inflation*w.limits.Pack))
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

// target returns the size of what a delta makes: the second of its two numbers, -1 when there is none.
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

// index resolves every delta of a pack and finds where each object is.
func index(ctx context.Context, file *os.File) (checksum plumbing.Hash, index *idxfile.MemoryIndex, err error) {
	scanner, err := scan(ctx, file)
	if err != nil {
		return checksum, nil, err
	}
	writer := new(idxfile.Writer)
	parser, err := packfile.NewParser(scanner, writer)
	if err != nil {
		return checksum, nil, err
	}
	if checksum, err = parser.Parse(); err != nil {
		return checksum, nil, err
	}
	index, err = writer.Index()
	return checksum, index, err
}

// unpack writes each object to a file of its own.
func (r *repository) unpack(ctx context.Context, file *os.File, index *idxfile.MemoryIndex) error {
	pack := openPack(index, file)
	entries, err := index.EntriesByOffset()
	if err != nil {
		return err
	}
	defer entries.Close()
	for {
		entry, err := entries.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err := errors.Join(err, ctx.Err()); err != nil {
			return err
		}
		kind, content, err := packed(pack, entry.Hash)
		if err != nil {
			return err
		}
		if err := r.objects.put(entry.Hash, kind, content); err != nil {
			return err
		}
	}
}

// adopt moves the pack into the cache, after its index: no pack is without one.
func (r *repository) adopt(file *os.File, checksum plumbing.Hash, index *idxfile.MemoryIndex) error {
	var encoded bytes.Buffer
	if _, err := idxfile.NewEncoder(&encoded).Encode(index); err != nil {
		return err
	}
	name := r.objects.packName(checksum)
	if err := errors.Join(os.WriteFile(name+".idx", encoded.Bytes(), 0o600), os.Rename(file.Name(), name+".pack")); err != nil {
		return fmt.Errorf("%w: %w", ErrStorage, err)
	}
	r.objects.close() // to be opened again, with this one
	return nil
}

// untilDone reads a file until a context ends: go-git's parser knows no context.
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
