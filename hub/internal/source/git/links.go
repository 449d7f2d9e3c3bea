package git

import (
	"context"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/go-git/go-git/v5/plumbing"
)

// maxLinks is how many symlinks Linux follows for one path.
const maxLinks = 40

// tree is what checkLinks knows of an artifact: which paths are symlinks, and to where.
type tree map[string]string

// checkLinks reads every symlink and refuses those that lead out of the tree, directly or by way of others. It returns
// their targets.
func (r *repository) checkLinks(ctx context.Context, files []file) (tree, error) {
	links := tree{}
	for _, f := range files {
		if f.mode != symlink {
			continue
		}
		target, err := r.read(ctx, plumbing.BlobObject, f.id, maxTarget)
		if err != nil {
			return nil, fmt.Errorf("symlink %s: %w", f.path, err)
		}
		links[f.path] = string(target)
	}
	for from, target := range links {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if why := links.escape(from, target); why != "" {
			return nil, fmt.Errorf("%w: symlink %s to %q %s; change it or exclude it in .sourceignore", ErrTree, from,
				target, why)
		}
	}
	return links, nil
}

// escape says in what way the symlink at from leads out of the tree, or nothing. It goes the way that the kernel would
// go: .. is the parent of where the links before it led, not of what is written.
func (t tree) escape(from, target string) string {
	if target == "" || strings.ContainsRune(target, 0) {
		return "has no valid target"
	}
	at := parent(from)
	left := parts(target)
	if path.IsAbs(target) {
		return "is absolute"
	}
	for followed := 0; len(left) > 0; {
		step := left[0]
		left = left[1:]
		if step == ".." {
			if at == "" {
				return "leads out of the repository"
			}
			at = parent(at)
			continue
		}
		next := path.Join(at, step)
		through, isLink := t[next]
		if len(next) > maxPath {
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
