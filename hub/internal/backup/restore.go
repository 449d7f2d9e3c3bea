package backup

import (
	"archive/tar"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

// Restore makes a data folder of an archive. A folder that has a store already is an error, and nothing of it changes.
// Files that the archive does not have are taken from the folder keys; empty: from the data folder itself. A file that
// is there already and differs is an error. check is called with the path of the restored store before anything is in
// its place. The store is the last file to be there, so that a hub does not start on a half.
func Restore(archive io.Reader, folder, keys string, check func(database string) error) (m Manifest, err error) {
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return m, err
	}
	if _, err := os.Lstat(filepath.Join(folder, Database)); err == nil {
		return m, fmt.Errorf("%s has a store already: move the folder away, or name another with --data-dir", folder)
	} else if !errors.Is(err, fs.ErrNotExist) {
		return m, err
	}
	lock, err := lockFolder(folder)
	if err != nil {
		return m, err
	}
	defer lock.Close()
	temporary, err := os.MkdirTemp(folder, unfinished)
	if err != nil {
		return m, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(temporary)) }()
	found, m, err := extract(archive, func(name string, content io.Reader) (File, error) {
		return writeFile(filepath.Join(temporary, name), name, content)
	})
	if err != nil {
		return m, fmt.Errorf("the backup cannot be used: %w", err)
	}
	if err := m.verify(found); err != nil {
		return m, fmt.Errorf("the backup is damaged: %w", err)
	}
	if keys == "" {
		keys = folder
	}
	if err := m.addMissing(keys, temporary); err != nil {
		return m, err
	}
	if err := check(filepath.Join(temporary, Database)); err != nil {
		return m, err
	}
	return m, m.place(temporary, folder)
}

// unfinished begins the name of the folder in which a restore collects its files.
const unfinished = ".restore-"

// lockFolder keeps other restores from a data folder until its result is closed, and removes what killed ones left:
// they may have keys, and a store of any size. Where a folder cannot be locked, what is left may be of a restore that
// runs, and stays.
func lockFolder(folder string) (*os.File, error) {
	dir, err := os.Open(folder)
	if err != nil {
		return nil, err
	}
	switch err := syscall.Flock(int(dir.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); {
	case errors.Is(err, syscall.EWOULDBLOCK):
		return nil, errors.Join(fmt.Errorf("another restore into %s runs: wait until it has ended", folder), dir.Close())
	case err != nil:
		return dir, nil
	}
	entries, err := dir.ReadDir(-1)
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), unfinished) {
			err = errors.Join(err, os.RemoveAll(filepath.Join(folder, e.Name())))
		}
	}
	if err != nil {
		return nil, errors.Join(err, dir.Close())
	}
	return dir, nil
}

// Copy copies an archive, and returns an error if it is not whole.
func Copy(to io.Writer, archive io.Reader) (Manifest, error) {
	all := io.TeeReader(archive, to)
	found, m, err := extract(all, func(name string, content io.Reader) (File, error) {
		return copyFile(io.Discard, name, content)
	})
	if err == nil {
		err = m.verify(found)
	}
	if err == nil {
		_, err = io.Copy(io.Discard, all)
	}
	return m, err
}

// extract gives the files of an archive to keep, which returns what they are. It returns those by name, and the
// manifest.
func extract(archive io.Reader, keep func(name string, content io.Reader) (File, error)) (found map[string]File,
	m Manifest, err error) {
	found = map[string]File{}
	in := tar.NewReader(archive)
	for complete := false; ; {
		h, err := in.Next()
		switch {
		case errors.Is(err, io.EOF) && !complete:
			return nil, m, errors.New("it is cut off, or was not made by nave-hub backup: it ends without a manifest")
		case errors.Is(err, io.EOF):
			return found, m, nil
		case err != nil:
			return nil, m, err
		case complete || len(found) > maxFiles || h.Typeflag != tar.TypeReg || found[h.Name].Name != "" ||
			h.Name != manifestName && !isName(h.Name):
			return nil, m, fmt.Errorf("it was not made by nave-hub backup: it has %q", h.Name)
		case h.Name != Database && h.Size > maxFile:
			return nil, m, fmt.Errorf("it was not made by nave-hub backup: %s has %d bytes", h.Name, h.Size)
		case h.Name == manifestName:
			if err := json.NewDecoder(in).Decode(&m); err != nil {
				return nil, m, fmt.Errorf("%s: %w", manifestName, err)
			}
			if complete = true; m.Format != format {
				return nil, m, fmt.Errorf("it has the format %d, this version knows %d: run the version of the hub that made it, "+
					"%s", m.Format, format, m.Version)
			}
		default:
			if found[h.Name], err = keep(h.Name, in); err != nil {
				return nil, m, err
			}
		}
	}
}

// isName reports whether a file of an archive may have a name: one of the data folder that a backup does not leave out.
func isName(name string) bool {
	return name == Database || filepath.IsLocal(name) && filepath.ToSlash(filepath.Clean(name)) == name && name != "." &&
		!strings.ContainsAny(name, "\\\x00") && !isLeftOut(name)
}

func writeFile(path, name string, content io.Reader) (file File, err error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return file, err
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return file, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if file, err = copyFile(f, name, content); err != nil {
		return file, err
	}
	return file, f.Sync()
}

func copyFile(to io.Writer, name string, content io.Reader) (File, error) {
	sum := sha256.New()
	n, err := io.Copy(io.MultiWriter(to, sum), content)
	return File{Name: name, Size: n, SHA256: hex.EncodeToString(sum.Sum(nil))}, err
}

// verify compares the files of an archive with its manifest.
func (m Manifest) verify(found map[string]File) error {
	listed := map[string]bool{}
	for _, f := range m.Files {
		if listed[f.Name] = true; !isName(f.Name) {
			return fmt.Errorf("its manifest has the name %q", f.Name)
		}
		if got := found[f.Name]; !f.Missing && got != f {
			return fmt.Errorf("%s has %d bytes with the SHA-256 %q, want %d with %s", f.Name, got.Size, got.SHA256, f.Size,
				f.SHA256)
		}
	}
	for name := range found {
		if !listed[name] {
			return fmt.Errorf("%s is not in its manifest", name)
		}
	}
	if !listed[Database] || slices.Contains(m.Needs(), Database) {
		return fmt.Errorf("it has no %s", Database)
	}
	return nil
}

// addMissing copies the files that an archive needs and does not have.
func (m Manifest) addMissing(from, to string) error {
	var errs []error
	for _, f := range m.Files {
		if !f.Missing {
			continue
		}
		data, err := readFile(filepath.Join(from, f.Name))
		switch {
		case errors.Is(err, fs.ErrNotExist):
			errs = append(errs, fmt.Errorf("the backup needs %s, which is not in %s: put it there, or name the folder that "+
				"has it with --keys", f.Name, from))
		case err != nil:
			errs = append(errs, err)
		case digest(data) != f.SHA256:
			errs = append(errs, fmt.Errorf("%s in %s is not the one that the hub had when the backup was made", f.Name, from))
		default:
			_, err := writeFile(filepath.Join(to, f.Name), f.Name, strings.NewReader(string(data)))
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// place moves the restored files to their places, the store last.
func (m Manifest) place(from, to string) error {
	var names []string
	for _, f := range m.Files {
		if f.Name == Database {
			continue
		}
		was, err := readFile(filepath.Join(to, f.Name))
		if err == nil && digest(was) != f.SHA256 {
			return fmt.Errorf("%s has another %s than the backup: move the folder away, or name another with --data-dir", to,
				f.Name)
		} else if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		names = append(names, f.Name)
	}
	dirs := map[string]bool{to: true}
	for _, name := range append(names, Database) {
		path := filepath.Join(to, name)
		if dirs[filepath.Dir(path)] = true; name == Database {
			if err := syncAll(dirs); err != nil {
				return err
			}
		}
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			return err
		}
		move := os.Rename
		if name == Database {
			move = moveNew
		}
		if err := move(filepath.Join(from, name), path); err != nil {
			return err
		}
	}
	return syncAll(map[string]bool{to: true})
}

// moveNew moves a file to where none is. Were the store replaced under a hub that started meanwhile, everything that
// this hub writes would be lost.
func moveNew(from, to string) error {
	err := os.Link(from, to)
	switch {
	case err == nil:
		return os.Remove(from)
	case errors.Is(err, fs.ErrExist):
		return fmt.Errorf("%s was made meanwhile: stop the hub that made it, move the folder away, and restore again", to)
	}
	return os.Rename(from, to) // the file system has no links
}

func syncAll(dirs map[string]bool) error {
	for dir := range dirs {
		f, err := os.Open(dir)
		if err != nil {
			return err
		}
		if err := errors.Join(f.Sync(), f.Close()); err != nil {
			return err
		}
	}
	return nil
}
