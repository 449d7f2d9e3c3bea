package oci

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/navefleet/nave/hub/internal/artifact"
	"github.com/navefleet/nave/hub/internal/source"
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
		return artifact.StorageError(err)
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
// and other entries that are neither files nor folders are refused. Errors are those of source.Archive.
func unpack(ctx context.Context, layer io.Reader, dir string, limits Limits) (*spool, error) {
	s, err := newSpool(dir)
	if err != nil {
		return nil, err
	}
	archive := source.Archive{
		Reader: layer, Name: "the layer", Bytes: limits.Unpacked, Entries: limits.Entries, SkipSymlinks: true,
	}
	if err := archive.Unpack(ctx, s.add); err != nil {
		return nil, errors.Join(err, s.file.Close())
	}
	return s, nil
}
