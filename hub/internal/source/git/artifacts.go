package git

import (
	"context"
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"time"

	"github.com/navefleet/nave/hub/internal/source"
	"github.com/navefleet/nave/shared/manifest"
)

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
