package git

import (
	"bytes"
	"context"
	"path"
	"slices"
	"strings"

	"github.com/fluxcd/pkg/sourceignore"
	"github.com/fluxcd/pkg/sourceignore/gitignore"
	"github.com/go-git/go-git/v5/plumbing"
)

// keep returns the files that are not ignored, as Flux decides it: .sourceignore files and spec.ignore replace the
// default exclusions, spec.ignore comes last and so may overrule, and Git's own files are excluded first in either
// case.
func (r *repository) keep(ctx context.Context, files []file, ignore *string) ([]file, error) {
	patterns, err := r.ignoreFiles(ctx, files)
	if err != nil {
		return nil, err
	}
	if ignore != nil {
		patterns = append(patterns, sourceignore.ReadPatterns(strings.NewReader(*ignore), nil)...)
	}
	ignored := byDefault()
	if len(patterns) > 0 {
		matcher := sourceignore.NewMatcher(append(sourceignore.VCSPatterns(nil), patterns...))
		ignored = func(name string) bool { return matcher.Match(strings.Split(name, "/"), false) }
	}
	var kept []file
	for _, f := range files {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if !ignored(f.path) {
			kept = append(kept, f)
		}
	}
	return kept, nil
}

// byDefault returns whether a path is excluded by default. The default patterns name files and folders wherever they
// are, so each folder needs to be asked about only once.
func byDefault() func(string) bool {
	matcher := sourceignore.NewDefaultMatcher(nil, nil)
	folders := map[string]bool{".": false}
	var folderIgnored func(string) bool
	folderIgnored = func(dir string) bool {
		known, ok := folders[dir]
		if !ok {
			known = folderIgnored(path.Dir(dir)) || matcher.Match([]string{path.Base(dir)}, true)
			folders[dir] = known
		}
		return known
	}
	return func(name string) bool {
		return folderIgnored(path.Dir(name)) || matcher.Match([]string{path.Base(name)}, false)
	}
}

// ignoreFiles reads the patterns of every .sourceignore; those of a folder before those of the folders in it.
func (r *repository) ignoreFiles(ctx context.Context, files []file) ([]gitignore.Pattern, error) {
	var found []file
	for _, f := range files {
		if path.Base(f.path) == sourceignore.IgnoreFile && f.mode != symlink {
			found = append(found, f)
		}
	}
	slices.SortFunc(found, func(a, b file) int { return slices.Compare(domain(a), domain(b)) })
	var patterns []gitignore.Pattern
	for _, f := range found {
		content, err := r.read(ctx, plumbing.BlobObject, f.id, maxIgnore)
		if err != nil {
			return nil, err
		}
		patterns = append(patterns, sourceignore.ReadPatterns(bytes.NewReader(content), domain(f))...)
	}
	return patterns, nil
}

// domain is the folder a file is in, in parts; nil at the root.
func domain(f file) []string {
	dir := path.Dir(f.path)
	if dir == "." {
		return nil
	}
	return strings.Split(dir, "/")
}
