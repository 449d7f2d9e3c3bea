package artifact

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
)

// OnDisk is Contents of which some are files on the disk of the Store: Put shares them.
type OnDisk interface {
	Contents
	// Name returns the absolute path of a file whose content and permissions never change; empty: there is none.
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
	return readIndex(filepath.Join(w.Dir, a.Dir), a.Digest)
}

// ReadFile returns the content of a file of an artifact; of a symlink, the target. A content that is not the one that
// the file names is ErrStorage, one of more than limit bytes ErrLimit.
func (w Workspace) ReadFile(ctx context.Context, a Artifact, f File, limit int64) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if f.Size > limit {
		return nil, fmt.Errorf("%w: %s has more than %s", ErrLimit, f.Path, FormatSize(limit))
	}
	name := w.FileName(a, f)
	var text []byte
	var err error
	if f.Mode == Symlink {
		var target string
		target, err = os.Readlink(name)
		text = []byte(target)
	} else {
		text, err = os.ReadFile(name)
	}
	if err != nil {
		return nil, StorageError(err)
	}
	if !f.Content.identifies(text) {
		return nil, fmt.Errorf("%w: %s has another content", ErrStorage, name)
	}
	return text, nil
}

// FileName returns the absolute path of a file of an artifact.
func (w Workspace) FileName(a Artifact, f File) string {
	return filepath.Join(w.Dir, a.Dir, filepath.FromSlash(f.Path))
}
