package artifact

import (
	"bytes"
	"context"
	"path"
	"slices"
	"strings"

	"github.com/fluxcd/pkg/sourceignore"
	"github.com/fluxcd/pkg/sourceignore/gitignore"
)

// filter returns the files that are not ignored, by Flux's rules: .sourceignore files and spec.ignore replace the
// default exclusions, spec.ignore comes last and so may overrule, and Git's own files are excluded first in either
// case. A nil ignore is a spec without the field.
func filter(ctx context.Context, files []File, contents Contents, ignore *string) ([]File, error) {
	patterns, err := readIgnoreFiles(ctx, files, contents)
	if err != nil {
		return nil, err
	}
	if ignore != nil {
		patterns = append(patterns, sourceignore.ReadPatterns(strings.NewReader(*ignore), nil)...)
	}
	ignored := ignoredByDefault()
	if len(patterns) > 0 {
		matcher := sourceignore.NewMatcher(append(sourceignore.VCSPatterns(nil), patterns...))
		ignored = func(name string) bool { return matcher.Match(strings.Split(name, "/"), false) }
	}
	var kept []File
	for _, f := range files {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if !ignored(f.Path) {
			kept = append(kept, f)
		}
	}
	return kept, nil
}

// ignoredByDefault returns whether a path is excluded by default. The default patterns name files and folders wherever
// they are, so each folder needs to be asked about only once.
func ignoredByDefault() func(string) bool {
	matcher := sourceignore.NewDefaultMatcher(nil, nil)
	folders := map[string]bool{".": false, "/": false} // an absolute path is refused later
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

// readIgnoreFiles returns the patterns of every .sourceignore; those of a folder before those of the folders in it.
func readIgnoreFiles(ctx context.Context, files []File, contents Contents) ([]gitignore.Pattern, error) {
	var found []File
	for _, f := range files {
		if path.Base(f.Path) == sourceignore.IgnoreFile && f.Mode != Symlink {
			found = append(found, f)
		}
	}
	slices.SortFunc(found, func(a, b File) int { return slices.Compare(domain(a), domain(b)) })
	var patterns []gitignore.Pattern
	for _, f := range found {
		content, err := contents.Read(ctx, f, maxIgnore)
		if err != nil {
			return nil, err
		}
		patterns = append(patterns, sourceignore.ReadPatterns(bytes.NewReader(content), domain(f))...)
	}
	return patterns, nil
}

// domain returns the folder that a file is in, in parts; nil at the root.
func domain(f File) []string {
	dir := path.Dir(f.Path)
	if dir == "." {
		return nil
	}
	return strings.Split(dir, "/")
}
