package artifact

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/navefleet/nave/shared/telemetry"
)

// Store keeps artifacts and the caches of fetchers below one folder. No other Store may use the folder. A Store may be
// used from several goroutines.
type Store struct {
	// MaxCaches is how many bytes on disk Sweep leaves to the caches of all sources. New sets 4 GiB.
	MaxCaches int64

	dir   string
	mu    sync.Mutex
	ready bool                    // prepare has succeeded
	trees map[string]*artifactUse // by Artifact.Dir
	swept map[string]bool         // ids of which nothing was removed since what no artifact refers to was removed

	doubts chan Artifact // see Doubts
}

// artifactUse is what this process knows of an artifact on disk.
type artifactUse struct {
	whole  bool      // written or verified by this process
	unused time.Time // since when Sweep sees no use; zero: in use
}

// New returns the Store of a folder, which is made when it is needed.
func New(dir string) *Store {
	if abs, err := filepath.Abs(dir); err == nil {
		dir = abs
	}
	return &Store{MaxCaches: 4 << 30, dir: dir, trees: map[string]*artifactUse{}, swept: map[string]bool{},
		doubts: make(chan Artifact, 16)}
}

// Path returns the absolute path of an artifact, which Open opens.
func (s *Store) Path(a Artifact) string { return filepath.Join(s.dir, a.Dir) }

func (s *Store) tmp() string { return filepath.Join(s.dir, "tmp") }

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

// Make has fetch make an artifact in a Workspace, which goes when fetch returns. fetch gets last only if last is whole.
// The errors are those of fetch, ErrStorage, and ErrTree for a revision that must not be shown. The artifact of an
// Unfinished is made as any other.
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
	unfinished, isPart := errors.AsType[*Unfinished](err)
	if err != nil && !isPart {
		s.noteLeft(tmp)
		return Artifact{}, err
	}
	if !isPart {
		return s.keep(a, last)
	}
	if a, err = s.keep(unfinished.Artifact, last); err != nil {
		return Artifact{}, errors.Join(unfinished.Cause, err)
	}
	return Artifact{}, &Unfinished{a, unfinished.Cause}
}

// Brief returns the artifact with the beginning of each text that may quote others: at most 1 KiB of Notice and of
// Summary. Each row of the store has them.
func (a Artifact) Brief() Artifact {
	a.Notice, a.Summary = telemetry.Printable(a.Notice, maxOrigin), telemetry.Printable(a.Summary, maxOrigin)
	return a
}

// keep checks a new artifact, and keeps it.
func (s *Store) keep(a Artifact, last *Artifact) (Artifact, error) {
	a.Origin = Origin{telemetry.Printable(a.Origin.Revision, maxOrigin), telemetry.Printable(a.Origin.Source, maxOrigin)}
	a = a.Brief()
	if len(a.Status) > maxStatus {
		return Artifact{}, fmt.Errorf("%w: its status has %d bytes, the limit is %d", ErrLimit, len(a.Status), maxStatus)
	}
	if !utf8.ValidString(a.Revision) || strings.ContainsFunc(a.Revision, unicode.IsControl) {
		return Artifact{}, fmt.Errorf("%w: its revision %q has a control character", ErrTree, a.Revision)
	}
	if last != nil && a.Dir == last.Dir && a.Digest == last.Digest {
		return a, nil
	}
	if !s.mark(a) {
		return Artifact{}, fmt.Errorf("%w: artifact %q is not in its place", ErrStorage, a.Dir)
	}
	return a, nil
}

// Usable reports whether an artifact is on disk and whole, and if so keeps Sweep from it for a while. An artifact that
// this process neither wrote nor verified before is verified now.
func (s *Store) Usable(ctx context.Context, a Artifact) bool {
	if !s.exists(a) {
		return false
	}
	return s.touch(a) || Verify(ctx, s.Path(a), a.Digest) == nil && s.mark(a)
}

// Doubt lets Usable verify an artifact again, because somebody found it damaged.
func (s *Store) Doubt(a Artifact) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if use, ok := s.trees[a.Dir]; ok {
		use.whole = false
	}
	select {
	case s.doubts <- a:
	default: // it will be found damaged again
	}
}

// Doubts gives the artifacts that somebody found damaged.
func (s *Store) Doubts() <-chan Artifact { return s.doubts }

func (s *Store) exists(a Artifact) bool {
	info, err := os.Lstat(s.Path(a))
	return err == nil && info.Mode().IsRegular() && idOf(a) != ""
}

// touch starts anew the time after which Sweep removes an artifact, and reports whether it is known to be whole.
func (s *Store) touch(a Artifact) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	use, ok := s.trees[a.Dir]
	if ok {
		use.unused = time.Time{}
	}
	return ok && use.whole
}

// mark notes that an artifact is whole, and reports whether it is still there: Sweep may have removed it a moment ago.
func (s *Store) mark(a Artifact) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.exists(a) {
		return false
	}
	s.trees[a.Dir] = &artifactUse{whole: true}
	return true
}
