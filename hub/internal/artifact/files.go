package artifact

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// OnDisk is Contents of which some are files on the disk of the Store: Put shares them.
type OnDisk interface {
	Contents
	// Name returns the absolute path of a file with the content, which never changes; empty: there is none.
	Name(f File) string
}

// Filter returns the files that are not ignored.
func (t Tree) Filter(ctx context.Context) ([]File, error) {
	if !t.NoIgnoreFiles {
		return filter(ctx, t.Files, t.Contents, t.Ignore)
	}
	ignored := ignoredByDefault()
	return slices.DeleteFunc(slices.Clone(t.Files), func(f File) bool { return ignored(f.Path) }), ctx.Err()
}

// Files returns what an artifact holds, sorted by path. Errors are ErrStorage.
func (w Workspace) Files(a Artifact) ([]File, error) {
	if idOf(a) == "" {
		return nil, fmt.Errorf("%w: artifact %q is not in its place", ErrStorage, a.Dir)
	}
	r, err := Open(filepath.Join(w.Dir, a.Dir))
	if err != nil {
		return nil, err
	}
	return r.Files(context.Background())
}

// Files returns what the artifact holds, sorted by path. Errors are ErrStorage or that of ctx.
func (r *Reader) Files(ctx context.Context) ([]File, error) {
	files := make([]File, 0, min(r.root.total.Files, DefaultLimits.Files))
	err := r.walk(ctx, r.root, "", func(p string, e Entry) (bool, error) {
		if e.Mode != Directory {
			files = append(files, File{Path: p, Mode: e.Mode, Content: e.Content, Size: e.Bytes})
		}
		return true, nil
	})
	slices.SortFunc(files, func(a, b File) int { return strings.Compare(a.Path, b.Path) })
	return files, err
}

// ReadFile returns the content of a file of an artifact; of a symlink, the target. A content that is not the one that
// the file names is ErrStorage, one of more than limit bytes ErrLimit.
func (w Workspace) ReadFile(ctx context.Context, a Artifact, f File, limit int64) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	r := &Reader{home: w.home(a)}
	return r.Read(Entry{Name: f.Path, Content: f.Content, Totals: Totals{Bytes: f.Size}}, limit)
}

// FileName returns the absolute path of the content of a file of an artifact.
func (w Workspace) FileName(a Artifact, f File) string { return contentFile(w.home(a), f.Content) }

// home returns the folder of the artifacts that have the id of an artifact.
func (w Workspace) home(a Artifact) string {
	return filepath.Dir(filepath.Dir(filepath.Join(w.Dir, a.Dir)))
}

// Export writes an artifact as files below a folder, which may exist. Errors are ErrStorage or that of ctx.
func (s *Store) Export(ctx context.Context, a Artifact, dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return StorageError(err)
	}
	r, err := Open(s.Path(a))
	if err != nil {
		return err
	}
	files, err := r.Files(ctx)
	if err != nil {
		return err
	}
	isLink := func(f File) bool { return f.Mode == Symlink }
	links := slices.DeleteFunc(slices.Clone(files), func(f File) bool { return !isLink(f) })
	for _, f := range append(slices.DeleteFunc(files, isLink), links...) { // nothing is written through a link
		if err := s.export(ctx, a, f, filepath.Join(dir, filepath.FromSlash(f.Path))); err != nil {
			return fmt.Errorf("export %s: %w", f.Path, err)
		}
	}
	return nil
}

func (s *Store) export(ctx context.Context, a Artifact, f File, name string) error {
	text, err := Workspace{Dir: s.dir}.ReadFile(ctx, a, f, f.Size)
	if err != nil {
		return err
	}
	err = os.MkdirAll(filepath.Dir(name), 0o755)
	if f.Mode == Symlink {
		return StorageError(errors.Join(err, os.Symlink(string(text), name)))
	}
	return StorageError(errors.Join(err, os.WriteFile(name, text, f.Mode.Permissions())))
}
