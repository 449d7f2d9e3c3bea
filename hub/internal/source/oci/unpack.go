package oci

import (
	"archive/tar"
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/navefleet/nave/hub/internal/artifact"
)

// spool is the files of a layer, one after the other in one file on disk. It implements artifact.Contents.
type spool struct {
	file *os.File
	list []artifact.File
	at   map[artifact.ContentID]span
	end  int64
}

// span is where a content is in the spool.
type span struct{ start, size int64 }

// Size implements artifact.Contents.
func (s *spool) Size(f artifact.File) (int64, error) { return s.at[f.Content].size, nil }

// Read implements artifact.Contents.
func (s *spool) Read(ctx context.Context, f artifact.File, limit int64) ([]byte, error) {
	at := s.at[f.Content]
	if at.size > limit {
		return nil, fmt.Errorf("%w: it has %s, the limit is %s", artifact.ErrLimit, artifact.FormatSize(at.size),
			artifact.FormatSize(limit))
	}
	content := make([]byte, at.size)
	if _, err := s.file.ReadAt(content, at.start); err != nil && !errors.Is(err, io.EOF) {
		return nil, artifact.StorageError(err)
	}
	return content, ctx.Err()
}

func (s *spool) close() { _ = s.file.Close() }

// add appends a file.
func (s *spool) add(name string, mode artifact.Mode, content io.Reader) error {
	hash := sha256.New()
	n, err := io.Copy(io.MultiWriter(s.file, hash), content)
	if err != nil {
		return err
	}
	id := artifact.ContentID(hex.EncodeToString(hash.Sum(nil)))
	s.at[id] = span{s.end, n}
	s.end += n
	s.list = append(s.list, artifact.File{Path: name, Mode: mode, Content: id})
	return nil
}

// newSpool returns an empty spool whose file goes when it is closed.
func newSpool(dir string) (*spool, error) {
	file, err := os.CreateTemp(dir, "unpacked-")
	if err != nil {
		return nil, artifact.StorageError(err)
	}
	_ = os.Remove(file.Name())
	return &spool{file: file, at: map[artifact.ContentID]span{}}, nil
}

// copiedName is the file of an artifact that is a layer as it was pulled.
const copiedName = "layer"

// copied returns a layer as its only file.
func copied(blob *os.File) (*spool, error) {
	hash := sha256.New()
	n, err := io.Copy(hash, blob)
	if err != nil {
		return nil, artifact.StorageError(err)
	}
	id := artifact.ContentID(hex.EncodeToString(hash.Sum(nil)))
	return &spool{
		file: blob, at: map[artifact.ContentID]span{id: {0, n}},
		list: []artifact.File{{Path: copiedName, Mode: artifact.Regular, Content: id}},
	}, nil
}

// unpack returns the files of a layer, which is a tar archive or a compressed one. As in Flux, symlinks are left out,
// and other entries that are neither files nor folders are refused. Errors are artifact.ErrTree, ErrLimit, ErrStorage.
func unpack(ctx context.Context, layer io.Reader, dir string, limits Limits) (*spool, error) {
	plain, err := decompress(layer)
	if err != nil {
		return nil, err
	}
	s, err := newSpool(dir)
	if err != nil {
		return nil, err
	}
	archive := tar.NewReader(artifact.Bound(plain, limits.Unpacked, "what is unpacked"))
	for entries := 0; ; entries++ {
		if err := ctx.Err(); err != nil {
			return nil, errors.Join(err, s.file.Close())
		}
		header, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return s, nil
		}
		if err == nil && entries == limits.Entries {
			err = fmt.Errorf("%w: it has more than %d entries", artifact.ErrLimit, limits.Entries)
		}
		if err == nil {
			err = s.unpackEntry(header, archive)
		}
		if err != nil {
			return nil, errors.Join(archiveError(err), s.file.Close())
		}
	}
}

// decompress returns what is in a gzip stream, or the stream itself if it is not compressed.
func decompress(layer io.Reader) (io.Reader, error) {
	buffered := bufio.NewReader(layer)
	if begin, _ := buffered.Peek(2); !bytes.Equal(begin, []byte{0x1f, 0x8b}) {
		return buffered, nil
	}
	plain, err := gzip.NewReader(buffered)
	if err != nil {
		return nil, archiveError(err)
	}
	return plain, nil
}

// unpackEntry adds one entry of an archive. Paths are checked by package artifact, with those of all kinds.
func (s *spool) unpackEntry(h *tar.Header, content io.Reader) error {
	name := strings.TrimPrefix(h.Name, "./")
	switch h.Typeflag {
	case tar.TypeReg:
		mode := artifact.Regular
		if h.Mode&0o111 != 0 {
			mode = artifact.Executable
		}
		return s.add(name, mode, content)
	case tar.TypeDir, tar.TypeSymlink, tar.TypeXGlobalHeader:
		return nil
	default:
		return fmt.Errorf("%w: entry %q is of type %q; an artifact has files and folders only", artifact.ErrTree, name,
			h.Typeflag)
	}
}

// archiveError returns an error of an archive as ErrTree, unless it is one of the hub.
func archiveError(err error) error {
	var path *os.PathError
	switch {
	case errors.Is(err, artifact.ErrLimit), errors.Is(err, artifact.ErrTree):
		return err
	case errors.As(err, &path):
		return artifact.StorageError(err)
	default:
		return fmt.Errorf("%w: it is no tar archive, compressed with gzip or not: %w", artifact.ErrTree, err)
	}
}
