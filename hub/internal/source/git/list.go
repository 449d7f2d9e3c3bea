package git

import (
	"context"
	"fmt"
	"path"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/go-git/go-git/v5/plumbing"
)

// emptyTree is the tree without entries, which every repository has without keeping it.
var emptyTree = plumbing.NewHash("4b825dc642cb6eb9a060e54bf8d69288fbee4904")

// file is one file of a commit's tree.
type file struct {
	path string // slash-separated, relative
	mode mode   // regular, executable or symlink
	id   plumbing.Hash
	size int64
}

// lister walks one commit's tree.
type lister struct {
	repository *repository
	limits     Limits
	files      []file
	entries    int
}

// list returns every file of a tree, in the order of a depth-first walk. Submodules have no content and are left out.
func (r *repository) list(ctx context.Context, tree plumbing.Hash, limits Limits) ([]file, error) {
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
	if depth > maxDepth {
		return fmt.Errorf("%w: %s is more than %d folders deep", ErrLimit, dir, maxDepth)
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
		return fmt.Errorf("%w: the tree has more than %d entries", ErrLimit, entryShare*l.limits.Files)
	}
	for _, e := range entries {
		if err := l.visit(ctx, e, dir, depth); err != nil {
			return err
		}
	}
	return nil
}

func (l *lister) visit(ctx context.Context, e entry, dir string, depth int) error {
	why := badName(e.name)
	if why == "" && e.mode == symlink && isWayToWrite(e.name, ".gitmodules", "gitmod~1") {
		why = "is a symlink instead of a list of submodules"
	}
	if why != "" {
		return fmt.Errorf("%w: entry %q in folder %q %s", ErrTree, e.name, dir, why)
	}
	full := path.Join(dir, e.name)
	if len(full) > maxPath {
		return fmt.Errorf("%w: the path %.80q… has more than %d bytes", ErrLimit, full, maxPath)
	}
	switch e.mode {
	case folder:
		return l.walk(ctx, e.id, full, depth+1)
	case submodule:
		return nil
	default:
		l.files = append(l.files, file{path: full, mode: e.mode, id: e.id})
		return nil
	}
}

// badName says why a name is refused, or nothing. Git itself refuses to make entries with these names; a tree that has
// one was made to write where it should not.
func badName(name string) string {
	switch {
	case name == "":
		return "has no name"
	case name == "." || name == "..":
		return "leads out of its folder"
	case strings.ContainsRune(name, '/'):
		return "has a slash in its name"
	case len(name) > maxName:
		return fmt.Sprintf("has a name of more than %d bytes", maxName)
	case !utf8.ValidString(name):
		return "has a name that is not UTF-8"
	case strings.ContainsFunc(name, unicode.IsControl):
		return "has a control character in its name"
	case isWayToWrite(name, ".git", "git~1"):
		return "is a way to write .git"
	default:
		return ""
	}
}

// isWayToWrite reports whether some file system takes a name for one of these names: any case; NTFS drops trailing dots
// and spaces, has streams behind a colon and short names such as git~1, and takes a backslash for a slash; HFS+ drops
// invisible characters.
func isWayToWrite(name string, names ...string) bool {
	for part := range strings.SplitSeq(name, `\`) {
		part, _, _ = strings.Cut(part, ":")
		part = strings.Map(dropInvisible, part)
		if slices.Contains(names, strings.ToLower(strings.TrimRight(part, ". "))) {
			return true
		}
	}
	return false
}

// dropInvisible removes the characters that HFS+ ignores in names.
func dropInvisible(r rune) rune {
	switch {
	case r >= 0x200c && r <= 0x200f, r >= 0x202a && r <= 0x202e, r >= 0x206a && r <= 0x206f, r == 0xfeff:
		return -1
	default:
		return r
	}
}
