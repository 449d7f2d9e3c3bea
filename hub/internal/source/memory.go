package source

import (
	"context"
	"fmt"
	"path"

	"github.com/navefleet/nave/hub/internal/artifact"
)

// PutFiles makes an artifact of files in memory. No ignore rules apply: a .sourceignore among the files is left out.
func (r Request) PutFiles(ctx context.Context, id, revision string, files map[string][]byte) (artifact.Artifact,
	error) {
	none := ""
	tree := artifact.Tree{Revision: revision, Ignore: &none}
	contents := Memory{}
	for name, text := range files {
		if IsIgnoreFile(name) {
			continue
		}
		f := artifact.File{Path: name, Mode: artifact.Regular, Content: artifact.IdentifyContent(text)}
		contents[f.Content] = text
		tree.Files = append(tree.Files, f)
	}
	tree.Contents = contents
	return r.Workspace.Put(ctx, id, tree, r.Last)
}

// IsIgnoreFile reports whether artifact.Workspace.Put would read ignore rules of the file at a path.
func IsIgnoreFile(name string) bool { return path.Base(name) == ".sourceignore" }

// Memory is contents in memory by their ids. It implements artifact.Contents.
type Memory map[artifact.ContentID][]byte

// Size implements artifact.Contents.
func (m Memory) Size(f artifact.File) (int64, error) { return int64(len(m[f.Content])), nil }

// Read implements artifact.Contents.
func (m Memory) Read(ctx context.Context, f artifact.File, limit int64) ([]byte, error) {
	text := m[f.Content]
	if int64(len(text)) > limit {
		return nil, fmt.Errorf("%w: it has more than %s", artifact.ErrLimit, artifact.FormatSize(limit))
	}
	return text, ctx.Err()
}
