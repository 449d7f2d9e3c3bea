package tree

import (
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"maps"

	"github.com/navefleet/nave/hub/internal/render"
)

// recorder collects a render.Reads.
type recorder struct {
	facts map[string]string
	links map[string]string
	size  int
}

func newRecorder() *recorder {
	return &recorder{facts: map[string]string{}, links: map[string]string{}}
}

func (r *recorder) reads() render.Reads {
	reads := render.Reads{Facts: maps.Clone(r.facts)}
	if len(r.links) > 0 { // as JSON gives it back
		reads.Links = maps.Clone(r.links)
	}
	return reads
}

// fileType records the type of the file at a path, unless there is a fact about the path already.
func (r *recorder) fileType(p string, k render.FileType) error {
	if _, ok := r.facts[p]; ok {
		return nil
	}
	return r.note(r.facts, p, string(k))
}

// factOf returns the fact that a file has a content.
func factOf(data []byte) string {
	digest := sha256.Sum256(data)
	return string(render.Regular) + base64.RawURLEncoding.EncodeToString(digest[:])
}

func (r *recorder) list(p string, entries []Entry) error {
	h := sha256.New()
	for _, e := range entries {
		fmt.Fprintf(h, "%s\x00%t%t\x00", e.Name, e.Dir, e.Link)
	}
	return r.note(r.facts, p, string(render.Directory)+base64.RawURLEncoding.EncodeToString(h.Sum(nil)))
}

func (r *recorder) link(p, target string) error { return r.note(r.links, p, target) }

var errTooManyReads = errors.New("too many files and directories")

func (r *recorder) note(into map[string]string, p, fact string) error {
	into[p] = fact
	const escaped, overhead = 6, 16 // a byte of a path as \u00xx; quotes, colon, comma
	if r.size += escaped*len(p) + len(fact) + overhead; r.size > render.MaxReadsSize || len(into) > render.MaxPaths {
		return fmt.Errorf("%s: %w: %w, the limit is %d", Local(p), render.ErrLimit, errTooManyReads, render.MaxPaths)
	}
	return nil
}
