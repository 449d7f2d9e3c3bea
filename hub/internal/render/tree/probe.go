package tree

import (
	"context"
	"maps"
	"slices"
	"strings"

	"github.com/navefleet/nave/hub/internal/render"
)

// Probe compares one tree with several Reads. It reads each path once. A Probe is for one goroutine.
type Probe struct {
	root string
	tree *Tree // nil: not opened yet, or it cannot be opened
}

// NewProbe returns a Probe of the tree at root. The Probe opens the tree when it is needed.
func NewProbe(root string) *Probe { return &Probe{root: root} }

// Close ends the probe.
func (p *Probe) Close() {
	if p.tree != nil {
		_ = p.tree.Close()
	}
}

// Unchanged reports whether a render of the probe's tree would read exactly r. If r is the zero Reads, or the tree
// cannot be read, Unchanged returns false. It first compares the facts that the probe has read before, because the
// trees of successive commits mostly differ from a new one in the same file.
func (p *Probe) Unchanged(r render.Reads) bool {
	if r.IsZero() || !p.open() {
		return false
	}
	t := p.tree
	for at, seen := range t.reads.facts {
		if fact, ok := r.Facts[at]; ok && contradicts(seen, fact) {
			return false
		}
	}
	for at, target := range r.Links {
		if to, err := t.Resolve(at); err != nil || to != target {
			return false
		}
	}
	for _, at := range slices.Sorted(maps.Keys(r.Facts)) { // a directory before what is in it
		if !t.holds(at, r.Facts[at]) {
			return false
		}
		delete(t.files, at) // the content is not needed again
	}
	return true
}

// UnchangedAt is Unchanged for a tree that differs from one of which r holds in these paths at most.
func (p *Probe) UnchangedAt(r render.Reads, paths map[string]bool) bool {
	if r.IsZero() || len(r.Links) > 0 {
		return false
	}
	for at := range paths {
		if fact, ok := r.Facts[at]; ok && !(p.open() && p.tree.holds(at, fact)) {
			return false
		}
	}
	return true
}

func (p *Probe) open() bool {
	if p.tree == nil {
		t, err := Open(context.Background(), p.root, nil)
		if err != nil {
			return false
		}
		p.tree = t
	}
	return true
}

// contradicts reports whether two facts cannot both be true of a path.
func contradicts(a, b string) bool {
	if len(a) == 1 || len(b) == 1 { // one is only a FileType
		return a[0] != b[0]
	}
	return a != b
}

// holds reports whether a fact is true of the tree. It does not read a path again.
func (t *Tree) holds(p, fact string) bool {
	if covers(t.reads.facts[p], fact) {
		return true
	}
	var err error
	switch {
	case len(fact) == 1:
		_, err = t.Type(p)
	case render.FileType(fact[:1]) == render.Regular:
		_, err = t.Read(p)
	default:
		_, err = t.List(p)
	}
	return err == nil && covers(t.reads.facts[p], fact)
}

// covers reports whether a seen fact implies another: both are equal, or the other is only the FileType of the seen
// one.
func covers(seen, fact string) bool {
	return seen == fact || len(fact) == 1 && strings.HasPrefix(seen, fact)
}
