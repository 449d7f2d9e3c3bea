package artifact

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/navefleet/nave/shared/manifest"
)

// Tree is what a fetcher found at one revision.
type Tree struct {
	Revision string
	Files    []File // in any order
	// Shared are the folders of which the fetcher knows that the same rules make the same of them as in the last
	// artifact; "" is the root. Of the files in them, Files has the symlinks and ignore files only.
	Shared   []string
	Contents Contents
	Ignore   *string // spec.ignore: .gitignore lines that replace the default exclusions; nil keeps them
	Limits   Limits  // the zero value means DefaultLimits
	// NoIgnoreFiles: only the default exclusions count, not Ignore and what .sourceignore files say.
	NoIgnoreFiles bool
}

// ErrShared: the last artifact, of which a Tree shares folders, cannot be read. Without Shared the Tree can be put.
var ErrShared = errors.New("the last artifact cannot be shared")

// Put writes a tree as an artifact of id, unless it is there already, and returns the artifact. What is equal in last,
// which may be nil, is shared with it: only folders in which something differs are read and written. Errors are
// ErrTree, ErrLimit, ErrShared, ErrStorage, or those of t.Contents and ctx.
func (w Workspace) Put(ctx context.Context, id string, t Tree, last *Artifact) (Artifact, error) {
	if err := checkPaths(t.Files); err != nil {
		return Artifact{}, err
	}
	files, err := t.Filter(ctx)
	if err != nil {
		return Artifact{}, err
	}
	a, err := w.put(ctx, id, t, files, last)
	if errors.Is(err, ErrShared) && len(t.Shared) == 0 {
		return w.put(ctx, id, t, files, nil)
	}
	return a, err
}

// put puts the files of a tree that are not ignored.
func (w Workspace) put(ctx context.Context, id string, t Tree, files []File, last *Artifact) (Artifact, error) {
	unlock, err := w.lockPut(ctx, id)
	if err != nil {
		return Artifact{}, err
	}
	defer unlock()
	p := &putting{ctx: ctx, home: filepath.Join(w.Dir, artifactsDir, id), tmp: w.Tmp, contents: t.Contents,
		limits: cmp.Or(t.Limits, DefaultLimits), last: w.openLast(id, last), planned: map[ContentID]bool{}}
	if err := p.share(t.Shared); err != nil {
		return Artifact{}, err
	}
	a := Artifact{Revision: t.Revision, FetchedAt: time.Now().UTC().Round(0)}
	root, notice, err := p.plan(files)
	if err != nil {
		return Artifact{}, err
	}
	a.Digest, a.Notice = manifest.DigestOf(root), notice
	if a.Dir = dirOf(id, a.Digest); p.last != nil && last.Dir == a.Dir {
		return a, nil
	}
	name := filepath.Join(w.Dir, a.Dir)
	if p.last == nil && Verify(ctx, name, a.Digest) == nil {
		return a, nil
	}
	if err := w.noteBegun(id); err != nil {
		return Artifact{}, err
	}
	return a, p.write(name, root)
}

// noteBegun notes for Store.Make that a Put of id has begun to write.
func (w Workspace) noteBegun(id string) error {
	return StorageError(os.WriteFile(filepath.Join(w.Tmp, begunPrefix+id), nil, 0o600))
}

// openLast opens the last artifact. If there is none of the id, or it cannot be read, nothing is shared.
func (w Workspace) openLast(id string, last *Artifact) *Reader {
	if last == nil || idOf(*last) != id {
		return nil
	}
	name := filepath.Join(w.Dir, last.Dir)
	if _, err := os.Lstat(name); err != nil { // what it refers to may be gone, too
		return nil
	}
	r, err := Open(name)
	if err != nil {
		return nil
	}
	return r
}

// putting is one Put.
type putting struct {
	ctx      context.Context
	home     string // the folder of the id
	tmp      string
	contents Contents
	limits   Limits
	last     *Reader          // whole; nil: there is none
	shared   map[string]Entry // folders of the last artifact, by path
	all      bool             // the root is shared

	files   []File             // of which the contents are to be written
	bytes   int64              // of the files so far
	planned map[ContentID]bool // contents of files
	records [][]byte           // of the folders that are to be written
}

// share looks up folders of the last artifact. Folders that it does not have had nothing in them that was kept.
func (p *putting) share(dirs []string) error {
	p.shared = make(map[string]Entry, len(dirs))
	if len(dirs) > 0 && p.last == nil {
		return ErrShared
	}
	for _, dir := range dirs {
		if dir == "" {
			p.all = true
			continue
		}
		e, ok, err := p.last.Find(dir)
		if err != nil {
			return fmt.Errorf("%w: %w", ErrShared, err)
		}
		if ok && e.Mode == Directory {
			p.shared[dir] = e
		}
	}
	return nil
}

// isShared reports whether a path is in a shared folder.
func (p *putting) isShared(name string) bool {
	for dir := parent(name); dir != ""; dir = parent(dir) {
		if _, ok := p.shared[dir]; ok {
			return true
		}
	}
	return p.all
}

// plan returns the record of the root, and what the user should know of the tree. It collects what is to be written.
func (p *putting) plan(files []File) (root []byte, notice string, err error) {
	if err := checkNames(p.own(files)); err != nil {
		return nil, "", err
	}
	files, notice, err = withoutBadLinks(p.ctx, files, p.contents)
	if err != nil {
		return nil, "", err
	}
	if p.all {
		return p.last.root.encode(), notice, nil
	}
	own := p.own(files)
	if err := p.count(own); err != nil {
		return nil, "", err
	}
	slices.SortFunc(own, func(a, b File) int { return strings.Compare(a.Path, b.Path) })
	var last *Folder
	if p.last != nil {
		last = p.last.root
	}
	f, err := p.folder(own, 0, last)
	if err != nil {
		return nil, "", err
	}
	return f.encode(), notice, nil
}

// own returns the files that are in no shared folder, and the shared folders.
func (p *putting) own(files []File) []File {
	own := slices.DeleteFunc(slices.Clone(files), func(f File) bool { return p.isShared(f.Path) })
	for dir := range p.shared {
		own = append(own, File{Path: dir, Mode: Directory})
	}
	return own
}

// count keeps the limit on the number of files.
func (p *putting) count(own []File) error {
	n := len(own) - len(p.shared)
	for _, e := range p.shared {
		n += e.Files
	}
	if n > p.limits.Files {
		return fmt.Errorf("%w: the tree has %d files, the limit is %d; exclude some in .sourceignore", ErrLimit, n,
			p.limits.Files)
	}
	return nil
}

// folder makes a folder of files and shared folders, which are sorted by path. The first bytes of each path, so many as
// start says, are those of the folder. last is the folder of the last artifact at this path.
func (p *putting) folder(own []File, start int, last *Folder) (*Folder, error) {
	f := &Folder{}
	for n := 0; len(own) > 0; own = own[n:] {
		if err := p.ctx.Err(); err != nil {
			return nil, err
		}
		name, _, isBelow := strings.Cut(own[0].Path[start:], "/")
		old, _ := last.Entry(name)
		var e Entry
		var err error
		switch n = 1; {
		case isBelow:
			for n < len(own) && strings.HasPrefix(own[n].Path, own[0].Path[:start+len(name)+1]) {
				n++
			}
			e, err = p.subfolder(own[:n], start+len(name)+1, old)
		case own[0].Mode == Directory:
			e = p.shared[own[0].Path]
			err = p.add(e.Bytes)
		default:
			e, err = p.file(own[0], old)
		}
		if err != nil {
			return nil, err
		}
		e.Name = name
		f.Entries, f.total = append(f.Entries, e), f.total.plus(e.Totals)
	}
	slices.SortFunc(f.Entries, func(a, b Entry) int { return strings.Compare(a.Name, b.Name) })
	return f, nil
}

// subfolder makes the entry of a folder. If the last artifact does not have the folder, its record is to be written.
func (p *putting) subfolder(own []File, start int, old Entry) (Entry, error) {
	var last *Folder
	if old.Mode == Directory {
		var err error
		if last, err = p.last.Folder(old); err != nil {
			return Entry{}, fmt.Errorf("%w: %w", ErrShared, err)
		}
	}
	f, err := p.folder(own, start, last)
	if err != nil {
		return Entry{}, err
	}
	record := f.encode()
	e := Entry{Mode: Directory, Content: ContentID(hexOf(manifest.DigestOf(record))), Totals: f.total}
	if old.Mode != Directory || e.Content != old.Content {
		p.records = append(p.records, record)
	}
	return e, nil
}

// file makes the entry of a file. If the last artifact does not have its content at the path, it is to be written.
func (p *putting) file(f File, old Entry) (Entry, error) {
	if old.Mode == Directory || old.Content != f.Content {
		var err error
		if f.Size, err = p.contents.Size(f); err != nil {
			return Entry{}, fmt.Errorf("%s: %w", f.Path, err)
		}
		if !p.planned[f.Content] {
			p.planned[f.Content] = true
			p.files = append(p.files, f)
		}
	} else {
		f.Size = old.Bytes
	}
	if f.Size > p.limits.File {
		return Entry{}, fmt.Errorf("%w: %s has %s, the limit is %s; exclude it in .sourceignore", ErrLimit, f.Path,
			FormatSize(f.Size), FormatSize(p.limits.File))
	}
	e := Entry{Mode: f.Mode, Content: f.Content, Totals: Totals{Bytes: f.Size, Files: 1}}
	if f.Mode == Symlink {
		e.Links = 1
	}
	return e, p.add(f.Size)
}

// add keeps the limit on the bytes of all files.
func (p *putting) add(size int64) error {
	if p.bytes += size; p.bytes > p.limits.Total {
		return fmt.Errorf("%w: the files have together more than %s; exclude some in .sourceignore", ErrLimit,
			FormatSize(p.limits.Total))
	}
	return nil
}
