package git

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"

	"github.com/go-git/go-git/v5/plumbing"

	"github.com/navefleet/nave/shared/manifest"
)

// treeDir and indexFile are the two parts of an artifact; dir is the artifact's tree, as source.Artifact names it.
const treeDir = "tree"

func indexFile(dir string) string { return filepath.Join(filepath.Dir(dir), "index") }

// measure fills in the sizes of files and holds them against the limits.
func (r *repository) measure(files []file, last previous, limits Limits) error {
	if len(files) > limits.Files {
		return fmt.Errorf("%w: the tree has %d files, the limit is %d; exclude some in .sourceignore", ErrLimit, len(files),
			limits.Files)
	}
	var total int64
	for i := range files {
		f := &files[i]
		if old, ok := last.files[content{f.id, f.mode}]; ok {
			f.size = old.size
		} else {
			var err error
			if f.size, err = r.size(f.id); err != nil {
				return fmt.Errorf("%s: %w", f.path, err)
			}
		}
		if f.size > limits.File {
			return fmt.Errorf("%w: %s has %s, the limit is %s; exclude it in .sourceignore", ErrLimit, f.path, size(f.size),
				size(limits.File))
		}
		if total += f.size; total > limits.Total {
			return fmt.Errorf("%w: the files have together more than %s; exclude some in .sourceignore", ErrLimit,
				size(limits.Total))
		}
	}
	return nil
}

// writer writes the tree of one artifact.
type writer struct {
	repository *repository
	dir        string
	last       previous
	made       map[string]bool // folders that exist
	limits     Limits
}

// checkOut writes files and their index below dir, which is new and empty. Symlinks come last: nothing is written
// through one.
func (r *repository) checkOut(ctx context.Context, dir string, files []file, links tree, index []byte, last previous,
	limits Limits) error {
	w := &writer{repository: r, dir: filepath.Join(dir, treeDir), last: last, made: map[string]bool{"": true},
		limits: limits}
	if err := os.Mkdir(w.dir, 0o755); err != nil {
		return fmt.Errorf("%w: %w", ErrStorage, err)
	}
	for _, f := range files {
		if f.mode == symlink {
			continue
		}
		if err := w.write(ctx, f); err != nil {
			return err
		}
	}
	for from, target := range links {
		if err := w.link(from, target); err != nil {
			return err
		}
	}
	if err := os.WriteFile(indexFile(w.dir), index, 0o444); err != nil {
		return fmt.Errorf("%w: %w", ErrStorage, err)
	}
	return nil
}

// write puts one file in place: as a hard link to the same file of the last artifact, else from the cache.
func (w *writer) write(ctx context.Context, f file) error {
	if err := w.folder(path.Dir(f.path)); err != nil {
		return err
	}
	name := filepath.Join(w.dir, filepath.FromSlash(f.path))
	if old, ok := w.last.files[content{f.id, f.mode}]; ok {
		if os.Link(filepath.Join(w.last.dir, filepath.FromSlash(old.path)), name) == nil {
			return ctx.Err()
		}
	}
	text, err := w.repository.read(ctx, plumbing.BlobObject, f.id, w.limits.File)
	if err != nil {
		return fmt.Errorf("%s: %w", f.path, err)
	}
	if err := os.WriteFile(name, text, permissions(f.mode)); err != nil {
		return fmt.Errorf("%w: %w", ErrStorage, err)
	}
	return nil
}

// permissions keep everyone from writing: a file may be part of many artifacts.
func permissions(m mode) fs.FileMode {
	if m == executable {
		return 0o555
	}
	return 0o444
}

func (w *writer) link(from, target string) error {
	if err := w.folder(path.Dir(from)); err != nil {
		return err
	}
	if err := os.Symlink(target, filepath.Join(w.dir, filepath.FromSlash(from))); err != nil {
		return fmt.Errorf("%w: %w", ErrStorage, err)
	}
	return nil
}

// folder makes a folder and those above it, once.
func (w *writer) folder(dir string) error {
	if dir == "." || w.made[dir] {
		return nil
	}
	if err := w.folder(path.Dir(dir)); err != nil {
		return err
	}
	if err := os.Mkdir(filepath.Join(w.dir, filepath.FromSlash(dir)), 0o755); err != nil {
		return fmt.Errorf("%w: %w", ErrStorage, err)
	}
	w.made[dir] = true
	return nil
}

// Verify reads a whole artifact and compares it with its digest: every file of the index with its content, mode and
// size, and nothing besides.
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
	if n, err := count(dir); err != nil || n != len(files) {
		return errors.Join(fmt.Errorf("%w: artifact %s has %d files, its index %d", ErrStorage, dir, n, len(files)), err)
	}
	return nil
}

func verifyFile(dir string, f file) error {
	name := filepath.Join(dir, filepath.FromSlash(f.path))
	info, err := os.Lstat(name)
	if err != nil {
		return err
	}
	var text []byte
	switch {
	case f.mode == symlink && info.Mode().Type() == fs.ModeSymlink:
		target, err := os.Readlink(name)
		if err != nil {
			return err
		}
		text = []byte(target)
	case f.mode != symlink && info.Mode().IsRegular() && (info.Mode().Perm()&0o100 != 0) == (f.mode == executable) &&
		info.Size() == f.size:
		if text, err = os.ReadFile(name); err != nil {
			return err
		}
	default:
		return fmt.Errorf("%s is not the file it was", f.path)
	}
	if objectHash(plumbing.BlobObject, text) != f.id {
		return fmt.Errorf("%s does not have the content it had", f.path)
	}
	return nil
}

// count counts all that is no folder.
func count(dir string) (int, error) {
	n := 0
	err := filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			n++
		}
		return err
	})
	return n, err
}
