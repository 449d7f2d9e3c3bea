package compose

import (
	"path"
	"slices"
	"strings"

	"github.com/bmatcuk/doublestar/v4"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/artifact"
)

// A copy works as in cp and in Flux. A file is copied to the path To, or into To if To ends in a slash or is a folder.
// A folder is copied into the folder To. Files that match a glob are copied below To with their paths from the root, or
// from the folder in front of a glob that ends in /**.

// copying is one copy of a build.
type copying struct {
	*build
	api.Copy
	in       *input
	base     string // the folder in front of the glob, which Exclude may be relative to
	excluded map[string]bool
}

// isGlob reports whether a path is a pattern.
func isGlob(p string) bool { return strings.ContainsAny(p, "*?[]") }

// copyFiles copies the files of an entry that is not a mount.
func (b *build) copyFiles(in *input, c api.Copy) error {
	for _, p := range c.Exclude {
		if !doublestar.ValidatePattern(p) {
			return refuse("exclude: %q is not a valid pattern", p)
		}
	}
	cp := &copying{build: b, Copy: c, in: in, base: ".", excluded: map[string]bool{}}
	if isGlob(c.From) {
		return cp.glob()
	}
	from := path.Clean("./" + c.From)
	if f, isFile := in.files[from]; isFile {
		return cp.single(f)
	}
	if !in.folders[from] {
		return cp.nothing("there is no %s in %s at revision %s", from, in.name, in.artifact.Revision)
	}
	if c.Strategy == api.CopyExtract {
		return refuse("%s is a folder: the strategy Extract needs a .tar.gz or .tgz file", from)
	}
	cp.base = from
	return cp.folder(from, path.Join(c.To, path.Base(from)))
}

// nothing returns the error of a copy that finds no file. If the copy is optional, nothing returns nil.
func (c *copying) nothing(format string, args ...any) error {
	if c.Optional {
		return nil
	}
	return refuse(format, args...)
}

// single copies one file.
func (c *copying) single(f artifact.File) error {
	if c.excludes(f.Path) {
		return nil
	}
	if c.Strategy == api.CopyExtract {
		if !isArchive(f.Path) {
			return refuse("%s is not a .tar.gz or .tgz file, as the strategy Extract needs", f.Path)
		}
		return c.extract(c.in, f, c.To)
	}
	to := path.Clean("./" + c.To)
	if c.To == "" || strings.HasSuffix(c.To, "/") || c.folders[to] {
		to = path.Join(to, path.Base(f.Path))
	}
	return c.file(f, to)
}

// file copies one file to a path.
func (c *copying) file(f artifact.File, to string) error {
	return c.copyFile(c.in, f, to, c.Strategy == api.CopyMerge)
}

// folder copies the files of a folder below a path.
func (c *copying) folder(from, to string) error {
	for _, f := range c.in.below(from) {
		if err := c.ctx.Err(); err != nil {
			return err
		}
		if c.excludesBelow(f.Path, from) {
			continue
		}
		if err := c.file(f, path.Join(to, strings.TrimPrefix(f.Path, from+"/"))); err != nil {
			return err
		}
	}
	return nil
}

// glob copies the files and folders that match a pattern.
func (c *copying) glob() error {
	if _, err := path.Match(c.From, ""); err != nil {
		return refuse("%q is not a valid pattern", c.From)
	}
	c.base = literal(c.From)
	matched, copied := c.matches(), 0
	if err := c.ctx.Err(); err != nil {
		return err
	}
	if len(matched) == 0 {
		return c.nothing("nothing in %s at revision %s matches %s", c.in.name, c.in.artifact.Revision, c.From)
	}
	for _, match := range matched {
		if err := c.ctx.Err(); err != nil {
			return err
		}
		if c.excludes(match) {
			continue
		}
		copied++
		if err := c.match(match); err != nil {
			return err
		}
	}
	if copied == 0 {
		return c.nothing("exclude leaves out every file that matches %s in %s", c.From, c.in.name)
	}
	return nil
}

// match copies one file or folder that the pattern matches.
func (c *copying) match(match string) error {
	f, isFile := c.in.files[match]
	if c.Strategy == api.CopyExtract {
		if !isFile || !isArchive(match) {
			return nil
		}
		return c.extract(c.in, f, c.To)
	}
	to := path.Join(c.To, match)
	if above, ok := strings.CutSuffix(c.From, "/**"); ok {
		if below, ok := strings.CutPrefix(match, above+"/"); ok {
			to = path.Join(c.To, below)
		}
	}
	if isFile {
		return c.file(f, to)
	}
	return c.folder(match, to)
}

// matches returns the files and folders that the pattern matches, sorted; only some of them if the context ended. For
// archives ** matches any depth. For other files ** is the same as *, as in Flux.
func (c *copying) matches() (found []string) {
	matches := func(p string) bool { ok, _ := path.Match(c.From, p); return ok }
	if c.Strategy == api.CopyExtract {
		matches = func(p string) bool { return doublestar.MatchUnvalidated(c.From, p) }
	}
	for p := range c.in.files {
		if c.ctx.Err() == nil && matches(p) {
			found = append(found, p)
		}
	}
	for p := range c.in.folders {
		if p != "." && c.ctx.Err() == nil && matches(p) {
			found = append(found, p)
		}
	}
	slices.Sort(found)
	return found
}

// literal returns the folder in front of the first pattern of a glob.
func literal(glob string) string {
	steps := strings.Split(path.Clean(glob), "/")
	for i, step := range steps {
		if isGlob(step) {
			return path.Join(append([]string{"."}, steps[:i]...)...)
		}
	}
	return path.Clean(glob)
}

// excludesBelow reports whether a path, or a folder above it and below from, is excluded.
func (c *copying) excludesBelow(p, from string) bool {
	if len(c.Exclude) == 0 || p == from || p == "." {
		return false
	}
	return c.excludesBelow(path.Dir(p), from) || c.excludes(p)
}

// excludes reports whether a path is excluded: by its path from the root or from the base, or by its name.
func (c *copying) excludes(p string) bool {
	known, ok := c.excluded[p]
	if !ok {
		short, _ := strings.CutPrefix(p, c.base+"/")
		known = slices.ContainsFunc(c.Exclude, func(pattern string) bool {
			return doublestar.MatchUnvalidated(pattern, p) || doublestar.MatchUnvalidated(pattern, short) ||
				!strings.Contains(pattern, "/") && doublestar.MatchUnvalidated(pattern, path.Base(p))
		})
		c.excluded[p] = known
	}
	return known
}
