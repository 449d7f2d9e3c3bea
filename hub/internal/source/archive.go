package source

import (
	"archive/tar"
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/navefleet/nave/hub/internal/artifact"
)

// Archive is a tar archive, compressed with gzip or not, that Unpack reads.
type Archive struct {
	io.Reader
	Name    string // in errors
	Bytes   int64  // limit of the unpacked size, with everything that is left out; and of all content, with holes
	Entries int    // limit of the entries
	// SkipSymlinks leaves symlinks out, as Flux does in layers of OCI artifacts. Otherwise they are errors.
	SkipSymlinks bool
}

// Unpack calls add for each file of an archive, with its clean path. Errors of add are returned as they are. Other
// errors are artifact.ErrTree for what is no archive of files and folders below its own root, artifact.ErrLimit,
// artifact.ErrStorage, or the context's.
func (a Archive) Unpack(ctx context.Context, add func(name string, mode artifact.Mode, content io.Reader) error) error {
	plain, err := decompress(a.Reader)
	if err != nil {
		return a.unreadable(err)
	}
	what := a.Name + ", unpacked,"
	archive := tar.NewReader(artifact.Bound(plain, a.Bytes, what))
	contents := artifact.Bound(archive, a.Bytes, what) // holes of sparse files are not in the archive
	for entries := 0; ctx.Err() == nil; entries++ {
		h, err := archive.Next()
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return a.unreadable(err)
		case entries == a.Entries:
			return fmt.Errorf("%w: %s has more than %d entries", artifact.ErrLimit, a.Name, a.Entries)
		}
		name, mode, err := a.check(h)
		if err != nil {
			return err
		}
		if name == "" {
			continue
		}
		content := &entry{from: contents}
		if err := add(name, mode, content); content.err != nil {
			return a.unreadable(content.err)
		} else if err != nil {
			return err
		}
	}
	return ctx.Err()
}

// check returns the path and the mode of a file, and an empty path for an entry that is left out.
func (a Archive) check(h *tar.Header) (string, artifact.Mode, error) {
	mode := artifact.Regular
	if h.Mode&0o111 != 0 {
		mode = artifact.Executable
	}
	name := path.Clean(h.Name)
	switch h.Typeflag {
	case tar.TypeDir, tar.TypeXGlobalHeader:
		return "", mode, nil
	case tar.TypeReg:
		up := slices.Contains(strings.Split(h.Name, "/"), "..")
		if filepath.IsLocal(h.Name) && name != "." && !up {
			return name, mode, nil
		}
		return "", mode, fmt.Errorf("%w: %s has the entry %.80q, which is no path below its root", artifact.ErrTree,
			a.Name, h.Name)
	case tar.TypeSymlink:
		if a.SkipSymlinks {
			return "", mode, nil
		}
	}
	return "", mode, fmt.Errorf("%w: entry %.80q of %s is of type %q; want files and folders only", artifact.ErrTree,
		h.Name, a.Name, h.Typeflag)
}

// entry reads the content of an entry, and keeps the error of the archive apart from those of its user.
type entry struct {
	from io.Reader
	err  error
}

// Read implements io.Reader.
func (e *entry) Read(p []byte) (int, error) {
	n, err := e.from.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		e.err = err
	}
	return n, err
}

// decompress returns the content of a gzip stream, or the stream itself if it is not compressed.
func decompress(r io.Reader) (io.Reader, error) {
	buffered := bufio.NewReader(r)
	if begin, _ := buffered.Peek(2); !bytes.Equal(begin, []byte{0x1f, 0x8b}) {
		return buffered, nil
	}
	return gzip.NewReader(buffered)
}

// unreadable returns an error of reading the archive.
func (a Archive) unreadable(err error) error {
	var file *os.PathError
	switch {
	case errors.Is(err, artifact.ErrLimit):
		return err
	case errors.As(err, &file):
		return artifact.StorageError(err)
	default:
		return fmt.Errorf("%w: %s is no tar archive, compressed with gzip or not: %w", artifact.ErrTree, a.Name, err)
	}
}
