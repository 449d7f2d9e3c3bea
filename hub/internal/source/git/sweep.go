package git

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// cacheLife is for how long a cache stays that no fetch uses.
const cacheLife = 7 * 24 * time.Hour

// Sweep removes what nobody needs: artifacts whose Dir keep has refused for as long as unused in calls of this process,
// caches that no fetch has used for a week, and those that are too much for Limits.Caches.
func (f *Fetcher) Sweep(ctx context.Context, keep func(dir string) bool, unused time.Duration) error {
	if err := f.prepare(); err != nil {
		return err
	}
	homes, err := filepath.Glob(filepath.Join(f.artifactsDir("*"), "*"))
	if err != nil {
		return fmt.Errorf("%w: %w", ErrStorage, err)
	}
	for _, home := range homes {
		if err := ctx.Err(); err != nil {
			return err
		}
		dir := filepath.Join(home, treeDir)
		if err := f.sweepArtifact(home, keep(dir), unused); err != nil {
			return fmt.Errorf("%w: %w", ErrStorage, err)
		}
	}
	return f.sweepCaches(ctx)
}

// sweepArtifact removes one artifact if it has been unused for long enough. It loses its name under the lock that mark
// takes, so that no fetch returns it after that.
func (f *Fetcher) sweepArtifact(home string, kept bool, unused time.Duration) error {
	f.mu.Lock()
	if !f.expired(filepath.Join(home, treeDir), kept, unused) {
		f.mu.Unlock()
		return nil
	}
	doomed, err := f.take(home)
	f.mu.Unlock()
	return errors.Join(err, os.RemoveAll(doomed))
}

// expired reports whether an artifact has been unused for long enough, and if so forgets it. The caller holds the lock.
func (f *Fetcher) expired(dir string, kept bool, unused time.Duration) bool {
	use, ok := f.trees[dir]
	if !ok {
		use = &artifactUse{}
		f.trees[dir] = use
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
	delete(f.trees, dir)
	return true
}

// usedCache is a cache on disk.
type usedCache struct {
	id   string
	used time.Time
	disk int64 // bytes
}

// caches returns all caches, the one that was used last first.
func (f *Fetcher) caches() ([]usedCache, error) {
	dirs, err := filepath.Glob(f.cacheDir("*"))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrStorage, err)
	}
	var found []usedCache
	for _, dir := range dirs {
		if info, err := os.Stat(dir); err == nil {
			found = append(found, usedCache{filepath.Base(dir), info.ModTime(), readState(dir).Disk})
		}
	}
	slices.SortFunc(found, func(a, b usedCache) int { return b.used.Compare(a.used) })
	return found, nil
}

// sweepCaches removes the caches that no fetch has used for a week, and of the others those that were used the longest
// ago, until the rest is within the limit.
func (f *Fetcher) sweepCaches(ctx context.Context) error {
	caches, err := f.caches()
	if err != nil {
		return err
	}
	var held int64
	for _, c := range caches {
		if held += c.disk; time.Since(c.used) < cacheLife && held <= f.Limits.Caches {
			continue
		}
		if err := f.removeCache(ctx, c.id); err != nil {
			return err
		}
		held -= c.disk
	}
	return nil
}

func (f *Fetcher) removeCache(ctx context.Context, id string) error {
	unlock, err := lock(ctx, f.lockOf(id))
	if err != nil {
		return err
	}
	defer unlock()
	if err := f.discard(f.cacheDir(id)); err != nil {
		return fmt.Errorf("%w: %w", ErrStorage, err)
	}
	return nil
}
