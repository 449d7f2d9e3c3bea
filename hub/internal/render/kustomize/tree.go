package kustomize

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
)

// The limits on what one build reads. They are far above what a real tree holds.
const (
	MaxFileSize  = 32 << 20  // bytes of one file
	MaxTotalSize = 512 << 20 // bytes of all files
	MaxPaths     = 50_000    // files and directories
	maxLinks     = 40        // symbolic links on one path, as Linux allows
)

// Errors that a build's own checks give. ErrNotFound also stands for what a source ignores.
var (
	ErrNotFound = errors.New("not found")
	ErrLimit    = errors.New("over a limit of the build")
	ErrRemote   = errors.New("refers to something outside of the artifact")
	ErrEscape   = errors.New("symbolic link leaves the artifact")
)

// kind is what is at a path.
type kind string

const (
	absent    kind = "-"
	regular   kind = "f"
	directory kind = "d"
	other     kind = "o" // a device, a pipe
)

// tree reads one artifact and remembers what it read. Paths are slash-separated and rooted: "/" is the artifact's
// root. os.Root keeps every access below the root, also through symbolic links. It is for one goroutine.
type tree struct {
	ctx     context.Context
	root    *os.Root
	exclude func(path string, dir bool) bool
	reads   *recorder
	files   map[string][]byte
	total   int64
	listed  map[string]kind // what listing a directory told of what is in it

	// folder is the directory that was looked into last, kept open: files are read one directory after the other, and
	// os.Root opens every directory on the way to each.
	folder   *os.Root
	folderAt string
}

func openTree(ctx context.Context, dir string, exclude func(string, bool) bool) (*tree, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("open artifact: %w", err)
	}
	return &tree{
		ctx: ctx, root: root, exclude: exclude, reads: newRecorder(), files: map[string][]byte{}, listed: map[string]kind{},
	}, nil
}

func (t *tree) close() error {
	t.leave()
	return t.root.Close()
}

// leave closes the directory that is open.
func (t *tree) leave() {
	if t.folder != nil {
		_ = t.folder.Close()
	}
	t.folder, t.folderAt = nil, ""
}

// enter returns the directory that a path is in, open; nil when it is the root or cannot be opened. What is found in it
// by its name is what the root finds by the whole path; what is not, such as through a link out of the directory, the
// root has to be asked for.
func (t *tree) enter(p string) *os.Root {
	dir := path.Dir(p)
	if dir == "/" {
		return nil
	}
	if t.folder == nil || t.folderAt != dir {
		t.leave()
		folder, err := t.root.OpenRoot(local(dir))
		if err != nil {
			return nil
		}
		t.folder, t.folderAt = folder, dir
	}
	return t.folder
}

// clean returns p rooted, with every "." and ".." resolved; none leads above the root.
func clean(p string) string { return path.Clean("/" + p) }

// local returns a rooted path as os.Root takes it.
func local(p string) string {
	if p == "/" {
		return "."
	}
	return p[1:]
}

// kind reports what is at a path, following symbolic links.
func (t *tree) kind(p string) (kind, error) {
	if err := t.ctx.Err(); err != nil {
		return absent, err
	}
	if seen := t.reads.facts[p]; seen != "" {
		return kind(seen[:1]), nil
	}
	k, err := t.stat(p)
	if err != nil {
		return absent, err
	}
	return k, t.reads.kind(p, k)
}

func (t *tree) stat(p string) (kind, error) {
	if k, ok := t.listed[p]; ok {
		return k, nil
	}
	info, err := t.info(p)
	if err != nil {
		return absent, t.missing(p, err)
	}
	if t.excluded(p, info.IsDir()) {
		return absent, nil
	}
	switch {
	case info.IsDir():
		return directory, nil
	case info.Mode().IsRegular():
		return regular, nil
	}
	return other, nil
}

// info is os.Root's Stat.
func (t *tree) info(p string) (fs.FileInfo, error) {
	if folder := t.enter(p); folder != nil {
		if info, err := folder.Stat(path.Base(p)); err == nil {
			return info, nil
		}
	}
	return t.root.Stat(local(p))
}

// open is os.Root's Open.
func (t *tree) open(p string) (*os.File, error) {
	if folder := t.enter(p); folder != nil {
		if f, err := folder.Open(path.Base(p)); err == nil {
			return f, nil
		}
	}
	return t.root.Open(local(p))
}

// excluded reports whether a path or a directory above it is to be treated as absent.
func (t *tree) excluded(p string, dir bool) bool {
	if t.exclude == nil || p == "/" {
		return false
	}
	return t.excluded(path.Dir(p), true) || t.exclude(p[1:], dir)
}

// missing turns "nothing there" into nil, and what os.Root refuses into ErrEscape.
func (t *tree) missing(p string, err error) error {
	if errors.Is(err, fs.ErrNotExist) || isNotDirectory(err) {
		return nil
	}
	var at *fs.PathError
	if errors.As(err, &at) {
		if info, lerr := t.root.Lstat(local(p)); lerr == nil && info.Mode()&fs.ModeSymlink != 0 {
			return fmt.Errorf("%s: %w", local(p), ErrEscape)
		}
		err = at.Err
	}
	return fmt.Errorf("%s: %w", local(p), err)
}

// read returns a file's content. It is shared: do not change it.
func (t *tree) read(p string) ([]byte, error) {
	if err := t.ctx.Err(); err != nil {
		return nil, err
	}
	if data, ok := t.files[p]; ok {
		return data, nil
	}
	k, err := t.kind(p)
	if err != nil {
		return nil, err
	}
	if k != regular {
		return nil, &fs.PathError{Op: "open", Path: local(p), Err: notAFile(k)}
	}
	data, err := t.load(p)
	if err != nil {
		return nil, err
	}
	t.files[p] = data
	return data, t.reads.file(p, data)
}

func notAFile(k kind) error {
	switch k {
	case absent:
		return fs.ErrNotExist
	case directory:
		return errors.New("is a directory")
	}
	return errors.New("is not a regular file")
}

// load reads a file within the limits.
func (t *tree) load(p string) ([]byte, error) {
	f, err := t.open(p)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", local(p), err)
	}
	defer f.Close()
	data, err := readAll(f)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", local(p), err)
	}
	if t.total += int64(len(data)); t.total > MaxTotalSize {
		return nil, fmt.Errorf("read %s: %w: the files read so far have more than %d bytes", local(p), ErrLimit, MaxTotalSize)
	}
	return data, nil
}

// readAll reads a file of known size with one call where it can.
func readAll(f *os.File) ([]byte, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if info.Size() > MaxFileSize {
		return nil, fmt.Errorf("%w: %d bytes, the limit is %d", ErrLimit, info.Size(), MaxFileSize)
	}
	data := make([]byte, info.Size())
	n, err := io.ReadFull(f, data)
	if errors.Is(err, io.ErrUnexpectedEOF) {
		err = nil
	}
	return data[:n], err
}

// entry is one name in a directory. link is set for a symbolic link, whatever it leads to.
type entry struct {
	name string
	dir  bool
	link bool
}

// list returns a directory's entries, sorted by name.
func (t *tree) list(p string) ([]entry, error) {
	if err := t.ctx.Err(); err != nil {
		return nil, err
	}
	f, err := t.root.Open(local(p))
	if err != nil {
		return nil, fmt.Errorf("list %s: %w", local(p), err)
	}
	defer f.Close()
	found, err := f.ReadDir(-1)
	if err != nil {
		return nil, fmt.Errorf("list %s: %w", local(p), err)
	}
	entries := make([]entry, 0, len(found))
	for _, e := range found {
		at := path.Join(p, e.Name())
		if t.excluded(at, e.IsDir()) {
			continue
		}
		entries = append(entries, entry{name: e.Name(), dir: e.IsDir(), link: e.Type()&fs.ModeSymlink != 0})
		switch {
		case e.IsDir():
			t.listed[at] = directory
		case e.Type().IsRegular():
			t.listed[at] = regular
		}
	}
	slices.SortFunc(entries, func(a, b entry) int { return strings.Compare(a.name, b.name) })
	return entries, t.reads.list(p, entries)
}

// resolve follows the symbolic links on a path that exists.
func (t *tree) resolve(p string) (string, error) {
	at, rest, links := "/", local(p), 0
	for rest != "" && rest != "." {
		name, tail, _ := strings.Cut(rest, "/")
		rest = tail
		next := path.Join(at, name)
		target, err := t.root.Readlink(local(next))
		if err != nil { // not a link
			at = next
			continue
		}
		if links++; links > maxLinks || path.IsAbs(target) {
			return "", fmt.Errorf("%s: %w", local(p), ErrEscape)
		}
		at, rest = "/", local(clean(path.Join(at, target, rest)))
	}
	if at != p {
		return at, t.reads.link(p, at)
	}
	return at, nil
}
