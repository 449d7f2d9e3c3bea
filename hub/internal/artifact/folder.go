package artifact

import (
	"context"
	"path"
	"slices"
	"strings"
)

// FolderFilter returns a function that reports whether a folder is excluded, so that no file in it would be kept,
// whichever there are. It reads the ignore files of t once.
func (t Tree) FolderFilter(ctx context.Context) (func(dir string) bool, error) {
	r, err := readRules(ctx, t.Files, t.Contents, t.Ignore)
	if err != nil {
		return nil, err
	}
	if len(r.patterns) == 0 {
		ignored := ignoredByDefault()
		return func(dir string) bool { return ignored(path.Join(dir, "file")) }, nil
	}
	matcher := r.matcher()
	return func(dir string) bool {
		steps := strings.Split(dir, "/")
		keeps := func(e exception) bool { return e.mayKeepBelow(steps) }
		return matcher.Match(steps, true) && !slices.ContainsFunc(r.exceptions, keeps)
	}, nil
}

// exception is a line of an ignore file that begins with "!": what it matches is not ignored.
type exception struct {
	domain  []string // the folder of the ignore file
	pattern string
}

// mayKeepBelow reports whether the exception may match something below a folder without matching the folder itself.
func (e exception) mayKeepBelow(dir []string) bool {
	for i, step := range e.domain {
		if i == len(dir) {
			return true
		}
		if dir[i] != step {
			return false
		}
	}
	dir = dir[len(e.domain):]
	pattern := strings.TrimSuffix(e.pattern, "/")
	if !strings.Contains(pattern, "/") {
		return true // the name of a file or folder at any depth
	}
	for i, step := range strings.Split(strings.TrimPrefix(pattern, "/"), "/") {
		if step == "" || strings.Contains(step, "**") || i == len(dir) {
			return true
		}
		if matched, err := path.Match(step, dir[i]); err == nil && !matched {
			return false
		}
	}
	return false
}
