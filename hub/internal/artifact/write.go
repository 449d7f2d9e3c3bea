package artifact

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/navefleet/nave/shared/manifest"
)

// Permissions are those of a file in a tree on disk.
func (m Mode) Permissions() fs.FileMode {
	if m == Executable {
		return 0o555
	}
	return 0o444
}

// write writes what was planned, and the root last: it makes the artifact exist.
func (p *putting) write(name string, root []byte) error {
	for _, kind := range []string{rootsDir, foldersDir, contentsDir} {
		if err := makeFolder(p.home, kind); err != nil {
			return StorageError(err)
		}
	}
	for _, f := range p.files {
		if err := p.content(f); err != nil {
			return err
		}
	}
	for _, record := range p.records {
		name := filepath.Join(p.home, foldersDir, hexOf(manifest.DigestOf(record)))
		if err := p.create(name, record); err != nil {
			return err
		}
	}
	return p.replace(name, root)
}

// makeFolder makes a folder in another one. Files in the places of the two are removed.
func makeFolder(home, kind string) error {
	dir := filepath.Join(home, kind)
	if os.MkdirAll(dir, 0o700) == nil {
		return nil
	}
	for _, name := range []string{home, dir} {
		if info, err := os.Lstat(name); err == nil && !info.IsDir() {
			_ = os.Remove(name) // else MkdirAll fails
		}
	}
	return os.MkdirAll(dir, 0o700)
}

// content writes the content of a file: as a hard link if it is on disk somewhere.
func (p *putting) content(f File) error {
	if err := p.ctx.Err(); err != nil {
		return err
	}
	name := contentFile(p.home, f.Content)
	if onDisk, ok := p.contents.(OnDisk); ok && p.link(onDisk.Name(f), name) {
		return nil
	}
	text, err := p.contents.Read(p.ctx, f, p.limits.File)
	if err != nil {
		return fmt.Errorf("%s: %w", f.Path, err)
	}
	return p.create(name, text)
}

// link makes a file a hard link to another, and reports whether it succeeded.
func (p *putting) link(from, name string) bool {
	if from == "" {
		return false
	}
	err := os.Link(from, name)
	if errors.Is(err, os.ErrExist) {
		next := filepath.Join(p.tmp, "link")
		err = errors.Join(os.RemoveAll(next), os.Link(from, next), os.Rename(next, name), os.RemoveAll(next))
	}
	return err == nil
}

// create writes a file. If there is one, it may be damaged, and others may be reading it, so it is replaced.
func (p *putting) create(name string, text []byte) error {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, Regular.Permissions())
	if errors.Is(err, os.ErrExist) {
		return p.replace(name, text)
	}
	if err != nil {
		return StorageError(err)
	}
	_, err = f.Write(text)
	return StorageError(errors.Join(err, f.Close())) // another Put may have replaced it: do not remove it
}

// replace writes a file beside all artifacts, and then moves it to its place. If the file cannot be written or moved, a
// file in its place stays: another artifact may refer to it.
func (p *putting) replace(name string, text []byte) error {
	next := filepath.Join(p.tmp, "next")
	if err := os.RemoveAll(next); err != nil {
		return StorageError(err)
	}
	if err := os.WriteFile(next, text, Regular.Permissions()); err != nil {
		return StorageError(err)
	}
	err := os.Rename(next, name)
	if errors.Is(err, os.ErrExist) { // a folder is in its place
		err = errors.Join(os.RemoveAll(name), os.Rename(next, name))
	}
	return StorageError(err)
}

// discard renames a folder into Tmp, so that nobody finds it half removed, and removes it.
func (w Workspace) discard(dir string) error {
	doomed, err := os.MkdirTemp(w.Tmp, "discard-")
	if err != nil {
		return err
	}
	if err = os.Rename(dir, filepath.Join(doomed, "it")); errors.Is(err, os.ErrNotExist) {
		err = nil
	}
	return errors.Join(err, os.RemoveAll(doomed))
}
