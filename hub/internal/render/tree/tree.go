package tree

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"strings"
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
// A Tree is for one goroutine.
type Tree struct {
	ctx    context.Context
	source files
	reads  *recorder
	files  map[string][]byte
	total  int64
	mounts []mount
}

// files are what a Tree reads: a directory or an artifact. No access leads out of the root, also not through symbolic
// links.
type files interface {
	// typeOf returns the type of the file at a path, following symbolic links.
	typeOf(p string) (render.FileType, error)
	// load returns the content of a regular file. If it exceeds MaxFileSize, the error is ErrLimit.
	load(p string) (content, error)
	// list returns the entries of a directory, sorted by name.
	list(p string) ([]Entry, error)
	// readLink returns the target of a symbolic link in a directory whose path has no symbolic links, and whether there
	// is one.
	readLink(p string) (string, bool)
	close() error
}

// Open opens what is at a path of the disk until Close: a directory, or an artifact by the path that
// artifact.Store.Path returned. When ctx ends, reading fails. If exclude is not nil, it reports which paths below the
// root of a directory are treated as absent.
func Open(ctx context.Context, root string, exclude func(string, bool) bool) (*Tree, error) {
	source, err := openFiles(root, exclude)
	if err != nil {
		return nil, fmt.Errorf("open artifact: %w", err)
	}
	return &Tree{ctx: ctx, source: source, reads: newRecorder(), files: map[string][]byte{}}, nil
}

func openFiles(root string, exclude func(string, bool) bool) (files, error) {
	if info, err := os.Lstat(root); err == nil && info.Mode().IsRegular() && exclude == nil {
		return openStored(root)
	}
	return openDisk(root, exclude)
}

// Close ends the access to the artifact.
func (t *Tree) Close() error {
	for _, m := range t.mounts {
		_ = m.tree.Close()
	}
	return t.source.close()
}

// Reads returns the facts that were read so far.
func (t *Tree) Reads() render.Reads { return t.reads.reads() }

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
	k, err := t.source.typeOf(p)
	if err != nil {
		return render.Absent, err
	}
	return k, t.reads.fileType(p, k)
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
	c, err := t.source.load(p)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", Local(p), err)
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
	entries, err := t.source.list(p)
	if err != nil {
		return nil, fmt.Errorf("list %s: %w", Local(p), err)
	}
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
		target, isLink := t.source.readLink(next)
		if !isLink {
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
