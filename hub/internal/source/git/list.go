package git

import (
	"context"
	"fmt"
	"path"
	"path/filepath"
	"strings"

	"github.com/go-git/go-git/v5/plumbing"

	"github.com/navefleet/nave/hub/internal/artifact"
)

// emptyTree is the hash of the tree without entries, which no repository needs to keep.
var emptyTree = plumbing.NewHash("4b825dc642cb6eb9a060e54bf8d69288fbee4904")

// lister walks one commit's tree.
type lister struct {
	repository *repository
	limits     Limits
	files      []artifact.File
	entries    int
}

// list returns every file of a tree, in the order of a depth-first walk, without submodules. What the files are called
// is judged by package artifact, when those that are ignored are gone.
func (r *repository) list(ctx context.Context, tree plumbing.Hash, limits Limits) ([]artifact.File, error) {
	l := &lister{repository: r, limits: limits}
	if err := l.walk(ctx, tree, "", 0); err != nil {
		return nil, err
	}
	return l.files, nil
}

func (l *lister) walk(ctx context.Context, tree plumbing.Hash, dir string, depth int) error {
	if tree == emptyTree {
		return nil
	}
	if depth > artifact.MaxDepth {
		return fmt.Errorf("%w: %s is more than %d folders deep", artifact.ErrLimit, dir, artifact.MaxDepth)
	}
	content, err := l.repository.read(ctx, plumbing.TreeObject, tree, l.limits.File)
	if err != nil {
		return err
	}
	entries, err := parseTree(content)
	if err != nil {
		return fmt.Errorf("folder %q: %w", dir, err)
	}
	if l.entries += len(entries); l.entries > entryShare*l.limits.Files {
		return fmt.Errorf("%w: the tree has more than %d entries", artifact.ErrLimit, entryShare*l.limits.Files)
	}
	for _, e := range entries {
		if err := l.visit(ctx, e, dir, depth); err != nil {
			return err
		}
	}
	return nil
}

func (l *lister) visit(ctx context.Context, e entry, dir string, depth int) error {
	if !filepath.IsLocal(e.name) || strings.Contains(e.name, "/") || e.name == "." {
		return fmt.Errorf("%w: folder %q has an entry with the name %.80q", artifact.ErrTree, dir, e.name)
	}
	full := path.Join(dir, e.name)
	if len(full) > artifact.MaxPath {
		return fmt.Errorf("%w: the path %.80q… has more than %d bytes", artifact.ErrLimit, full, artifact.MaxPath)
	}
	switch e.mode {
	case folder:
		return l.walk(ctx, e.id, full, depth+1)
	case submodule:
		return nil
	default:
		l.files = append(l.files, artifact.File{Path: full, Mode: e.mode, Content: artifact.ContentID(e.id.String())})
		return nil
	}
}
