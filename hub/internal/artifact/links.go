package artifact

import (
	"context"
	"fmt"
	"path"
	"slices"
	"strings"
)

// maxLinks is how many symlinks Linux follows for one path.
const maxLinks = 40

// links are the symlinks of a tree: their targets by path.
type links map[string]string

// readLinks reads every symlink. Symlinks that lead out of the tree, directly or by way of others, are ErrTree.
func readLinks(ctx context.Context, files []File, contents Contents) (links, error) {
	found := links{}
	for _, f := range files {
		if f.Mode != Symlink {
			continue
		}
		target, err := contents.Read(ctx, f, maxTarget)
		if err != nil {
			return nil, fmt.Errorf("symlink %s: %w", f.Path, err)
		}
		found[f.Path] = string(target)
	}
	for from, target := range found {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if why := found.escape(from, target); why != "" {
			return nil, fmt.Errorf("%w: symlink %s to %q %s; change it or exclude it in .sourceignore", ErrTree, from,
				target, why)
		}
	}
	return found, nil
}

// escape returns why the symlink at from is refused; empty: it stays in the tree. The target is followed as the kernel
// does: .. is the parent of where the links before it led, not of what is written.
func (l links) escape(from, target string) string {
	if target == "" || strings.ContainsRune(target, 0) {
		return "has no valid target"
	}
	if path.IsAbs(target) {
		return "is absolute"
	}
	at, left := parent(from), parts(target)
	for followed := 0; len(left) > 0; {
		step := left[0]
		if left = left[1:]; step == ".." {
			if at == "" {
				return "leads out of the tree"
			}
			at = parent(at)
			continue
		}
		next := path.Join(at, step)
		through, isLink := l[next]
		if len(next) > MaxPath {
			return "leads to a path that is too long"
		}
		if !isLink {
			at = next
			continue
		}
		if path.IsAbs(through) {
			return "leads to an absolute path"
		}
		if followed++; followed > maxLinks {
			return "leads in a circle"
		}
		left = append(parts(through), left...)
	}
	return ""
}

// parts splits a path into its steps, without empty ones and dots.
func parts(p string) []string {
	steps := strings.Split(p, "/")
	return slices.DeleteFunc(steps, func(s string) bool { return s == "" || s == "." })
}

// parent is the folder above a path; "" is the root.
func parent(p string) string {
	if dir := path.Dir(p); dir != "." {
		return dir
	}
	return ""
}
