package tree

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"syscall"
	"unicode"
	"unicode/utf8"

	"github.com/navefleet/nave/hub/internal/render"
)

// The limits of the files that one render reads, beside those of render.Reads. They are far above any real tree.
const (
	MaxFileSize  = 32 << 20  // bytes of one file
	maxTotalSize = 512 << 20 // bytes of all files
	maxLinks     = 40        // symbolic links on one path, as Linux allows
)

// Tree reads one artifact and records what it read. Paths are slash-separated and rooted: "/" is the artifact's root.
// os.Root keeps every access below the root, also through symbolic links. A Tree is for one goroutine.
type Tree struct {
	ctx     context.Context
	root    *os.Root
	exclude func(path string, dir bool) bool
	reads   *recorder
	files   map[string][]byte
	total   int64
	listed  map[string]render.FileType // types of files, from listing their directory
	mounts  []mount

	// folder is the directory of the last read, kept open: files are read one directory after the other, and os.Root
	// opens every directory of the path of each file.
	folder   *os.Root
	folderAt string

	index *index // see UseIndex
}

// Open opens the artifact in a directory until Close. When ctx ends, reading fails. If exclude is not nil, it reports
// which paths below the root are treated as absent.
func Open(ctx context.Context, dir string, exclude func(string, bool) bool) (*Tree, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("open artifact: %w", err)
	}
	return &Tree{
		ctx: ctx, root: root, exclude: exclude, reads: newRecorder(), files: map[string][]byte{},
		listed: map[string]render.FileType{}, index: &index{},
	}, nil
}

// Close ends the access to the artifact.
func (t *Tree) Close() error {
	t.leave()
	for _, m := range t.mounts {
		_ = m.tree.Close()
	}
	return t.root.Close()
}

// Reads returns the facts that were read so far.
func (t *Tree) Reads() render.Reads { return t.reads.reads() }

// leave closes the directory that is open.
func (t *Tree) leave() {
	if t.folder != nil {
		_ = t.folder.Close()
	}
	t.folder, t.folderAt = nil, ""
}

// enter returns the directory of a path, opened. If the directory is the root or cannot be opened, enter returns nil. A
// file that the directory has under the base name is the one that the root has under the whole path. If the directory
// does not have the name, for example because of a link out of the directory, ask the root.
func (t *Tree) enter(p string) *os.Root {
	dir := path.Dir(p)
	if dir == "/" {
		return nil
	}
	if t.folder == nil || t.folderAt != dir {
		t.leave()
		folder, err := t.root.OpenRoot(Local(dir))
		if err != nil {
			return nil
		}
		t.folder, t.folderAt = folder, dir
	}
	return t.folder
}

// Clean returns a path rooted, with every "." and ".." resolved; none leads above the root.
func Clean(p string) string { return path.Clean("/" + p) }

// Local returns a rooted path as os.Root takes it.
func Local(p string) string {
	if p == "/" {
		return "."
	}
	return p[1:]
}

// Type returns the type of the file at a path, following symbolic links.
func (t *Tree) Type(p string) (render.FileType, error) {
	if err := t.ctx.Err(); err != nil {
		return render.Absent, err
	}
	if m, at := t.mounted(p); m != nil {
		return m.tree.Type(at)
	}
	if seen := t.reads.facts[p]; seen != "" {
		return render.FileType(seen[:1]), nil
	}
	if !utf8.ValidString(p) || strings.ContainsFunc(p, unicode.IsControl) {
		return render.Absent, fmt.Errorf("the path %q has a control character or is not UTF-8: rename it", Local(p))
	}
	k, err := t.stat(p)
	if err != nil {
		return render.Absent, err
	}
	return k, t.reads.fileType(p, k)
}

func (t *Tree) stat(p string) (render.FileType, error) {
	if k, ok := t.index.fileType(p); ok {
		return k, nil
	}
	if k, ok := t.listed[p]; ok {
		return k, nil
	}
	info, err := call(t, p, (*os.Root).Stat)
	if err != nil {
		return render.Absent, t.missing(p, err)
	}
	if t.excluded(p, info.IsDir()) {
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
func call[T any](t *Tree, p string, method func(*os.Root, string) (T, error)) (T, error) {
	if folder := t.enter(p); folder != nil {
		if found, err := method(folder, path.Base(p)); err == nil {
			return found, nil
		}
	}
	return method(t.root, Local(p))
}

// excluded reports whether a path or a directory above it is to be treated as absent.
func (t *Tree) excluded(p string, dir bool) bool {
	if t.exclude == nil || p == "/" {
		return false
	}
	return t.excluded(path.Dir(p), true) || t.exclude(p[1:], dir)
}

// missing returns the error of a failed read. If the file does not exist, also because the path continues below a file,
// missing returns nil. If os.Root refuses a symbolic link, the error is ErrEscape.
func (t *Tree) missing(p string, err error) error {
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) {
		return nil
	}
	if at, ok := errors.AsType[*fs.PathError](err); ok {
		if info, lerr := t.root.Lstat(Local(p)); lerr == nil && info.Mode()&fs.ModeSymlink != 0 {
			return fmt.Errorf("%s: %w", Local(p), render.ErrEscape)
		}
		err = at.Err
	}
	return fmt.Errorf("%s: %w", Local(p), err)
}

// Read returns a file's content, which the caller must not change. If the file does not exist, the error wraps
// fs.ErrNotExist.
func (t *Tree) Read(p string) ([]byte, error) {
	if err := t.ctx.Err(); err != nil {
		return nil, err
	}
	if m, at := t.mounted(p); m != nil {
		return m.tree.Read(at)
	}
	if data, ok := t.files[p]; ok {
		return data, nil
	}
	k, err := t.Type(p)
	if err != nil {
		return nil, err
	}
	if k != render.Regular {
		return nil, &fs.PathError{Op: "open", Path: Local(p), Err: notAFile(k)}
	}
	c, err := t.contentOf(p)
	if err != nil {
		return nil, err
	}
	if t.total += int64(len(c.data)); t.total > maxTotalSize {
		return nil, fmt.Errorf("read %s: %w: the files read so far have more than %d bytes", Local(p), render.ErrLimit,
			maxTotalSize)
	}
	t.files[p] = c.data
	return c.data, t.reads.note(t.reads.facts, p, c.fact)
}

func notAFile(k render.FileType) error {
	switch k {
	case render.Absent:
		return fs.ErrNotExist
	case render.Directory:
		return errors.New("is a directory")
	}
	return errors.New("is not a regular file")
}

// load reads a file within the limits.
func (t *Tree) load(p string) ([]byte, error) {
	f, err := call(t, p, (*os.Root).Open)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", Local(p), err)
	}
	defer f.Close()
	data, err := readAll(f)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", Local(p), err)
	}
	return data, nil
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

// Entry is one name in a directory. Link is set for a symbolic link of any target.
type Entry struct {
	Name string
	Dir  bool
	Link bool
}

// List returns a directory's entries, sorted by name.
func (t *Tree) List(p string) ([]Entry, error) {
	if err := t.ctx.Err(); err != nil {
		return nil, err
	}
	if m, at := t.mounted(p); m != nil {
		return m.tree.List(at)
	}
	if entries, ok := t.index.folders[p]; ok {
		return entries, t.reads.list(p, entries)
	}
	f, err := t.root.Open(Local(p))
	if err != nil {
		return nil, fmt.Errorf("list %s: %w", Local(p), err)
	}
	defer f.Close()
	found, err := f.ReadDir(-1)
	if err != nil {
		return nil, fmt.Errorf("list %s: %w", Local(p), err)
	}
	entries := make([]Entry, 0, len(found))
	for _, e := range found {
		at := path.Join(p, e.Name())
		if t.excluded(at, e.IsDir()) {
			continue
		}
		entries = append(entries, Entry{Name: e.Name(), Dir: e.IsDir(), Link: e.Type()&fs.ModeSymlink != 0})
		switch {
		case e.IsDir():
			t.listed[at] = render.Directory
		case e.Type().IsRegular():
			t.listed[at] = render.Regular
		}
	}
	slices.SortFunc(entries, func(a, b Entry) int { return strings.Compare(a.Name, b.Name) })
	return entries, t.reads.list(p, entries)
}

// Resolve returns an existing path with its symbolic links followed. If a link leaves the root, the error is ErrEscape.
func (t *Tree) Resolve(p string) (string, error) {
	if m, at := t.mounted(p); m != nil {
		resolved, err := m.tree.Resolve(at)
		return path.Join(m.at, resolved), err
	}
	at, rest, links := "/", Local(p), 0
	for rest != "" && rest != "." {
		name, tail, _ := strings.Cut(rest, "/")
		rest = tail
		next := path.Join(at, name)
		target, err := t.root.Readlink(Local(next))
		if err != nil { // not a link
			at = next
			continue
		}
		if links++; links > maxLinks || path.IsAbs(target) {
			return "", fmt.Errorf("%s: %w", Local(p), render.ErrEscape)
		}
		at, rest = "/", Local(Clean(path.Join(at, target, rest)))
	}
	if at != p {
		return at, t.reads.link(p, at)
	}
	return at, nil
}

// Locate returns the directory at the path that an object names, with symbolic links followed. If the path does not
// exist, the error is ErrNotFound.
func (t *Tree) Locate(specPath string) (string, error) {
	p := Clean(specPath)
	k, err := t.Type(p)
	if err != nil {
		return "", fmt.Errorf("path %s: %w", specPath, err)
	}
	switch k {
	case render.Directory:
		return t.Resolve(p)
	case render.Absent:
		return "", fmt.Errorf("path %s %w%s", specPath, render.ErrNotFound, t.Suggest(p, render.Directory))
	}
	return "", fmt.Errorf("path %s is a file; a directory is needed", specPath)
}
