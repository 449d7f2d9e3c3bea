package artifact

import (
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"testing"
)

// TestDraft makes random trees one after the other, with a draft of the last one and without. Both must be whole and
// equal, also in their folders.
func TestDraft(t *testing.T) {
	names := []string{"a", "b/c", "b/d/e", "b/d/f", "b", "g/h/i/j", "g/h", "k"}
	for seed := range uint64(30) {
		random := rand.New(rand.NewPCG(seed, 2))
		contents := memory{}
		drafted, plain := New(t.TempDir()), New(t.TempDir())
		var last, lastPlain *Artifact
		for step := range 12 {
			files := randomTree(random, contents, names)
			tree := Tree{Revision: fmt.Sprint(step), Files: files, Contents: contents}
			a, err := drafted.Make(t.Context(), last, func(w Workspace, last *Artifact) (Artifact, error) {
				tree := tree
				tree.Draft = w.NewDraft(t.Context(), last)
				defer tree.Draft.Stop()
				return w.Put(t.Context(), "00", tree, last)
			})
			if err != nil {
				t.Fatalf("seed %d, step %d: %v", seed, step, err)
			}
			b, err := plain.Make(t.Context(), lastPlain, func(w Workspace, last *Artifact) (Artifact, error) {
				return w.Put(t.Context(), "00", tree, last)
			})
			if err != nil {
				t.Fatal(err)
			}
			if err := Verify(t.Context(), drafted.Path(a), a.Digest); err != nil || a.Digest != b.Digest {
				t.Fatalf("seed %d, step %d: %s, want %s: %v", seed, step, a.Digest, b.Digest, err)
			}
			if got, want := allPaths(t, drafted.Path(a)), allPaths(t, plain.Path(b)); !slices.Equal(got, want) {
				t.Fatalf("seed %d, step %d: %v, want %v", seed, step, got, want)
			}
			if last != nil {
				checkDifference(t, drafted, a, *last)
			}
			last, lastPlain = &a, &b
		}
	}
}

// randomTree returns some files of these names; none is below another.
func randomTree(random *rand.Rand, contents memory, names []string) []File {
	files := map[string]File{}
	for _, name := range names {
		isTaken := slices.ContainsFunc(slices.Collect(maps.Keys(files)), func(other string) bool {
			return parent(other) == name || parent(name) == other || parent(parent(other)) == name ||
				parent(parent(name)) == other
		})
		if isTaken || random.IntN(3) == 0 {
			continue
		}
		mode := []Mode{Regular, Regular, Executable}[random.IntN(3)]
		files[name] = contents.file(name, mode, fmt.Sprint("content ", random.IntN(2)))
	}
	if len(files) == 0 {
		files["a"] = contents.file("a", Regular, "a")
	}
	return slices.Collect(maps.Values(files))
}

// allPaths returns the files and folders of a tree.
func allPaths(t *testing.T, dir string) (all []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		relative, relErr := filepath.Rel(dir, path)
		all = append(all, relative)
		if err != nil {
			return err
		}
		return relErr
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// checkDifference compares Difference with the files and folders of both artifacts.
func checkDifference(t *testing.T, s *Store, a, other Artifact) {
	t.Helper()
	paths, ok := s.Difference(a, other.Digest)
	if !ok {
		t.Fatal("the artifacts cannot be compared")
	}
	now, before := map[string]File{}, map[string]File{}
	for dir, files := range map[string]map[string]File{s.Path(a): now, s.Path(other): before} {
		for _, p := range allPaths(t, dir) {
			files[p] = File{}
		}
	}
	for artifact, files := range map[Artifact]map[string]File{a: now, other: before} {
		listed, err := readIndex(s.Path(artifact), artifact.Digest)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range listed {
			files[f.Path] = f
		}
	}
	for _, p := range slices.Concat(slices.Collect(maps.Keys(now)), slices.Collect(maps.Keys(before))) {
		x, isNow := now[p]
		y, was := before[p]
		if (isNow != was || x.identity() != y.identity()) && !paths["/"+p] {
			t.Errorf("%s differs, and is not among %v", p, paths)
		}
	}
}
