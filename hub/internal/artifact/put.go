package artifact

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"time"

	"github.com/navefleet/nave/shared/manifest"
)

// Tree is what a fetcher found at one revision.
type Tree struct {
	Revision string
	Files    []File // in any order
	Contents Contents
	Ignore   *string // spec.ignore: .gitignore lines that replace the default exclusions; nil keeps them
	Limits   Limits  // the zero value means DefaultLimits
	// NoIgnoreFiles: only the default exclusions count, not Ignore and what .sourceignore files say.
	NoIgnoreFiles bool
	// Draft is a draft of the last artifact; nil: there is none.
	Draft *Draft
}

// Put writes a tree as an artifact of id, unless it is there already, and returns the artifact. Files that are equal in
// last, which may be nil, are shared with it. Errors are ErrTree, ErrLimit, ErrStorage, or those of t.Contents and ctx.
func (w Workspace) Put(ctx context.Context, id string, t Tree, last *Artifact) (Artifact, error) {
	if err := checkPaths(t.Files); err != nil {
		return Artifact{}, err
	}
	files, err := t.Filter(ctx)
	if err != nil {
		return Artifact{}, err
	}
	if err := checkNames(files); err != nil {
		return Artifact{}, err
	}
	files, links, notice, err := readLinks(ctx, files, t.Contents)
	if err != nil {
		return Artifact{}, err
	}
	p := w.previous(last, t.Draft)
	limits := cmp.Or(t.Limits, DefaultLimits)
	if err := measure(files, t.Contents, p, limits); err != nil {
		return Artifact{}, err
	}
	index := encodeIndex(files)
	a := Artifact{Revision: t.Revision, Digest: manifest.DigestOf(index), FetchedAt: time.Now().UTC().Round(0),
		Notice: notice}
	a.Dir = dirOf(id, a.Digest)
	if last != nil && last.Dir == a.Dir {
		return a, nil
	}
	return a, w.place(ctx, filepath.Dir(filepath.Join(w.Dir, a.Dir)), a.Digest, func(dir string) error {
		c := &writer{contents: t.Contents, dir: filepath.Join(dir, treeDir), last: p, limits: limits,
			made: map[string]bool{".": true}, written: t.Draft.moveTo(dir, files)}
		return c.checkOut(ctx, files, links, index)
	})
}

// previous returns the files of the last artifact.
func (w Workspace) previous(last *Artifact, draft *Draft) previous {
	if draft != nil {
		return draft.previous()
	}
	return w.openPrevious(last)
}

// measure sets the sizes of files and keeps the limits.
func measure(files []File, contents Contents, last previous, limits Limits) error {
	if len(files) > limits.Files {
		return fmt.Errorf("%w: the tree has %d files, the limit is %d; exclude some in .sourceignore", ErrLimit, len(files),
			limits.Files)
	}
	var total int64
	for i := range files {
		f := &files[i]
		if old, ok := last.files[f.identity()]; ok {
			f.Size = old.Size
		} else {
			var err error
			if f.Size, err = contents.Size(*f); err != nil {
				return fmt.Errorf("%s: %w", f.Path, err)
			}
		}
		if f.Size > limits.File {
			return fmt.Errorf("%w: %s has %s, the limit is %s; exclude it in .sourceignore", ErrLimit, f.Path,
				FormatSize(f.Size), FormatSize(limits.File))
		}
		if total += f.Size; total > limits.Total {
			return fmt.Errorf("%w: the files have together more than %s; exclude some in .sourceignore", ErrLimit,
				FormatSize(limits.Total))
		}
	}
	return nil
}

// place lets write make and fill a folder beside all artifacts and then renames it to home. If home has the same
// artifact, whole, write is not called; a damaged one is thrown away.
func (w Workspace) place(ctx context.Context, home string, digest manifest.Digest, write func(dir string) error) error {
	if _, err := os.Lstat(home); err == nil {
		if Verify(ctx, filepath.Join(home, treeDir), digest) == nil {
			return nil
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := w.discard(home); err != nil {
			return StorageError(err)
		}
	}
	dir := filepath.Join(w.Tmp, "artifact")
	if err := write(dir); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(home), 0o700); err != nil {
		return StorageError(err)
	}
	err := os.Rename(dir, home)
	if errors.Is(err, os.ErrExist) { // another fetch has just put it
		return Verify(ctx, filepath.Join(home, treeDir), digest)
	}
	return StorageError(err)
}

// discard renames a folder into Tmp, so that nobody finds it half removed, and removes it.
func (w Workspace) discard(dir string) error {
	doomed, err := moveAway(dir, w.Tmp)
	return errors.Join(err, os.RemoveAll(doomed))
}

// moveAway moves a folder, if it is there, below tmp and returns the place.
func moveAway(dir, tmp string) (string, error) {
	doomed, err := os.MkdirTemp(tmp, "discard-")
	if err != nil {
		return "", err
	}
	if err := os.Rename(dir, filepath.Join(doomed, "it")); err != nil && !errors.Is(err, os.ErrNotExist) {
		return doomed, err
	}
	return doomed, nil
}

// writer writes the tree of one artifact.
type writer struct {
	contents Contents
	dir      string
	last     previous
	made     map[string]bool // folders that exist
	written  map[string]bool // files that exist
	limits   Limits
}

// checkOut writes files and their index. Symlinks come last: nothing is written through one.
func (w *writer) checkOut(ctx context.Context, files []File, links links, index []byte) error {
	if err := os.MkdirAll(w.dir, 0o755); err != nil {
		return StorageError(err)
	}
	for _, f := range files {
		if f.Mode == Symlink || w.written[f.Path] {
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
	return StorageError(os.WriteFile(indexFile(w.dir), index, 0o444))
}

// write writes one file: as a hard link to the same file of the last artifact, else with its content.
func (w *writer) write(ctx context.Context, f File) error {
	if err := w.folder(path.Dir(f.Path)); err != nil {
		return err
	}
	name := filepath.Join(w.dir, filepath.FromSlash(f.Path))
	if old, ok := w.last.files[f.identity()]; ok {
		if os.Link(filepath.Join(w.last.dir, filepath.FromSlash(old.Path)), name) == nil {
			return ctx.Err()
		}
	}
	if onDisk, ok := w.contents.(OnDisk); ok && os.Link(onDisk.Name(f), name) == nil {
		return ctx.Err()
	}
	text, err := w.contents.Read(ctx, f, w.limits.File)
	if err != nil {
		return fmt.Errorf("%s: %w", f.Path, err)
	}
	return StorageError(os.WriteFile(name, text, f.Mode.Permissions()))
}

// Permissions are those of a file on disk. They keep everyone from writing: a file may be part of many artifacts.
func (m Mode) Permissions() fs.FileMode {
	if m == Executable {
		return 0o555
	}
	return 0o444
}

func (w *writer) link(from, target string) error {
	if err := w.folder(path.Dir(from)); err != nil {
		return err
	}
	return StorageError(os.Symlink(target, filepath.Join(w.dir, filepath.FromSlash(from))))
}

// folder makes a folder and those above it, once.
func (w *writer) folder(dir string) error {
	if w.made[dir] {
		return nil
	}
	w.made[dir] = true
	return StorageError(os.MkdirAll(filepath.Join(w.dir, filepath.FromSlash(dir)), 0o755))
}
