package helm

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"

	"sigs.k8s.io/yaml"

	"github.com/navefleet/nave/hub/internal/artifact"
	"github.com/navefleet/nave/hub/internal/source"
)

// metadataFile is the file of a chart that has its name and version.
const metadataFile = "Chart.yaml"

// byteOrderMark may begin a text file.
var byteOrderMark = []byte("\xef\xbb\xbf")

// metadata is what a fetch reads of a Chart.yaml.
type metadata struct {
	Name    string `json:"name"`
	Version string `json:"version"`
}

// readMetadata reads a Chart.yaml. Errors are artifact.ErrTree.
func readMetadata(text []byte) (m metadata, err error) {
	err = yaml.Unmarshal(bytes.TrimPrefix(text, byteOrderMark), &m)
	switch {
	case err != nil:
	case m.Name == "":
		err = errors.New("it has no name")
	case m.Name != path.Base(m.Name) || artifact.BadName(m.Name) != "" || !artifact.IsPlain(m.Name):
		err = fmt.Errorf("its name %.80q cannot be that of a folder", m.Name)
	case m.Version == "":
		err = errors.New("it has no version")
	}
	if err != nil {
		err = fmt.Errorf("%w: %s: %w", artifact.ErrTree, metadataFile, err)
	}
	return m, err
}

// unpacked is a chart that was an archive.
type unpacked struct {
	metadata
	files map[string][]byte // by path, which begins with the name of the chart
}

// unpack reads the archive of a chart. Errors are those of source.Archive.
func unpack(ctx context.Context, in io.Reader, limits Limits) (c unpacked, err error) {
	archive := source.Archive{Reader: in, Name: "the archive", Bytes: limits.Unpacked, Entries: limits.Entries}
	found := map[string][]byte{}
	err = archive.Unpack(ctx, func(name string, _ artifact.Mode, content io.Reader) error {
		_, below, inside := strings.Cut(name, "/")
		if !inside {
			return fmt.Errorf("%w: the archive has the file %.80q beside the folder of the chart", artifact.ErrTree, name)
		}
		if _, twice := found[below]; twice {
			return fmt.Errorf("%w: the archive has the file %.80q twice", artifact.ErrTree, below)
		}
		text, err := io.ReadAll(artifact.Bound(content, limits.File, name))
		found[below] = text
		return err
	})
	if err != nil {
		return c, err
	}
	text, ok := found[metadataFile]
	if !ok {
		return c, fmt.Errorf("%w: the archive has no %s in its folder: it is no chart", artifact.ErrTree, metadataFile)
	}
	if c.metadata, err = readMetadata(text); err != nil {
		return c, err
	}
	c.files = map[string][]byte{}
	for below, text := range found {
		c.files[c.Name+"/"+below] = text
	}
	return c, nil
}
