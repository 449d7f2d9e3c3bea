package artifact

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// cacheLife is for how long a cache stays that no fetch uses.
const cacheLife = 7 * 24 * time.Hour

// Sweep removes artifacts whose Dir keep has refused for as long as unused in calls of this process, what no artifact
// refers to, caches that no fetch has used for a week, and those that are too much for the Store's limit. An error
// of one address does not keep Sweep from the others. Errors are ErrStorage or that of ctx.
func (s *Store) Sweep(ctx context.Context, keep func(dir string) bool, unused time.Duration) error {
	if err := s.prepare(); err != nil {
		return err
	}
	homes, err := filepath.Glob(filepath.Join(s.dir, artifactsDir, "*"))
	if err != nil {
		return StorageError(err)
	}
	for _, home := range homes {
		err = errors.Join(err, s.sweepArtifacts(ctx, filepath.Base(home), keep, unused))
	}
	return errors.Join(err, s.sweepCaches(ctx))
}

// sweepArtifacts removes unused artifacts of an id, and what no artifact of the id refers to.
func (s *Store) sweepArtifacts(ctx context.Context, id string, keep func(dir string) bool, unused time.Duration) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	roots, err := namesIn(filepath.Join(s.dir, artifactsDir, id, rootsDir))
	for _, root := range roots {
		err = errors.Join(err, s.sweepArtifact(id, root, keep, unused))
	}
	if err != nil {
		return StorageError(err)
	}
	return s.collect(ctx, id)
}

// namesIn returns the names of what is in a folder; none if there is no folder.
func namesIn(dir string) (names []string, err error) {
	f, err := os.Open(dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return f.Readdirnames(-1)
}

// sweepArtifact removes the root of one artifact if it has been unused for long enough. The root is removed under the
// lock that mark takes, so that no fetch returns the artifact after that.
func (s *Store) sweepArtifact(id, root string, keep func(dir string) bool, unused time.Duration) error {
	dir := filepath.Join(artifactsDir, id, rootsDir, root)
	kept := keep(dir)
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.expired(dir, kept, unused) {
		return nil
	}
	s.swept[id] = false
	return os.RemoveAll(filepath.Join(s.dir, dir))
}

// expired reports whether an artifact has been unused for long enough, and if so forgets it. The caller holds the lock.
func (s *Store) expired(dir string, kept bool, unused time.Duration) bool {
	use, ok := s.trees[dir]
	if !ok {
		use = &artifactUse{}
		s.trees[dir] = use
	}
	switch {
	case kept:
		use.unused = time.Time{}
		return false
	case use.unused.IsZero():
		use.unused = time.Now()
	}
	if time.Since(use.unused) < unused {
		return false
	}
	delete(s.trees, dir)
	return true
}

// usedCache is a cache on disk.
type usedCache struct {
	id   string
	used time.Time
	disk int64 // bytes
}

// caches returns all caches, the one that was used last first.
func (s *Store) caches() ([]usedCache, error) {
	dirs, err := filepath.Glob(Workspace{Dir: s.dir}.CacheDir("*"))
	if err != nil {
		return nil, StorageError(err)
	}
	var found []usedCache
	for _, dir := range dirs {
		if info, err := os.Stat(dir); err == nil {
			found = append(found, usedCache{filepath.Base(dir), info.ModTime(), diskOf(dir)})
		}
	}
	slices.SortFunc(found, func(a, b usedCache) int { return b.used.Compare(a.used) })
	return found, nil
}

// diskOf returns the bytes that a cache takes as its file state says; 0 without one.
func diskOf(cache string) int64 {
	var state struct {
		Disk int64 `json:"disk"`
	}
	text, err := os.ReadFile(filepath.Join(cache, "state"))
	if err != nil || json.Unmarshal(text, &state) != nil {
		return 0
	}
	return state.Disk
}

// sweepCaches removes the caches that no fetch has used for a week, and of the others those that were used the longest
// ago, until the rest is within the limit.
func (s *Store) sweepCaches(ctx context.Context) error {
	caches, err := s.caches()
	if err != nil {
		return err
	}
	var total int64
	for _, c := range caches {
		if total += c.disk; time.Since(c.used) < cacheLife && total <= s.MaxCaches {
			continue
		}
		if err := s.removeCache(ctx, c.id); err != nil {
			return err
		}
		total -= c.disk
	}
	return nil
}

func (s *Store) removeCache(ctx context.Context, id string) error {
	w := s.workspace()
	unlock, err := w.Lock(ctx, id)
	if err != nil {
		return err
	}
	defer unlock()
	return StorageError(w.discard(w.CacheDir(id)))
}
