package tree

import (
	"cmp"
	"fmt"
	"path"
	"strings"
	"syscall"

	"github.com/navefleet/nave/hub/internal/artifact"
	"github.com/navefleet/nave/hub/internal/lru"
	"github.com/navefleet/nave/hub/internal/render"
)

const (
	contentsSize = 16 << 20 // limits the contents that are remembered, in bytes
	overhead     = 256      // bytes of a content beside its data
)

// content is the content of a file.
type content struct {
	data []byte
	fact string // see render.Reads
}

func newContent(data []byte) content { return content{data, factOf(data)} }

// contents remembers contents between the trees of this process. Between two commits most files stay the same.
var contents = lru.New[artifact.ContentID, content](contentsSize)

// stored is an artifact. It has no symbolic links on disk, so stored follows those of the tree.
type stored struct {
	reader  *artifact.Reader
	folders map[string]*artifact.Folder // by path without links
}

func openStored(root string) (*stored, error) {
	reader, err := artifact.Open(root)
	if err != nil {
		return nil, damaged(err)
	}
	return &stored{reader, map[string]*artifact.Folder{"/": reader.Root()}}, nil
}

func (s *stored) close() error { return nil }

// damaged returns the error of an artifact that cannot be read as render.ErrDamaged; nil if err is nil.
func damaged(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%w: %w", render.ErrDamaged, err)
}

// folder returns the directory at a path without links. If there is none, folder returns nil.
func (s *stored) folder(p string) (*artifact.Folder, error) {
	if f, ok := s.folders[p]; ok {
		return f, nil
	}
	e, ok, err := s.entry(p)
	if err != nil || !ok || e.Mode != artifact.Directory {
		return nil, err
	}
	f, err := s.reader.Folder(e)
	if err == nil {
		s.folders[p] = f
	}
	return f, damaged(err)
}

// entry returns the entry at a path without links, and whether there is one.
func (s *stored) entry(p string) (artifact.Entry, bool, error) {
	if p == "/" {
		return artifact.Entry{Mode: artifact.Directory}, true, nil
	}
	above, err := s.folder(path.Dir(p))
	e, ok := above.Entry(path.Base(p))
	return e, ok, err
}

// find returns the path and the entry that a path leads to, following links as the kernel does: ".." is the parent of
// where the links before it led. If a link leaves the root, the error is ErrEscape. If nothing is there, the entry has
// no Mode.
func (s *stored) find(p string) (at string, e artifact.Entry, err error) {
	at, e = "/", artifact.Entry{Mode: artifact.Directory}
	for left, links := strings.Split(p, "/"), 0; len(left) > 0; {
		if e.Mode != artifact.Directory {
			return at, artifact.Entry{}, nil
		}
		step := left[0]
		if left = left[1:]; step == "" || step == "." {
			continue
		}
		if step == ".." {
			if at == "/" {
				return at, e, render.ErrEscape
			}
			at = path.Dir(at)
			continue
		}
		next := path.Join(at, step)
		found, ok, err := s.entry(next)
		if err != nil || !ok {
			return next, artifact.Entry{}, err
		}
		if found.Mode != artifact.Symlink {
			at, e = next, found
			continue
		}
		target, err := s.target(found)
		if links++; err != nil || links > maxLinks || path.IsAbs(target) {
			return at, e, cmp.Or(err, render.ErrEscape)
		}
		left = append(strings.Split(target, "/"), left...)
	}
	return at, e, nil
}

// target returns the target of a link.
func (s *stored) target(e artifact.Entry) (string, error) {
	c, err := s.read(e)
	return string(c.data), err
}

func (s *stored) typeOf(p string) (render.FileType, error) {
	_, e, err := s.find(p)
	switch {
	case err != nil:
		return render.Absent, fmt.Errorf("%s: %w", Local(p), err)
	case e.Mode == artifact.Directory:
		return render.Directory, nil
	case e.Mode != "":
		return render.Regular, nil
	}
	return render.Absent, nil
}

func (s *stored) load(p string) (content, error) {
	_, e, err := s.find(p)
	if err == nil && (e.Mode == "" || e.Mode == artifact.Directory) {
		err = syscall.ENOENT
	}
	if err != nil {
		return content{}, err
	}
	return s.read(e)
}

// read returns the content of an entry, from memory if possible.
func (s *stored) read(e artifact.Entry) (content, error) {
	if c, ok := contents.Get(e.Content); ok {
		return c, nil
	}
	if e.Bytes > MaxFileSize {
		return content{}, fmt.Errorf("%w: %d bytes, the limit is %d", render.ErrLimit, e.Bytes, MaxFileSize)
	}
	data, err := s.reader.Read(e, MaxFileSize)
	if err != nil {
		return content{}, damaged(err)
	}
	c := newContent(data)
	contents.Put(e.Content, c, overhead+len(data))
	return c, nil
}

func (s *stored) list(p string) ([]Entry, error) {
	at, e, err := s.find(p)
	switch {
	case err != nil:
		return nil, err
	case e.Mode == "":
		return nil, syscall.ENOENT
	case e.Mode != artifact.Directory:
		return nil, syscall.ENOTDIR
	}
	f, err := s.folder(at)
	if err != nil {
		return nil, err
	}
	entries := make([]Entry, len(f.Entries))
	for i, e := range f.Entries {
		entries[i] = Entry{Name: e.Name, Dir: e.Mode == artifact.Directory, Link: e.Mode == artifact.Symlink}
	}
	return entries, nil
}

func (s *stored) readLink(p string) (string, bool) {
	e, ok, err := s.entry(p)
	if err != nil || !ok || e.Mode != artifact.Symlink {
		return "", false
	}
	target, err := s.target(e)
	return target, err == nil
}
