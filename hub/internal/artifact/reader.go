package artifact

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/navefleet/nave/hub/internal/lru"
	"github.com/navefleet/nave/shared/manifest"
)

// Reader reads one artifact. What it returns was compared with the digest of the artifact. It never follows a symbolic
// link of the disk. A Reader may be used from several goroutines.
type Reader struct {
	home  string // the folder of the id
	root  *Folder
	fresh bool // reads what is on disk, and keeps nothing in memory
}

// folders remembers folders, because most of them stay the same from one artifact to the next.
var folders = lru.New[manifest.Digest, *Folder](maxFolders)

// maxFolders limits the folders that are remembered, in entries.
const maxFolders = 100_000

// Open opens the artifact at a path that Store.Path returned. Errors are ErrStorage.
func Open(path string) (*Reader, error) { return open(path, false) }

func open(path string, fresh bool) (*Reader, error) {
	r := &Reader{home: filepath.Dir(filepath.Dir(path)), fresh: fresh}
	var err error
	r.root, err = r.folder(path)
	return r, err
}

// Root returns the folder that everything is in.
func (r *Reader) Root() *Folder { return r.root }

// Folder returns the folder of an entry that is a Directory. Errors are ErrStorage.
func (r *Reader) Folder(e Entry) (*Folder, error) {
	f, err := r.folder(filepath.Join(r.home, foldersDir, string(e.Content)))
	if err != nil {
		return nil, err
	}
	if f.total != e.Totals {
		return nil, fmt.Errorf("%w: folder %s does not hold what the folder above it says", ErrStorage, e.Content)
	}
	return f, nil
}

// folder reads the record in a file that is named by the record's digest.
func (r *Reader) folder(name string) (*Folder, error) {
	var digest manifest.Digest
	if n, err := hex.Decode(digest[:], []byte(filepath.Base(name))); err != nil || n != len(digest) {
		return nil, fmt.Errorf("%w: %s is not named by a digest", ErrStorage, name)
	}
	if !r.fresh {
		if f, ok := folders.Get(digest); ok {
			return f, nil
		}
	}
	text, err := readFile(name, maxRecord)
	if err != nil {
		return nil, StorageError(err)
	}
	if manifest.DigestOf(text) != digest {
		return nil, fmt.Errorf("%w: %s does not match its digest", ErrStorage, name)
	}
	f, err := parseRecord(text)
	if err == nil && !r.fresh {
		folders.Put(digest, f, 1+len(f.Entries))
	}
	return f, err
}

// Read returns the content of an entry that is a file; of a symlink, the target. More than limit bytes are ErrLimit;
// other errors are ErrStorage.
func (r *Reader) Read(e Entry, limit int64) ([]byte, error) {
	if e.Bytes > limit {
		return nil, fmt.Errorf("%w: %s has more than %s", ErrLimit, e.Name, FormatSize(limit))
	}
	name := contentFile(r.home, e.Content)
	text, err := readFile(name, e.Bytes)
	if err != nil {
		return nil, StorageError(err)
	}
	if int64(len(text)) != e.Bytes || !e.Content.identifies(text) {
		return nil, fmt.Errorf("%w: %s has another content", ErrStorage, name)
	}
	return text, nil
}

// Find returns the entry at a path, which is relative to the root and clean, and whether there is one. It follows no
// symlink of the artifact. Errors are ErrStorage.
func (r *Reader) Find(p string) (Entry, bool, error) {
	at := r.root
	for {
		step, rest, more := strings.Cut(p, "/")
		e, ok := at.Entry(step)
		if !ok || !more || e.Mode != Directory {
			return e, ok && !more, nil
		}
		var err error
		if at, err = r.Folder(e); err != nil {
			return Entry{}, false, err
		}
		p = rest
	}
}

// walk calls visit for every entry below a folder with its path, a folder before what is in it. If visit returns false
// for a folder, walk leaves out what is in it.
func (r *Reader) walk(ctx context.Context, f *Folder, dir string, visit func(p string, e Entry) (bool, error)) error {
	for _, e := range f.Entries {
		if err := ctx.Err(); err != nil {
			return err
		}
		p := path.Join(dir, e.Name)
		if len(p) > MaxPath || strings.Count(dir, "/") >= MaxDepth {
			return fmt.Errorf("%w: the path %.80q… of an artifact is too long or too deep", ErrStorage, p)
		}
		enter, err := visit(p, e)
		if err != nil {
			return err
		}
		if !enter || e.Mode != Directory {
			continue
		}
		below, err := r.Folder(e)
		if err == nil {
			err = r.walk(ctx, below, p, visit)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// contentFile returns the path of a content of the artifacts in a folder.
func contentFile(home string, id ContentID) string {
	return filepath.Join(home, contentsDir, string(id))
}

var errLarge = errors.New("the file is larger than it should be")

// readFile reads a regular file of at most limit bytes, and nothing that a link leads to.
func readFile(name string, limit int64) ([]byte, error) {
	f, err := os.OpenFile(name, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	switch {
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular():
		return nil, &os.PathError{Op: "read", Path: name, Err: errors.New("not a regular file")}
	case info.Size() > limit:
		return nil, &os.PathError{Op: "read", Path: name, Err: errLarge}
	}
	text := make([]byte, info.Size())
	_, err = io.ReadFull(f, text)
	return text, err
}
