package git

import (
	"context"
	"fmt"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/go-git/go-git/v5/plumbing"

	"github.com/navefleet/nave/hub/internal/artifact"
	"github.com/navefleet/nave/hub/internal/source"
)

// emptyTree is the hash of the tree without entries, which no repository needs to keep.
var emptyTree = plumbing.NewHash("4b825dc642cb6eb9a060e54bf8d69288fbee4904")

// lister walks one commit's tree.
type lister struct {
	repository *repository
	limits     Limits
	sparse     sparse
	last       *made // the last artifact, of which folders are shared; nil: none
	files      []artifact.File
	shared     []string // folders that are as in the last artifact
	links      []link
	entries    int
}

// link is a submodule in a tree: a commit of another repository.
type link struct {
	path   string
	commit plumbing.Hash
}

// list walks the tree of a commit that stands in a folder of the artifact ("" is its root), in the order of a
// depth-first walk. What the files are called is judged by package artifact, when those that are ignored are gone.
//
// A folder with the tree that it had in the last artifact is not walked, but shared. last is the tree that dir had.
func (l *lister) list(ctx context.Context, tree, last plumbing.Hash, dir string) error {
	return l.walk(ctx, tree, last, dir, strings.Count(dir, "/"))
}

func (l *lister) walk(ctx context.Context, tree, last plumbing.Hash, dir string, depth int) error {
	if tree == emptyTree {
		return nil
	}
	if tree == last {
		l.shared = append(l.shared, dir)
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
	before := l.foldersOf(ctx, last)
	if l.entries += len(entries); l.entries > entryShare*l.limits.Files {
		return fmt.Errorf("%w: the tree has more than %d entries", artifact.ErrLimit, entryShare*l.limits.Files)
	}
	for _, e := range entries {
		if err := l.visit(ctx, e, before[e.name], dir, depth); err != nil {
			return err
		}
	}
	return nil
}

// foldersOf returns the trees of the folders in a tree of the last artifact, by name; none if the cache lost the tree.
func (l *lister) foldersOf(ctx context.Context, tree plumbing.Hash) map[string]plumbing.Hash {
	if tree.IsZero() {
		return nil
	}
	content, err := l.repository.read(ctx, plumbing.TreeObject, tree, l.limits.File)
	if err != nil {
		return nil
	}
	entries, _ := parseTree(content)
	folders := map[string]plumbing.Hash{}
	for _, e := range entries {
		if e.mode == folder {
			folders[e.name] = e.id
		}
	}
	return folders
}

// visit lists an entry of a folder. last is the tree of the folder that had its name.
func (l *lister) visit(ctx context.Context, e entry, last plumbing.Hash, dir string, depth int) error {
	if !filepath.IsLocal(e.name) || strings.Contains(e.name, "/") || e.name == "." {
		return fmt.Errorf("%w: folder %q has an entry with the name %.80q", artifact.ErrTree, dir, e.name)
	}
	full := path.Join(dir, e.name)
	if len(full) > artifact.MaxPath {
		return fmt.Errorf("%w: the path %.80q… has more than %d bytes", artifact.ErrLimit, full, artifact.MaxPath)
	}
	within := l.sparse.has(full)
	switch {
	case e.mode == folder && (within || l.sparse.below(full)):
		return l.walk(ctx, e.id, last, full, depth+1)
	case e.mode == submodule && (within || l.sparse.below(full)):
		l.links = append(l.links, link{full, e.id})
		return nil
	case e.mode == folder || e.mode == submodule || !within:
		return nil
	default:
		l.files = append(l.files, artifact.File{Path: full, Mode: e.mode, Content: artifact.ContentID(e.id.String())})
		return nil
	}
}

// sparse are the folders of spec.sparseCheckout, clean and relative; nil: all.
type sparse []string

// newSparse returns the folders without empty steps and dots. "." is the whole tree.
func newSparse(folders []string) sparse {
	var s sparse
	for _, name := range folders {
		if name = strings.TrimPrefix(path.Clean("/"+name), "/"); name == "" {
			return nil
		}
		s = append(s, name)
	}
	return s
}

// has reports whether a path is one of the folders or in one.
func (s sparse) has(name string) bool {
	return s == nil || slices.ContainsFunc(s, func(dir string) bool {
		return name == dir || strings.HasPrefix(name, dir+"/")
	})
}

// below reports whether one of the folders is below a path.
func (s sparse) below(name string) bool {
	return slices.ContainsFunc(s, func(dir string) bool { return strings.HasPrefix(dir, name+"/") })
}

// check returns the error of a folder without files. A shared folder has some, or had none before.
func (s sparse) check(files []artifact.File, shared []string) error {
	for _, dir := range s {
		only := sparse{dir}
		hasFile := slices.ContainsFunc(files, func(f artifact.File) bool { return only.has(f.Path) })
		isShared := func(p string) bool { return p == "" || only.has(p) || only.below(p) }
		if !hasFile && !slices.ContainsFunc(shared, isShared) {
			return fmt.Errorf("%w: the repository has no folder %q (spec.sparseCheckout)", source.ErrRequest, dir)
		}
	}
	return nil
}
