package kustomize

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
)

// MaxReadsSize bounds the JSON of a Reads, in bytes.
const MaxReadsSize = 32 << 20

// Reads is what a build read of its tree: the content of files, the names in directories, what was there and what was
// not, and where symbolic links led. Its JSON is canonical and bounded; the zero Reads is of no build.
type Reads struct {
	// facts maps a rooted path to one fact: kind, or kind and digest.
	facts map[string]string
	// links maps a rooted path to what it resolves to, where that is another.
	links map[string]string
}

// readsJSON is the wire form: Facts maps a path to "-" (absent), "o" (neither file nor directory), "f" and "d" (a file,
// a directory), or "f" and "d" with the SHA-256 of the content in base64url (of the names, for a directory).
type readsJSON struct {
	Facts map[string]string `json:"facts,omitempty"`
	Links map[string]string `json:"links,omitempty"`
}

// MarshalJSON writes canonical JSON.
func (r Reads) MarshalJSON() ([]byte, error) { return json.Marshal(readsJSON{r.facts, r.links}) }

// UnmarshalJSON reads what MarshalJSON writes and refuses anything else.
func (r *Reads) UnmarshalJSON(data []byte) error {
	if len(data) > MaxReadsSize {
		return fmt.Errorf("decode reads: %w: %d bytes", ErrLimit, len(data))
	}
	var in readsJSON
	if err := json.Unmarshal(data, &in); err != nil {
		return fmt.Errorf("decode reads: %w", err)
	}
	if len(in.Facts) > MaxPaths || len(in.Links) > MaxPaths {
		return fmt.Errorf("decode reads: %w: %d paths", ErrLimit, len(in.Facts)+len(in.Links))
	}
	for p, fact := range in.Facts {
		if !isRooted(p) || !isFact(fact) {
			return fmt.Errorf("decode reads: %q: %q is not a fact", p, fact)
		}
	}
	for p, target := range in.Links {
		if !isRooted(p) || !isRooted(target) {
			return fmt.Errorf("decode reads: %q: %q is not a link", p, target)
		}
	}
	*r = Reads{in.Facts, in.Links}
	return nil
}

func isRooted(p string) bool { return strings.HasPrefix(p, "/") && path.Clean(p) == p }

func isFact(s string) bool {
	if s == "" {
		return false
	}
	switch kind(s[:1]) {
	case absent, other:
		return len(s) == 1
	case regular, directory:
		digest, err := base64.RawURLEncoding.Strict().DecodeString(s[1:])
		return err == nil && (len(digest) == 0 || len(digest) == sha256.Size)
	}
	return false
}

// IsZero reports whether r is of no build.
func (r Reads) IsZero() bool { return len(r.facts) == 0 && len(r.links) == 0 }

// Paths returns the paths that were read, sorted, below the artifact's root.
func (r Reads) Paths() []string {
	paths := slices.Sorted(maps.Keys(r.facts))
	for i, p := range paths {
		paths[i] = local(p)
	}
	return paths
}

// Unchanged reports whether a build of the tree at root would read exactly the same. It is false for the zero Reads,
// and when the tree cannot be read.
func (r Reads) Unchanged(root string) bool {
	p := NewProbe(root)
	defer p.Close()
	return p.Unchanged(r)
}

// Probe compares one tree with several Reads and looks at nothing in it twice. It is for one goroutine.
type Probe struct {
	root string
	tree *tree // nil: not opened yet, or not to be opened
}

// NewProbe returns a Probe of the tree at root, which is opened when it is needed.
func NewProbe(root string) *Probe { return &Probe{root: root} }

// Close ends the probe.
func (p *Probe) Close() {
	if p.tree != nil {
		_ = p.tree.close()
	}
}

// Unchanged is Reads.Unchanged for the probe's tree. What it saw before it compares first: trees that follow one
// another mostly differ from a new one in the same file.
func (p *Probe) Unchanged(r Reads) bool {
	if r.IsZero() || !p.open() {
		return false
	}
	t := p.tree
	for at, seen := range t.reads.facts {
		if fact, ok := r.facts[at]; ok && contradicts(seen, fact) {
			return false
		}
	}
	for at, target := range r.links {
		if to, err := t.resolve(at); err != nil || to != target {
			return false
		}
	}
	for _, at := range slices.Sorted(maps.Keys(r.facts)) { // a directory before what is in it
		if !t.holds(at, r.facts[at]) {
			return false
		}
		delete(t.files, at) // the content is not needed again
	}
	return true
}

func (p *Probe) open() bool {
	if p.tree == nil {
		t, err := openTree(context.Background(), p.root, nil)
		if err != nil {
			return false
		}
		p.tree = t
	}
	return true
}

// contradicts reports whether two facts cannot both be true of a path.
func contradicts(a, b string) bool {
	if len(a) == 1 || len(b) == 1 { // one says only what is there
		return a[0] != b[0]
	}
	return a != b
}

// holds reports whether a fact is true of the tree. What was seen of it before is not looked at again.
func (t *tree) holds(p, fact string) bool {
	if covers(t.reads.facts[p], fact) {
		return true
	}
	var err error
	switch {
	case len(fact) == 1:
		_, err = t.kind(p)
	case kind(fact[:1]) == regular:
		_, err = t.read(p)
	default:
		_, err = t.list(p)
	}
	return err == nil && covers(t.reads.facts[p], fact)
}

// covers reports whether what was seen of a path makes a fact true: it is the fact, or says more than it.
func covers(seen, fact string) bool {
	return seen == fact || len(fact) == 1 && strings.HasPrefix(seen, fact)
}

// recorder collects a Reads.
type recorder struct {
	facts map[string]string
	links map[string]string
	size  int
}

func newRecorder() *recorder {
	return &recorder{facts: map[string]string{}, links: map[string]string{}}
}

func (r *recorder) reads() Reads {
	reads := Reads{facts: maps.Clone(r.facts)}
	if len(r.links) > 0 { // as JSON gives it back
		reads.links = maps.Clone(r.links)
	}
	return reads
}

// kind records what is at a path, unless its content is recorded already.
func (r *recorder) kind(p string, k kind) error {
	if _, ok := r.facts[p]; ok {
		return nil
	}
	return r.put(r.facts, p, string(k))
}

func (r *recorder) file(p string, data []byte) error {
	digest := sha256.Sum256(data)
	return r.put(r.facts, p, string(regular)+base64.RawURLEncoding.EncodeToString(digest[:]))
}

func (r *recorder) list(p string, entries []entry) error {
	h := sha256.New()
	for _, e := range entries {
		fmt.Fprintf(h, "%s\x00%t%t\x00", e.name, e.dir, e.link)
	}
	return r.put(r.facts, p, string(directory)+base64.RawURLEncoding.EncodeToString(h.Sum(nil)))
}

func (r *recorder) link(p, target string) error { return r.put(r.links, p, target) }

var errTooManyReads = errors.New("too many files and directories")

func (r *recorder) put(into map[string]string, p, fact string) error {
	into[p] = fact
	const escaped, overhead = 6, 16 // a byte of a path as \u00xx; quotes, colon, comma
	if r.size += escaped*len(p) + len(fact) + overhead; r.size > MaxReadsSize || len(into) > MaxPaths {
		return fmt.Errorf("%s: %w: %w, the limit is %d", local(p), ErrLimit, errTooManyReads, MaxPaths)
	}
	return nil
}
