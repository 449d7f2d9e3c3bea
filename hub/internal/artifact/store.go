package artifact

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// Store keeps artifacts and the caches of fetchers below one folder. No other Store may use the folder. A Store may be
// used from several goroutines.
type Store struct {
	dir       string
	maxCaches int64 // bytes

	mu    sync.Mutex
	ready bool                    // prepare has succeeded
	trees map[string]*artifactUse // by Artifact.Dir
}

// artifactUse is what this process knows of an artifact on disk.
type artifactUse struct {
	whole  bool      // written or verified by this process
	unused time.Time // since when Sweep sees no use; zero: in use
}

// DefaultMaxCaches is how many bytes on disk Sweep leaves to the caches of all sources, unless New is told otherwise.
const DefaultMaxCaches = 4 << 30

// New returns the Store of a folder, which is made when it is needed. maxCaches is how many bytes on disk Sweep leaves
// to the caches; 0 means DefaultMaxCaches.
func New(dir string, maxCaches int64) *Store {
	if abs, err := filepath.Abs(dir); err == nil {
		dir = abs
	}
	if maxCaches == 0 {
		maxCaches = DefaultMaxCaches
	}
	return &Store{dir: dir, maxCaches: maxCaches, trees: map[string]*artifactUse{}}
}

func (s *Store) tmp() string          { return filepath.Join(s.dir, "tmp") }
func (s *Store) artifactsDir() string { return filepath.Join(s.dir, "artifacts") }

// prepare removes, before anything else is done, what an earlier process left half done.
func (s *Store) prepare() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ready {
		return nil
	}
	for _, dir := range []string{s.tmp(), filepath.Join(s.dir, "locks")} {
		if err := errors.Join(os.RemoveAll(dir), os.MkdirAll(dir, 0o700)); err != nil {
			return StorageError(err)
		}
	}
	s.ready = true
	return nil
}

// Workspace is where one fetch writes. It is plain data, so that the fetch can run in another process.
type Workspace struct {
	Dir string `json:"dir"` // the Store's
	Tmp string `json:"tmp"` // a folder of this fetch alone, on the same disk
}

// CacheDir returns the folder in which a fetcher may keep what it needs for the next fetch of id, which is made of
// hexadecimal digits. The fetcher holds Lock while it uses the folder.
func (w Workspace) CacheDir(id string) string { return filepath.Join(w.Dir, "cache", id) }

// Lock waits for the turn to use the cache of id, and to put artifacts of id. When a process dies, the next one has its
// turn. Errors are ErrStorage or that of ctx.
func (w Workspace) Lock(ctx context.Context, id string) (unlock func(), err error) {
	return lock(ctx, filepath.Join(w.Dir, "locks", id))
}

// Make has fetch make an artifact in a Workspace, which goes when fetch returns. fetch gets last only if last is whole.
// The errors are those of fetch, and ErrStorage.
func (s *Store) Make(ctx context.Context, last *Artifact, fetch func(Workspace, *Artifact) (Artifact, error)) (Artifact,
	error) {
	if err := s.prepare(); err != nil {
		return Artifact{}, err
	}
	if last != nil && !s.Usable(ctx, *last) {
		last = nil
	}
	tmp, err := os.MkdirTemp(s.tmp(), "fetch-")
	if err != nil {
		return Artifact{}, StorageError(err)
	}
	defer os.RemoveAll(tmp)
	a, err := fetch(Workspace{Dir: s.dir, Tmp: tmp}, last)
	if err != nil {
		return Artifact{}, err
	}
	if last != nil && a.Dir == last.Dir && a.Digest == last.Digest {
		return a, nil
	}
	if !s.isHome(a) || !s.mark(a.Dir) {
		return Artifact{}, fmt.Errorf("%w: artifact %s is not in its place", ErrStorage, a.Dir)
	}
	return a, nil
}

// isHome reports whether an artifact that another process names is where Put writes it.
func (s *Store) isHome(a Artifact) bool {
	id := filepath.Base(filepath.Dir(filepath.Dir(a.Dir)))
	_, err := hex.DecodeString(id)
	return err == nil && a.Dir == filepath.Join(s.artifactsDir(), id, hexOf(a.Digest), treeDir)
}

// Usable reports whether an artifact is on disk and whole, and if so keeps Sweep from it for a while. An artifact that
// this process neither wrote nor verified before is verified now.
func (s *Store) Usable(ctx context.Context, a Artifact) bool {
	if _, err := os.Stat(indexFile(a.Dir)); err != nil {
		return false
	}
	if s.touch(a.Dir) {
		return true
	}
	return Verify(ctx, a.Dir, a.Digest) == nil && s.mark(a.Dir)
}

// touch starts anew the time after which Sweep removes an artifact, and reports whether it is known to be whole.
func (s *Store) touch(dir string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	use, ok := s.trees[dir]
	if ok {
		use.unused = time.Time{}
	}
	return ok && use.whole
}

// mark notes that an artifact is whole, and reports whether it is still there: Sweep may have removed it a moment ago.
func (s *Store) mark(dir string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, err := os.Stat(indexFile(dir)); err != nil {
		return false
	}
	s.trees[dir] = &artifactUse{whole: true}
	return true
}
