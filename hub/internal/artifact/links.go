package artifact

import (
	"context"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/navefleet/nave/shared/wording"
)

// maxLinks is how many symlinks Linux follows for one path.
const maxLinks = 40

// links are the symlinks of a tree: their targets by path.
type links map[string]string

// withoutBadLinks returns the files without the symlinks that lead out of the tree, directly or by way of others: no
// archive of Flux has them either. The notice names them.
func withoutBadLinks(ctx context.Context, files []File, contents Contents) (kept []File, notice string, err error) {
	all := links{}
	for _, f := range files {
		if f.Mode != Symlink {
			continue
		}
		target, err := readTarget(ctx, f, contents)
		if err != nil {
			return nil, "", fmt.Errorf("symlink %s: %w", f.Path, err)
		}
		all[f.Path] = target
	}
	var refused []string
	for _, f := range files {
		target, isLink := all[f.Path]
		if !isLink {
			kept = append(kept, f)
			continue
		}
		if err := ctx.Err(); err != nil {
			return nil, "", err
		}
		if why := all.escape(f.Path, target); why != "" {
			refused = append(refused, fmt.Sprintf("%.80q to %.80q, which %s", f.Path, target, why))
			continue
		}
		kept = append(kept, f)
	}
	if len(refused) > 0 {
		slices.Sort(refused) // the files may be in any order
		notice = "without " + wording.Count(len(refused), "symlink") + ": " + wording.List(refused, len(refused), 3)
	}
	return kept, notice, nil
}

// readTarget returns the target of a symlink; one that is too long is cut off behind what is allowed.
func readTarget(ctx context.Context, f File, contents Contents) (string, error) {
	size, err := contents.Size(f)
	if err != nil || size > maxTarget {
		return "", err
	}
	target, err := contents.Read(ctx, f, maxTarget)
	return string(target), err
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
