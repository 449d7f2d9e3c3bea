package artifact

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/navefleet/nave/shared/manifest"
)

// Verify reads the whole artifact of a tree and compares it with its digest: every file of the index with its content,
// mode and size, and nothing besides. A difference is ErrStorage.
func Verify(ctx context.Context, dir string, digest manifest.Digest) error {
	files, err := readIndex(dir, digest)
	if err != nil {
		return err
	}
	for _, f := range files {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := verifyFile(dir, f); err != nil {
			return fmt.Errorf("%w: artifact %s: %w", ErrStorage, dir, err)
		}
	}
	if n, err := countFiles(dir); err != nil || n != len(files) {
		return errors.Join(fmt.Errorf("%w: artifact %s has %d files, its index %d", ErrStorage, dir, n, len(files)), err)
	}
	return nil
}

func verifyFile(dir string, f File) error {
	name := filepath.Join(dir, filepath.FromSlash(f.Path))
	info, err := os.Lstat(name)
	if err != nil {
		return err
	}
	var text []byte
	switch {
	case f.Mode == Symlink && info.Mode().Type() == fs.ModeSymlink:
		target, err := os.Readlink(name)
		if err != nil {
			return err
		}
		text = []byte(target)
	case f.Mode != Symlink && info.Mode().IsRegular() && (info.Mode().Perm()&0o100 != 0) == (f.Mode == Executable) &&
		info.Size() == f.Size:
		if text, err = os.ReadFile(name); err != nil {
			return err
		}
	default:
		return fmt.Errorf("%s has another type, mode or size", f.Path)
	}
	if !f.Content.identifies(text) {
		return fmt.Errorf("%s has another content", f.Path)
	}
	return nil
}

// countFiles counts all that is no folder.
func countFiles(dir string) (int, error) {
	n := 0
	err := filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			n++
		}
		return err
	})
	return n, err
}
