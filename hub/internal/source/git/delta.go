package git

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/format/packfile"

	"github.com/navefleet/nave/hub/internal/artifact"
	"github.com/navefleet/nave/hub/internal/lru"
	"github.com/navefleet/nave/hub/internal/source"
)

// resolve computes the hash of every delta, beginning with those whose base is a whole object. No chain of deltas may
// be longer than maxDeltaChain, in whatever order and of whatever kind they are. The bases of a thin pack that are not
// in the pack are read from the cache.
func (c *contents) resolve(content *pack) error {
	r := &resolving{contents: c, content: content, byOffset: map[int64][]int{}, byHash: map[plumbing.Hash][]int{},
		depth: make([]int16, len(c.items)), left: len(c.items)}
	var whole []int
	for n, i := range c.items {
		switch {
		case !i.delta:
			whole = append(whole, n)
		case i.baseOffset != 0:
			r.byOffset[i.baseOffset] = append(r.byOffset[i.baseOffset], n)
		default:
			r.byHash[i.base] = append(r.byHash[i.base], n)
		}
	}
	r.left -= len(whole)
	if err := r.resolveAbove(whole); err != nil {
		return err
	}
	if err := r.resolveOutside(); err != nil {
		return err
	}
	if r.left == 0 {
		return nil
	}
	err := fmt.Errorf("%w: the pack has %d deltas without the object that they change", source.ErrProtocol, r.left)
	if content.outside.objects != nil { // the object may be one that the cache has lost
		err = fmt.Errorf("%w: %w", errCache, err)
	}
	return err
}

// resolving is the state of resolve.
type resolving struct {
	*contents
	content  *pack
	byOffset map[int64][]int         // deltas, by the offset of their base
	byHash   map[plumbing.Hash][]int // deltas, by the hash of their base
	depth    []int16                 // of each item: how many deltas are below it
	left     int                     // deltas without a hash
}

// resolveOutside resolves the deltas on objects that only the cache has, and the deltas on those.
func (r *resolving) resolveOutside() error {
	for base, deltas := range r.byHash {
		if _, here := r.offsets[base]; here {
			continue
		}
		if has, err := r.content.hasOutside(base); err != nil {
			return err
		} else if !has {
			continue
		}
		r.thin = true
		delete(r.byHash, base) // the pack may also have the object
		if err := r.identifyAll(deltas, 1); err != nil {
			return err
		}
		if err := r.resolveAbove(deltas); err != nil {
			return err
		}
	}
	return nil
}

// resolveAbove resolves the deltas on some items, and the deltas on those.
func (r *resolving) resolveAbove(next []int) error {
	for len(next) > 0 {
		n := next[len(next)-1]
		next = next[:len(next)-1]
		base := r.items[n]
		made := slices.Concat(r.byOffset[base.offset], r.byHash[base.hash])
		if err := r.identifyAll(made, r.depth[n]+1); err != nil {
			return err
		}
		next = append(next, made...)
	}
	return nil
}

// identifyAll sets the hashes of deltas whose base is known.
func (r *resolving) identifyAll(deltas []int, depth int16) error {
	if len(deltas) > 0 && depth > maxDeltaChain {
		return fmt.Errorf("%w: the pack has a chain of more than %d deltas", artifact.ErrLimit, maxDeltaChain)
	}
	for _, n := range deltas {
		r.depth[n] = depth
		if err := r.identify(&r.items[n], r.content); err != nil {
			return err
		}
	}
	r.left -= len(deltas)
	return nil
}

// identify makes the object of a delta whose base is known, and sets its hash.
func (c *contents) identify(i *item, content *pack) error {
	kind, text, err := content.object(i.offset)
	if err != nil {
		return err
	}
	i.hash = plumbing.ComputeHash(kind, text)
	return c.place(*i)
}

// place records the offset of an object. An object that is in the pack twice is refused: its two offsets could make
// chains of deltas that lead back to themselves.
func (c *contents) place(i item) error {
	if _, twice := c.offsets[i.hash]; twice {
		return fmt.Errorf("%w: the pack has the object %s twice", source.ErrProtocol, i.hash)
	}
	c.offsets[i.hash] = i.offset
	return nil
}

// pack reads objects of a pack on disk. However long a chain of deltas is, only one delta, its base and its result are
// in memory at a time.
type pack struct {
	scanner *packfile.Scanner
	find    func(plumbing.Hash) (offset int64, err error) // plumbing.ErrObjectNotFound: the pack does not have it
	recent  recent
	outside outside
}

// outside has the objects outside of a pack that deltas of a thin pack may change.
type outside struct {
	objects *objects // nil: the pack is not thin
	id      plumbing.Hash
	kind    plumbing.ObjectType
	text    []byte // of id, the object that was read last
}

func newPack(file io.ReadSeeker, find func(plumbing.Hash) (int64, error), recent recent) *pack {
	return &pack{scanner: packfile.NewScanner(file), find: find, recent: recent}
}

// hasOutside reports whether the cache has an object that deltas of the pack may change.
func (p *pack) hasOutside(id plumbing.Hash) (bool, error) {
	if p.outside.objects == nil {
		return false, nil
	}
	return p.outside.objects.has(id)
}

// readOutside returns the kind and content of an object outside of the pack.
func (p *pack) readOutside(id plumbing.Hash) (plumbing.ObjectType, []byte, error) {
	if has, err := p.hasOutside(id); err != nil {
		return 0, nil, err
	} else if !has {
		return 0, nil, fmt.Errorf("%w: %s", errNoBase, id)
	}
	o := &p.outside
	if o.text == nil || o.id != id {
		kind, text, err := o.objects.get(id)
		if err != nil {
			return 0, nil, cacheError(fmt.Errorf("%s: %w", id, err))
		}
		o.id, o.kind, o.text = id, kind, text
	}
	return o.kind, o.text, nil
}

// errNoBase says that the base of a delta is not in its pack.
var errNoBase = errors.New("a delta's base is missing")

// object returns the kind and content of the object at an offset. The content is shared: it must not be changed.
func (p *pack) object(offset int64) (plumbing.ObjectType, []byte, error) {
	kind, text, deltas, err := p.root(offset)
	if err != nil {
		return 0, nil, err
	}
	for _, at := range slices.Backward(deltas) {
		delta, err := p.inflate(at)
		if err != nil {
			return 0, nil, err
		}
		if text, err = packfile.PatchDelta(text, delta); err != nil {
			return 0, nil, fmt.Errorf("%w: a delta of the pack: %w", source.ErrProtocol, err)
		}
		p.recent.put(at, kind, text)
	}
	return kind, text, nil
}

// root follows the chain of deltas from an offset to an object that is whole or is in memory. It returns that object
// and the offsets of the deltas, the last first.
func (p *pack) root(offset int64) (kind plumbing.ObjectType, text []byte, deltas []int64, err error) {
	for len(deltas) <= maxDeltaChain {
		if k, ok := p.recent.Get(offset); ok {
			return k.kind, k.text, deltas, nil
		}
		h, err := p.scanner.SeekObjectHeader(offset)
		if err != nil {
			return 0, nil, nil, err
		}
		if !h.Type.IsDelta() {
			if text, err = p.inflate(offset); err == nil {
				p.recent.put(offset, h.Type, text)
			}
			return h.Type, text, deltas, err
		}
		deltas = append(deltas, offset)
		if offset = h.OffsetReference; h.Type == plumbing.REFDeltaObject {
			offset, err = p.find(h.Reference)
			if errors.Is(err, plumbing.ErrObjectNotFound) {
				kind, text, err = p.readOutside(h.Reference)
				return kind, text, deltas, err
			}
			if err != nil {
				return 0, nil, nil, err
			}
		}
	}
	return 0, nil, nil, fmt.Errorf("%w: more than %d deltas on one another", errNoBase, maxDeltaChain)
}

// inflate returns the object or the delta at an offset, as it was packed.
func (p *pack) inflate(offset int64) ([]byte, error) {
	h, err := p.scanner.SeekObjectHeader(offset)
	if err != nil {
		return nil, err
	}
	var text bytes.Buffer
	text.Grow(int(min(max(h.Length, 0), 1<<20) + bytes.MinRead))
	n, _, err := p.scanner.NextObject(&text)
	if err == nil && n != h.Length {
		err = io.ErrUnexpectedEOF
	}
	return text.Bytes(), err
}

// size returns how many bytes the object at an offset has, without making it.
func (p *pack) size(offset int64) (int64, error) {
	h, err := p.scanner.SeekObjectHeader(offset)
	if err != nil {
		return 0, err
	}
	if !h.Type.IsDelta() {
		return h.Length, nil
	}
	var start prefix
	_, _, err = p.scanner.NextObject(&start)
	return start.target(), err
}

// entrySize is the memory of an entry of recent beside its content, in bytes.
const entrySize = 128

// recent keeps the objects of a pack that were used last, by their offsets.
type recent struct{ *lru.Cache[int64, kept] }

type kept struct {
	kind plumbing.ObjectType
	text []byte
}

// newRecent returns a recent of at most so many bytes.
func newRecent(limit int64) recent { return recent{lru.New[int64, kept](int(limit))} }

func (r recent) put(offset int64, kind plumbing.ObjectType, text []byte) {
	r.Put(offset, kept{kind, text}, entrySize+len(text))
}
