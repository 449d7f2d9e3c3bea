package compose

import (
	"bytes"
	"errors"
	"io"
	"path"
	"strings"

	"github.com/navefleet/nave/hub/internal/artifact"
	"github.com/navefleet/nave/hub/internal/source"
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
	archive := source.Archive{
		Reader: bytes.NewReader(text), Name: f.Path, Bytes: 2 * maxMade, Entries: 2 * b.limits.Files,
	}
	err = archive.Unpack(b.ctx, func(name string, mode artifact.Mode, content io.Reader) error {
		text, err := io.ReadAll(artifact.Bound(content, b.limits.File, name))
		if err != nil {
			return err
		}
		return b.make(path.Join(to, name), mode, text)
	})
	if errors.Is(err, artifact.ErrTree) {
		return refuse("%v", err)
	}
	return err
}
