package artifact

import (
	"bytes"
	"context"
	"path"
	"slices"
	"strings"
	"sync"

	"github.com/fluxcd/pkg/sourceignore"
	"github.com/fluxcd/pkg/sourceignore/gitignore"
)

// filter returns the files that are not ignored, by Flux's rules: .sourceignore files and spec.ignore replace the
// default exclusions, spec.ignore comes last and so may overrule, and Git's own files are excluded first in either
// case. A nil ignore is a spec without the field.
func filter(ctx context.Context, files []File, contents Contents, ignore *string) ([]File, error) {
	r, err := readRules(ctx, files, contents, ignore)
	if err != nil {
		return nil, err
	}
	ignored := ignoredByDefault()
	if len(r.patterns) > 0 {
		matcher := r.matcher()
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
	folders := map[string]bool{".": false, "/": false} // an absolute path is refused later
	var folderIgnored func(string) bool
	folderIgnored = func(dir string) bool {
		known, ok := folders[dir]
		if !ok {
			known = folderIgnored(path.Dir(dir)) || defaults.exclude(entryName{path.Base(dir), true})
			folders[dir] = known
		}
		return known
	}
	return func(name string) bool {
		return folderIgnored(path.Dir(name)) || defaults.exclude(entryName{path.Base(name), false})
	}
}

// entryName is the name of a file or a folder in the folder above it.
type entryName struct {
	name   string
	folder bool
}

// exclusions are the default patterns. They remember the names that they were asked about, because a tree has mostly
// the names of the one before. They are safe for concurrent use.
type exclusions struct {
	matcher func() gitignore.Matcher
	mu      sync.Mutex
	known   map[entryName]bool
}

var defaults = exclusions{
	matcher: sync.OnceValue(func() gitignore.Matcher { return sourceignore.NewDefaultMatcher(nil, nil) }),
	known:   map[entryName]bool{},
}

// maxKnown limits the names that exclusions remember.
const maxKnown = 50_000

// exclude reports whether the default patterns exclude an entry.
func (x *exclusions) exclude(e entryName) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	excluded, ok := x.known[e]
	if !ok {
		if len(x.known) == maxKnown {
			clear(x.known)
		}
		excluded = x.matcher().Match([]string{e.name}, e.folder)
		x.known[entryName{strings.Clone(e.name), e.folder}] = excluded // without the text that the name is part of
	}
	return excluded
}

// rules are the lines of .sourceignore files and of spec.ignore.
type rules struct {
	patterns   []gitignore.Pattern
	exceptions []exception
}

// readRules reads every .sourceignore, those of a folder before those of the folders in it, and then ignore, if there
// is one.
func readRules(ctx context.Context, files []File, contents Contents, ignore *string) (r rules, err error) {
	var found []File
	for _, f := range files {
		if path.Base(f.Path) == sourceignore.IgnoreFile && f.Mode != Symlink {
			found = append(found, f)
		}
	}
	slices.SortFunc(found, func(a, b File) int { return slices.Compare(domain(a), domain(b)) })
	for _, f := range found {
		content, err := contents.Read(ctx, f, maxIgnore)
		if err != nil {
			return r, err
		}
		r.add(content, domain(f))
	}
	if ignore != nil {
		r.add([]byte(*ignore), nil)
	}
	return r, nil
}

// add adds the lines of an ignore file in a folder.
func (r *rules) add(text []byte, domain []string) {
	r.patterns = append(r.patterns, sourceignore.ReadPatterns(bytes.NewReader(text), domain)...)
	for line := range strings.Lines(string(text)) {
		if kept, ok := strings.CutPrefix(line, "!"); ok {
			r.exceptions = append(r.exceptions, exception{domain, strings.Trim(kept, " \r\n")})
		}
	}
}

func (r *rules) matcher() gitignore.Matcher {
	return sourceignore.NewMatcher(append(sourceignore.VCSPatterns(nil), r.patterns...))
}

// domain returns the folder that a file is in, in parts; nil at the root.
func domain(f File) []string {
	dir := path.Dir(f.Path)
	if dir == "." {
		return nil
	}
	return strings.Split(dir, "/")
}
