package git

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/navefleet/nave/hub/internal/source"
	"github.com/navefleet/nave/shared/manifest"
)

// cacheLife is for how long a cache stays that no fetch uses.
const cacheLife = 7 * 24 * time.Hour

func hexOf(d manifest.Digest) string { return hex.EncodeToString(d[:]) }

// Usable reports whether an artifact is on disk and whole, and if so keeps Sweep from it for a while. What this process
// neither wrote nor verified before is verified now.
func (f *Fetcher) Usable(ctx context.Context, a source.Artifact) bool {
	if _, err := os.Stat(indexFile(a.Dir)); err != nil {
		return false
	}
	if f.touch(a.Dir) {
		return true
	}
	return Verify(ctx, a.Dir, a.Digest) == nil && f.mark(a.Dir)
}

// touch starts anew the time after which Sweep removes an artifact, and reports whether it is known to be whole.
func (f *Fetcher) touch(dir string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	use, ok := f.trees[dir]
	if ok {
		use.unused = time.Time{}
	}
	return ok && use.whole
}

// mark notes that an artifact is whole, unless Sweep took it a moment ago.
func (f *Fetcher) mark(dir string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if _, err := os.Stat(indexFile(dir)); err != nil {
		return false
	}
	f.trees[dir] = &artifactUse{whole: true}
	return true
}

// discard removes a directory. It takes its name away first, so that nobody finds it half removed.
func (f *Fetcher) discard(dir string) error {
	doomed, err := f.take(dir)
	return errors.Join(err, os.RemoveAll(doomed))
}

// take moves a directory, if it is there, to where prepare would remove it, and returns the place.
func (f *Fetcher) take(dir string) (string, error) {
	doomed, err := os.MkdirTemp(f.tmp(), "discard-")
	if err != nil {
		return "", err
	}
	if err := os.Rename(dir, filepath.Join(doomed, "it")); err != nil && !errors.Is(err, os.ErrNotExist) {
		return doomed, err
	}
	return doomed, nil
}

// Sweep removes what nobody needs: artifacts whose Dir keep has refused for as long as unused in calls of this process,
// and caches that no fetch has used for a week.
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

func (f *Fetcher) sweepCaches(ctx context.Context) error {
	dirs, err := filepath.Glob(f.cacheDir("*"))
	if err != nil {
		return fmt.Errorf("%w: %w", ErrStorage, err)
	}
	for _, dir := range dirs {
		info, err := os.Stat(dir)
		if err != nil || time.Since(info.ModTime()) < cacheLife {
			continue
		}
		unlock, err := lock(ctx, f.lockOf(filepath.Base(dir)))
		if err != nil {
			return err
		}
		err = f.discard(dir)
		unlock()
		if err != nil {
			return fmt.Errorf("%w: %w", ErrStorage, err)
		}
	}
	return nil
}
