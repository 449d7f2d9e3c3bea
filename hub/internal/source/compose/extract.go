package compose

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"path"
	"path/filepath"
	"strings"

	"github.com/navefleet/nave/hub/internal/artifact"
)

// isArchive reports whether a file is an archive by its name.
func isArchive(name string) bool {
	name = strings.ToLower(name)
	return strings.HasSuffix(name, ".tar.gz") || strings.HasSuffix(name, ".tgz")
}

// extract unpacks an archive below a folder of the result.
func (b *build) extract(in *input, f artifact.File, to string) error {
	f, ok, err := b.follow(in, f)
	if err != nil || !ok {
		return err
	}
	text, err := b.request.Workspace.ReadFile(b.ctx, in.artifact, f, b.limits.File)
	if err != nil {
		return err
	}
	unzipped, err := gzip.NewReader(bytes.NewReader(text))
	if err != nil {
		return refuse("%s is not a gzip file: %v", f.Path, err)
	}
	archive := tar.NewReader(artifact.Bound(unzipped, 2*maxMade, f.Path))
	for entries := 1; ; entries++ {
		header, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err == nil && entries > 2*b.limits.Files {
			return refuse("%s has more than %d entries", f.Path, 2*b.limits.Files)
		}
		if err == nil {
			err = b.unpack(archive, header, to)
		}
		if err != nil {
			return unreadable(f.Path, err)
		}
	}
}

// unreadable returns the error of an archive that cannot be read.
func unreadable(name string, err error) error {
	_, isCopy := errors.AsType[copyError](err)
	if isCopy || errors.Is(err, artifact.ErrLimit) || errors.Is(err, artifact.ErrStorage) {
		return err
	}
	return refuse("%s is not a tar archive: %v", name, err)
}

// unpack puts one entry of an archive into the result.
func (b *build) unpack(archive io.Reader, header *tar.Header, to string) error {
	name := path.Clean(header.Name)
	switch {
	case header.Typeflag == tar.TypeDir || header.Typeflag == tar.TypeXGlobalHeader:
		return nil
	case !filepath.IsLocal(header.Name) || name == ".":
		return refuse("the archive has the entry %.80q, which leads out of it", header.Name)
	case header.Typeflag != tar.TypeReg:
		return refuse("the archive has %.80q, which is neither a file nor a folder", header.Name)
	}
	content, err := io.ReadAll(artifact.Bound(archive, b.limits.File, name))
	if err != nil {
		return err
	}
	mode := artifact.Regular
	if header.Mode&0o100 != 0 {
		mode = artifact.Executable
	}
	return b.make(path.Join(to, name), mode, content)
}
