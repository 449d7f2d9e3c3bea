package tree

import (
	"errors"
	"fmt"
	"path"
	"testing"

	"github.com/navefleet/nave/hub/internal/artifact"
	"github.com/navefleet/nave/hub/internal/render"
)

// FuzzStored reads an artifact with symlinks, and the same files as a directory, and compares everything.
func FuzzStored(f *testing.F) {
	f.Add("a/l", "../b", "b/m", "c/d", "/a/l/c/d/f")
	f.Add("l", ".", "b/up", "..", "/l/l/b/up/b/f")
	f.Add("l", "b/f", "m", "l", "/m")
	f.Add("l", "nothing", "b/c/m", "../../l", "/b/c/m")
	f.Add("l", "b/../b/c/..", "a/m", "../l/c", "/a/m/d")
	f.Add("l", "b/f/", "m", "b/f/..", "/m/f")
	f.Add("l", "b//c/./", "m", "b/f/.", "/l/d")
	f.Fuzz(func(t *testing.T, one, target1, two, target2, asked string) {
		files := texts{"b/f": "f", "b/c/d/f": "deep", "a/x": "x", one: target1, two: target2}
		made := artifact.Tree{Revision: "main", Contents: files}
		for p, text := range files {
			mode := artifact.Regular
			if p == one || p == two {
				mode = artifact.Symlink
			}
			made.Files = append(made.Files, artifact.File{Path: p, Mode: mode,
				Content: artifact.IdentifyContent([]byte(text))})
		}
		store := artifact.New(t.TempDir())
		a, err := store.Make(t.Context(), nil, func(w artifact.Workspace, _ *artifact.Artifact) (artifact.Artifact, error) {
			return w.Put(t.Context(), "00", made, nil)
		})
		if err != nil {
			return // no such tree
		}
		dir := t.TempDir()
		if err := store.Export(t.Context(), a, dir); err != nil {
			return // no such tree on this disk
		}
		for _, p := range []string{"/", "/a", "/a/x", "/b", "/b/f", "/b/f/g", "/b/c/d", "/nothing", Clean(one), Clean(two),
			path.Join("/", one, "f"), path.Join("/", two, "c/d/f"), path.Join("/", one, two), Clean(asked)} {
			if got, want := readBoth(t, store.Path(a), p), readBoth(t, dir, p); got != want {
				t.Errorf("%s with %s to %s, %s to %s: the artifact has\n%s\nthe directory has\n%s", p, one, target1, two, target2,
					got, want)
			}
		}
	})
}

// readBoth says all that a new Tree says of a path.
func readBoth(t *testing.T, root, p string) string {
	t.Helper()
	tree, err := Open(t.Context(), root, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer tree.Close()
	show := func(value any, err error) string {
		if err != nil {
			return fmt.Sprintf("an error, that it leads out: %t\n", errors.Is(err, render.ErrEscape))
		}
		return fmt.Sprintf("%v\n", value)
	}
	kind, err := tree.Type(p)
	said := "type " + show(kind, err)
	data, err := tree.Read(p)
	said += "content " + show(string(data), err)
	entries, err := tree.List(p)
	said += "entries " + show(entries, err)
	if kind != render.Absent {
		at, err := tree.Resolve(p)
		said += "resolved " + show(at, err)
	}
	return said + fmt.Sprint(tree.Reads())
}
