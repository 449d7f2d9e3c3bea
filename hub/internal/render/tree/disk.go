package tree

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"syscall"

	"github.com/navefleet/nave/hub/internal/render"
)

// disk is a directory. os.Root keeps every access below it.
type disk struct {
	root    *os.Root
	exclude func(path string, dir bool) bool
	listed  map[string]render.FileType // types of files, from listing their directory

	// folder is the directory of the last read, kept open: files are read one directory after the other, and os.Root
	// opens every directory of the path of each file.
	folder   *os.Root
	folderAt string
}

func openDisk(dir string, exclude func(string, bool) bool) (*disk, error) {
	root, err := os.OpenRoot(dir)
	return &disk{root: root, exclude: exclude, listed: map[string]render.FileType{}}, err
}

func (d *disk) close() error {
	d.leave()
	return d.root.Close()
}

// leave closes the directory that is open.
func (d *disk) leave() {
	if d.folder != nil {
		_ = d.folder.Close()
	}
	d.folder, d.folderAt = nil, ""
}

// enter returns the directory of a path, opened. If the directory is the root or cannot be opened, enter returns nil. A
// file that the directory has under the base name is the one that the root has under the whole path. If the directory
// does not have the name, for example because of a link out of the directory, ask the root.
func (d *disk) enter(p string) *os.Root {
	dir := path.Dir(p)
	if dir == "/" {
		return nil
	}
	if d.folder == nil || d.folderAt != dir {
		d.leave()
		folder, err := d.root.OpenRoot(Local(dir))
		if err != nil {
			return nil
		}
		d.folder, d.folderAt = folder, dir
	}
	return d.folder
}

func (d *disk) typeOf(p string) (render.FileType, error) {
	if k, ok := d.listed[p]; ok {
		return k, nil
	}
	info, err := call(d, p, (*os.Root).Stat)
	if err != nil {
		return render.Absent, d.missing(p, err)
	}
	if d.excluded(p, info.IsDir()) {
		return render.Absent, nil
	}
	switch {
	case info.IsDir():
		return render.Directory, nil
	case info.Mode().IsRegular():
		return render.Regular, nil
	}
	return render.Special, nil
}

// call calls a method of os.Root for a path.
func call[T any](d *disk, p string, method func(*os.Root, string) (T, error)) (T, error) {
	if folder := d.enter(p); folder != nil {
		if found, err := method(folder, path.Base(p)); err == nil {
			return found, nil
		}
	}
	return method(d.root, Local(p))
}

// excluded reports whether a path or a directory above it is to be treated as absent.
func (d *disk) excluded(p string, dir bool) bool {
	if d.exclude == nil || p == "/" {
		return false
	}
	return d.excluded(path.Dir(p), true) || d.exclude(p[1:], dir)
}

// missing returns the error of a failed read. If the file does not exist, also because the path continues below a file,
// missing returns nil. If os.Root refuses a symbolic link, the error is ErrEscape.
func (d *disk) missing(p string, err error) error {
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) {
		return nil
	}
	if at, ok := errors.AsType[*fs.PathError](err); ok {
		if info, lerr := d.root.Lstat(Local(p)); lerr == nil && info.Mode()&fs.ModeSymlink != 0 {
			return fmt.Errorf("%s: %w", Local(p), render.ErrEscape)
		}
		err = at.Err
	}
	return fmt.Errorf("%s: %w", Local(p), err)
}

// load reads a file within the limits.
func (d *disk) load(p string) (content, error) {
	f, err := call(d, p, (*os.Root).Open)
	if err != nil {
		return content{}, err
	}
	defer f.Close()
	data, err := readAll(f)
	return newContent(data), err
}

// readAll reads a file, with one call if its size is known. If the file is larger than MaxFileSize, the error is
// ErrLimit.
func readAll(f *os.File) ([]byte, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if info.Size() > MaxFileSize {
		return nil, fmt.Errorf("%w: %d bytes, the limit is %d", render.ErrLimit, info.Size(), MaxFileSize)
	}
	data := make([]byte, info.Size())
	n, err := io.ReadFull(f, data)
	if errors.Is(err, io.ErrUnexpectedEOF) {
		err = nil
	}
	return data[:n], err
}

func (d *disk) list(p string) ([]Entry, error) {
	f, err := d.root.Open(Local(p))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	found, err := f.ReadDir(-1)
	if err != nil {
		return nil, err
	}
	entries := make([]Entry, 0, len(found))
	for _, e := range found {
		at := path.Join(p, e.Name())
		if d.excluded(at, e.IsDir()) {
			continue
		}
		entries = append(entries, Entry{Name: e.Name(), Dir: e.IsDir(), Link: e.Type()&fs.ModeSymlink != 0})
		switch {
		case e.IsDir():
			d.listed[at] = render.Directory
		case e.Type().IsRegular():
			d.listed[at] = render.Regular
		}
	}
	slices.SortFunc(entries, func(a, b Entry) int { return strings.Compare(a.Name, b.Name) })
	return entries, nil
}

func (d *disk) readLink(p string) (string, bool) {
	target, err := d.root.Readlink(Local(p))
	return target, err == nil
}
