package helm

import (
	"context"
	"fmt"
	"path"

	"github.com/navefleet/nave/hub/internal/artifact"
	"github.com/navefleet/nave/hub/internal/source"
)

// put makes an artifact of files in memory. No ignore rules apply: a .sourceignore among the files is left out.
func put(ctx context.Context, r source.Request, id, revision string, files map[string][]byte) (artifact.Artifact,
	error) {
	none := ""
	tree := artifact.Tree{Revision: revision, Ignore: &none}
	contents := memory{}
	for name, text := range files {
		if isIgnoreFile(name) {
			continue
		}
		f := artifact.File{Path: name, Mode: artifact.Regular, Content: artifact.IdentifyContent(text)}
		contents[f.Content] = text
		tree.Files = append(tree.Files, f)
	}
	tree.Contents = contents
	return r.Workspace.Put(ctx, id, tree, r.Last)
}

// isIgnoreFile reports whether artifact.Workspace.Put would read ignore rules of a file.
func isIgnoreFile(name string) bool { return path.Base(name) == ".sourceignore" }

// memory is contents in memory. It implements artifact.Contents.
type memory map[artifact.ContentID][]byte

// Size implements artifact.Contents.
func (m memory) Size(f artifact.File) (int64, error) { return int64(len(m[f.Content])), nil }

// Read implements artifact.Contents.
func (m memory) Read(ctx context.Context, f artifact.File, limit int64) ([]byte, error) {
	text := m[f.Content]
	if int64(len(text)) > limit {
		return nil, fmt.Errorf("%w: it has more than %s", artifact.ErrLimit, artifact.FormatSize(limit))
	}
	return text, ctx.Err()
}
