package git

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/go-git/go-git/v5/plumbing"

	"github.com/navefleet/nave/hub/internal/artifact"
	"github.com/navefleet/nave/hub/internal/source"
)

// Beyond these a cache is removed and filled again, which costs one transfer of one tree at depth 1.
const (
	maxLoose = 50_000 // objects in files of their own
	maxPacks = 32
	maxTips  = 4 // commits that a request lists as present
)

// repository is the cache of one URL and credentials: a bare repository on disk. One fetch at a time uses it.
type repository struct {
	dir     string
	objects *objects
	state   state
}

// state is the content of the cache's file state. It is written after the objects that it counts.
type state struct {
	Tips  []tip  `json:"tips"` // the newest last
	Made  []made `json:"made"` // the newest last
	Loose int    `json:"loose"`
	Packs int    `json:"packs"`
	Disk  int64  `json:"disk"` // bytes that all objects take on disk
}

// tip is an object that the cache has with everything that it reaches; if shallow, without the parents of commits.
type tip struct {
	Object  string `json:"object"`
	Commit  string `json:"commit"` // the object, or the commit of the tag
	Shallow bool   `json:"shallow"`
}

// openRepository opens the cache in dir, or makes an empty one.
func openRepository(dir string) (*repository, error) {
	if err := os.MkdirAll(filepath.Join(dir, "objects", "pack"), 0o700); err != nil {
		return nil, cacheError(artifact.StorageError(err))
	}
	now := time.Now()
	_ = os.Chtimes(dir, now, now) // for artifact.Store.Sweep; a wrong time costs a transfer
	return &repository{dir, &objects{dir: filepath.Join(dir, "objects")}, readState(dir)}, nil
}

func stateFile(dir string) string { return filepath.Join(dir, "state") }

// readState returns the state of the cache in dir. If it cannot be read, the cache counts as empty.
func readState(dir string) (s state) {
	text, err := os.ReadFile(stateFile(dir))
	if err != nil || json.Unmarshal(text, &s) != nil {
		return state{}
	}
	return s
}

// full reports whether the cache has grown so much that it should be emptied.
func (s state) full(limits Limits) bool {
	return s.Loose > maxLoose || s.Packs > maxPacks || s.Disk > 2*limits.Pack
}

func (r *repository) close() { r.objects.close() }

// save writes the state.
func (r *repository) save() error {
	r.state.Tips = r.state.Tips[max(0, len(r.state.Tips)-maxTips):]
	r.state.Made = r.state.Made[max(0, len(r.state.Made)-maxMade):]
	text, err := json.Marshal(r.state)
	if err != nil {
		return artifact.StorageError(err)
	}
	next := stateFile(r.dir) + ".next"
	err = errors.Join(os.WriteFile(next, text, 0o600), os.Rename(next, stateFile(r.dir)))
	return cacheError(artifact.StorageError(err))
}

// holds reports whether all of a commit's tree is here.
func (r *repository) holds(object plumbing.Hash) bool {
	id := object.String()
	return slices.ContainsFunc(r.state.Tips, func(t tip) bool { return t.Object == id || t.Commit == id })
}

// read returns the content of an object of the given kind, compared with its hash. More than limit bytes are
// artifact.ErrLimit.
func (r *repository) read(ctx context.Context, kind plumbing.ObjectType, id plumbing.Hash, limit int64) ([]byte,
	error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	have, content, err := r.objects.get(id)
	if err != nil {
		return nil, cacheError(fmt.Errorf("%s %s: %w", kind, id, err))
	}
	if int64(len(content)) > limit {
		return nil, fmt.Errorf("%w: %s %s has %s, the limit is %s", artifact.ErrLimit, kind, id,
			artifact.FormatSize(int64(len(content))), artifact.FormatSize(limit))
	}
	if have != kind || plumbing.ComputeHash(kind, content) != id {
		return nil, fmt.Errorf("%w: %s %s has another content", errCache, kind, id)
	}
	return content, nil
}

// size returns how many bytes an object's content has, without reading it.
func (r *repository) size(id plumbing.Hash) (int64, error) {
	n, err := r.objects.size(id)
	if err != nil {
		return 0, cacheError(fmt.Errorf("%s: %w", id, err))
	}
	return n, nil
}

// commitOf returns the commit that an object is, or that it is a tag of.
func (r *repository) commitOf(ctx context.Context, id plumbing.Hash) (plumbing.Hash, error) {
	for range 10 {
		kind, _, err := r.objects.get(id)
		if err != nil {
			return id, cacheError(fmt.Errorf("%s: %w", id, err))
		}
		switch kind {
		case plumbing.CommitObject:
			return id, nil
		case plumbing.TagObject:
		default:
			return id, fmt.Errorf("%w: the reference leads to a %s, not to a commit", source.ErrReferenceNotFound, kind)
		}
		content, err := r.read(ctx, plumbing.TagObject, id, maxHeaders)
		if err != nil {
			return id, err
		}
		if id, err = parseTag(content); err != nil {
			return id, err
		}
	}
	return id, fmt.Errorf("%w: the reference is a tag of a tag, more than ten deep; point it at a commit",
		source.ErrReferenceNotFound)
}

// commit reads a commit.
func (r *repository) commit(ctx context.Context, id plumbing.Hash) (commit, error) {
	content, err := r.read(ctx, plumbing.CommitObject, id, maxHeaders)
	if err != nil {
		return commit{}, err
	}
	return parseCommit(content)
}

// reaches reports whether wanted is from, or one of its ancestors that the cache has.
func (r *repository) reaches(ctx context.Context, from, wanted plumbing.Hash) (bool, error) {
	seen := map[plumbing.Hash]bool{from: true}
	for next := []plumbing.Hash{from}; len(next) > 0; {
		id := next[len(next)-1]
		next = next[:len(next)-1]
		if id == wanted {
			return true, nil
		}
		c, err := r.commit(ctx, id)
		if err != nil {
			return false, err
		}
		for _, parent := range c.parents {
			if !seen[parent] {
				seen[parent] = true
				next = append(next, parent)
			}
		}
	}
	return false, nil
}

// parseHash reads 40 hexadecimal digits.
func parseHash(text []byte) (plumbing.Hash, bool) {
	return plumbing.NewHash(string(text)), plumbing.IsHash(string(text))
}
