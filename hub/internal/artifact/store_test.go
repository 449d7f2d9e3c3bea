package artifact

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/navefleet/nave/hub/internal/lru"
	"github.com/navefleet/nave/shared/manifest"
)

// forge writes folders and an empty content as the files of an artifact. The last folder is the root.
func forge(t *testing.T, s *Store, all []*Folder) Artifact {
	t.Helper()
	home := filepath.Join(s.dir, artifactsDir, "00")
	write := func(kind, name string, text []byte) {
		must(t, os.MkdirAll(filepath.Join(home, kind), 0o700))
		must(t, os.WriteFile(filepath.Join(home, kind, name), text, 0o600))
	}
	write(contentsDir, string(IdentifyContent(nil)), nil)
	write(contentsDir, string(IdentifyContent([]byte("x"))), []byte("y"))
	for _, f := range all {
		write(foldersDir, hexOf(manifest.DigestOf(f.encode())), f.encode())
	}
	root := all[len(all)-1].encode()
	a := Artifact{Digest: manifest.DigestOf(root)}
	a.Dir = dirOf("00", a.Digest)
	write(rootsDir, hexOf(a.Digest), root)
	return a
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// TestShare makes random trees one after the other, with what the last one has and without. Both must be whole and
// equal, also in their folders. Nothing else is left in the end.
func TestShare(t *testing.T) {
	names := []string{"a", "b/c", "b/d/e", "b/d/f", "b", "g/h/i/j", "g/h", "k"}
	for seed := range uint64(12) {
		random := rand.New(rand.NewPCG(seed, 2))
		contents := memory{}
		shared, plain := New(t.TempDir()), New(t.TempDir())
		var last *Artifact
		for step := range 12 {
			files := randomTree(random, contents, names)
			tree := Tree{Revision: fmt.Sprint(step), Files: files, Contents: contents}
			a, err := put(t, shared, tree, last)
			if err != nil {
				t.Fatalf("seed %d, step %d: %v", seed, step, err)
			}
			b, err := put(t, plain, tree, nil)
			if err != nil {
				t.Fatal(err)
			}
			if err := Verify(t.Context(), shared.Path(a), a.Digest); err != nil || a.Digest != b.Digest {
				t.Fatalf("seed %d, step %d: %s, want %s: %v", seed, step, a.Digest, b.Digest, err)
			}
			if got, want := allPaths(t, shared, a), allPaths(t, plain, b); !slices.Equal(got, want) {
				t.Fatalf("seed %d, step %d: %v, want %v", seed, step, got, want)
			}
			if last != nil {
				checkDifference(t, shared, a, *last)
			}
			last = &a
		}
		checkOnly(t, shared, *last)
	}
}

// checkOnly sweeps all artifacts but one, and compares what is on disk with a Store that has only this one.
func checkOnly(t *testing.T, s *Store, a Artifact) {
	t.Helper()
	must(t, s.Sweep(t.Context(), func(dir string) bool { return dir == a.Dir }, 0))
	must(t, Verify(t.Context(), s.Path(a), a.Digest))
	files, err := s.workspace().Files(a)
	must(t, err)
	only := New(t.TempDir())
	_, err = only.Make(t.Context(), nil, func(w Workspace, _ *Artifact) (Artifact, error) {
		return w.put(t.Context(), "00", Tree{Contents: storedContents{s.workspace(), a}}, files, nil)
	})
	must(t, err)
	onDisk := func(s *Store) (all []string) {
		must(t, filepath.WalkDir(filepath.Join(s.dir, artifactsDir), func(p string, e fs.DirEntry, err error) error {
			if err == nil && !e.IsDir() {
				all = append(all, strings.TrimPrefix(p, s.dir))
			}
			return err
		}))
		return all
	}
	if got, want := onDisk(s), onDisk(only); !slices.Equal(got, want) {
		t.Errorf("on disk are\n%v, want\n%v", got, want)
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

// allPaths returns the files and folders of an artifact, as Export writes them.
func allPaths(t *testing.T, s *Store, a Artifact) (all []string) {
	t.Helper()
	dir := t.TempDir()
	must(t, s.Export(t.Context(), a, dir))
	must(t, filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		all = append(all, strings.TrimPrefix(strings.TrimPrefix(path, dir), "/"))
		return err
	}))
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
	for artifact, files := range map[Artifact]map[string]File{a: now, other: before} {
		for _, p := range allPaths(t, s, artifact) {
			files[p] = File{}
		}
		listed, err := s.workspace().Files(artifact)
		must(t, err)
		for _, f := range listed {
			files[f.Path] = f
		}
	}
	same := func(x, y File) bool { return x.Content == y.Content && x.Mode == y.Mode }
	for _, p := range slices.Concat(slices.Collect(maps.Keys(now)), slices.Collect(maps.Keys(before))) {
		x, isNow := now[p]
		y, was := before[p]
		if (isNow != was || !same(x, y)) && !paths["/"+p] {
			t.Errorf("%s differs, and is not among %v", p, paths)
		}
		if isNow != was && !paths[filepath.Dir("/"+p)] {
			t.Errorf("the folder of %s is not among %v", p, paths)
		}
		if isNow && was && same(x, y) && x.Mode != "" && paths["/"+p] {
			t.Errorf("%s is the same, and is among %v", p, paths)
		}
	}
}

// storedContents are the contents of an artifact.
type storedContents struct {
	Workspace
	a Artifact
}

func (s storedContents) Size(f File) (int64, error) { return f.Size, nil }

func (s storedContents) Name(f File) string { return s.FileName(s.a, f) }

func (s storedContents) Read(ctx context.Context, f File, limit int64) ([]byte, error) {
	return s.ReadFile(ctx, s.a, f, limit)
}

// forget drops the folders that are in memory.
func forget() { folders = lru.New[manifest.Digest, *Folder](maxFolders) }

// nameOf names the files of a tree of 10,000 files in 100 folders.
func nameOf(n int) string { return fmt.Sprintf("apps/app-%02d/base/file-%02d.yaml", n/100, n%100) }

// TestChange_counted changes one file of 10,000, after all else is gone from the disk except the folders above it. So
// nothing else is read. What is written is counted.
func TestChange_counted(t *testing.T) {
	contents, s := memory{}, New(t.TempDir())
	first := Tree{Contents: contents}
	for n := range 10_000 {
		first.Files = append(first.Files, contents.file(nameOf(n), Regular, fmt.Sprint("content ", n)))
	}
	last, err := put(t, s, first, nil)
	must(t, err)
	home := filepath.Join(s.dir, artifactsDir, "00")
	above := map[string]bool{}
	r, err := Open(s.Path(last))
	must(t, err)
	for dir := parent(nameOf(4242)); dir != ""; dir = parent(dir) {
		e, _, err := r.Find(dir)
		must(t, err)
		above[string(e.Content)] = true
	}
	must(t, removeUnused(t.Context(), filepath.Join(home, foldersDir), above))
	must(t, removeUnused(t.Context(), filepath.Join(home, contentsDir), nil))
	forget()
	next := Tree{Contents: contents}
	for n := range 100 {
		if n != 42 {
			next.Shared = append(next.Shared, fmt.Sprintf("apps/app-%02d", n))
		}
		next.Files = append(next.Files, first.Files[4200+n])
	}
	next.Files[42] = contents.file(nameOf(4242), Regular, "changed")
	a, err := put(t, s, next, &last)
	must(t, err)
	for kind, want := range map[string]int{foldersDir: 3 + 3, contentsDir: 1, rootsDir: 2} {
		if names, _ := namesIn(filepath.Join(home, kind)); len(names) != want {
			t.Errorf("%s has %d files, want %d", kind, len(names), want)
		}
	}
	forget()
	paths, ok := s.Difference(a, last.Digest)
	if !ok || len(paths) != 1 || !paths["/"+nameOf(4242)] {
		t.Errorf("the difference is %v, %t", paths, ok)
	}
	first.Files[4242] = next.Files[42]
	whole, err := put(t, New(t.TempDir()), first, nil)
	if err != nil || whole.Digest != a.Digest {
		t.Errorf("the artifact is %s, want %s, %v", a.Digest, whole.Digest, err)
	}
}

// TestPut_shared has folders that are shared, and what must hold of them.
func TestPut_shared(t *testing.T) {
	contents := memory{}
	files := []File{contents.file("a/b/c", Regular, "c"), contents.file("a/d", Regular, "d"),
		contents.file("e/f", Executable, "f"), contents.file("e/out", Symlink, "../..")}
	for name, c := range map[string]struct {
		tree Tree
		want error
		same bool
	}{
		"all":           {Tree{Shared: []string{""}, Files: files[3:]}, nil, true},
		"folders":       {Tree{Shared: []string{"a", "e"}, Files: files[3:]}, nil, true},
		"inner":         {Tree{Shared: []string{"a/b", "e"}, Files: files[1:2]}, nil, true},
		"ignored":       {Tree{Shared: []string{"a", "e", "never/kept"}}, nil, true},
		"changed":       {Tree{Shared: []string{"a/b", "e"}}, nil, false},
		"file_in_place": {Tree{Shared: []string{"a", "e"}, Files: []File{contents.file("a", Regular, "")}}, ErrTree, false},
		"below_a_file":  {Tree{Shared: []string{"a/b"}, Files: []File{contents.file("a", Regular, "")}}, ErrTree, false},
		"too_many":      {Tree{Shared: []string{"a", "e"}, Limits: Limits{Files: 2, Total: 100, File: 10}}, ErrLimit, false},
		"too_large":     {Tree{Shared: []string{"a", "e"}, Limits: Limits{Files: 9, Total: 2, File: 10}}, ErrLimit, false},
	} {
		t.Run(name, func(t *testing.T) {
			s := New(t.TempDir())
			last, err := put(t, s, Tree{Files: files, Contents: contents}, nil)
			must(t, err)
			c.tree.Contents = contents
			a, err := put(t, s, c.tree, &last)
			if !errors.Is(err, c.want) || err == nil && (a.Digest == last.Digest) != c.same {
				t.Errorf("got %+v, %v", a, err)
			}
			if len(c.tree.Files) > 0 && c.tree.Files[len(c.tree.Files)-1] == files[3] && a.Notice != last.Notice {
				t.Errorf("the notice is %q, want %q", a.Notice, last.Notice)
			}
			if err == nil {
				must(t, Verify(t.Context(), s.Path(a), a.Digest))
			}
		})
	}
	s := New(t.TempDir())
	if _, err := put(t, s, Tree{Shared: []string{"a"}, Contents: contents}, nil); !errors.Is(err, ErrShared) {
		t.Errorf("without a last artifact: %v", err)
	}
	last, err := put(t, s, Tree{Files: files, Contents: contents}, nil)
	must(t, err)
	forget()
	must(t, os.RemoveAll(filepath.Join(s.dir, artifactsDir, "00", foldersDir)))
	_, err = put(t, s, Tree{Shared: []string{"a/b"}, Contents: contents}, &last)
	if !errors.Is(err, ErrShared) {
		t.Errorf("with a damaged last artifact: %v", err)
	}
	healed, err := put(t, s, Tree{Files: append(files[:2:2], contents.file("new", Regular, "")),
		Contents: contents}, &last)
	if err != nil || Verify(t.Context(), s.Path(healed), healed.Digest) != nil {
		t.Errorf("all files, with a damaged last artifact: %v", err)
	}
	_, err = s.Make(t.Context(), nil, func(w Workspace, _ *Artifact) (Artifact, error) {
		return w.Put(t.Context(), "01", Tree{Shared: []string{"a"}, Contents: contents}, &last)
	})
	if !errors.Is(err, ErrShared) {
		t.Errorf("with the artifact of another id: %v", err)
	}
}

// childDir names the folder of the Store in which the child of TestPut_killed puts a tree.
const childDir = "NAVE_TEST_PUT_KILLED"

// killedTrees are a tree, and the next one, which shares a folder.
func killedTrees(contents memory) (first, next Tree) {
	kept := contents.file("kept/a", Regular, "a")
	first = Tree{Contents: contents, Files: []File{kept, contents.file("b/x", Regular, "x")}}
	next = Tree{Contents: contents, Shared: []string{"kept"}, Files: []File{
		contents.file("b/x", Regular, "changed"), contents.file("c", Regular, "last")}}
	return first, next
}

// TestPut_killed kills a process that has written a part of a tree which shares a folder with the last one.
func TestPut_killed(t *testing.T) {
	if dir := os.Getenv(childDir); dir != "" {
		putHalf(t, dir)
		return
	}
	dir := t.TempDir()
	cmd := exec.Command(os.Args[0], "-test.run=^TestPut_killed$")
	cmd.Env = append(os.Environ(), childDir+"="+dir)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil || line != "half\n" {
		t.Fatalf("the child says %q, %v", line, err)
	}
	must(t, cmd.Process.Kill())
	_ = cmd.Wait()

	contents := memory{}
	first, next := killedTrees(contents)
	s := New(dir)
	last, err := put(t, New(t.TempDir()), first, nil)
	must(t, err)
	if !s.Usable(t.Context(), last) {
		t.Fatal("the artifact of before is damaged")
	}
	written := contentFile(filepath.Join(dir, artifactsDir, "00"), next.Files[0].Content)
	must(t, os.Truncate(written, 2)) // as if power had failed, too
	must(t, s.Sweep(t.Context(), func(string) bool { return true }, time.Hour))
	if _, err := os.Stat(written); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("what no artifact refers to is still there: %v", err)
	}
	must(t, os.WriteFile(written, nil, 0o400))
	a, err := put(t, s, next, &last)
	must(t, err)
	must(t, Verify(t.Context(), s.Path(a), a.Digest))
	must(t, Verify(t.Context(), s.Path(last), last.Digest))
	checkOnly(t, s, a)
}

// putHalf puts a tree, and a part of the next one. Then it waits to be killed.
func putHalf(t *testing.T, dir string) {
	contents := memory{}
	first, next := killedTrees(contents)
	s := New(dir)
	last, err := put(t, s, first, nil)
	must(t, err)
	next.Contents = stuck{contents}
	_, err = put(t, s, next, &last)
	t.Fatalf("the tree was put: %v", err)
}

// stuck has no content of the file c.
type stuck struct{ memory }

func (s stuck) Read(ctx context.Context, f File, limit int64) ([]byte, error) {
	if f.Path == "c" {
		fmt.Println("half")
		select {}
	}
	return s.memory.Read(ctx, f, limit)
}

// TestSweep_busy sweeps while an artifact is put that shares a folder with one that nobody keeps any more.
func TestSweep_busy(t *testing.T) {
	contents, s := memory{}, New(t.TempDir())
	first, next := killedTrees(contents)
	last, err := put(t, s, first, nil)
	must(t, err)
	next.Contents = during{contents, func() {
		must(t, s.Sweep(t.Context(), func(string) bool { return false }, 0))
		if _, err := os.Stat(s.Path(last)); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("the artifact is still there: %v", err)
		}
	}}
	a, err := put(t, s, next, &last)
	must(t, err)
	must(t, Verify(t.Context(), s.Path(a), a.Digest))
	checkOnly(t, s, a)
}

// during calls a function when the file c is read.
type during struct {
	memory
	call func()
}

func (d during) Read(ctx context.Context, f File, limit int64) ([]byte, error) {
	if f.Path == "c" {
		d.call()
	}
	return d.memory.Read(ctx, f, limit)
}

// TestSweep_older removes the artifacts that hubs wrote until November 2026.
func TestSweep_older(t *testing.T) {
	contents, s := memory{}, New(t.TempDir())
	older := filepath.Join(s.dir, artifactsDir, "00", strings.Repeat("0a", 32), "tree")
	must(t, os.MkdirAll(older, 0o755))
	must(t, os.WriteFile(filepath.Join(older, "a"), []byte("a"), 0o444))
	row := Artifact{Digest: manifest.Digest(bytes.Repeat([]byte{10}, 32)), Dir: strings.TrimPrefix(older, s.dir+"/")}
	if s.Usable(t.Context(), row) {
		t.Error("an artifact of an older hub is usable as it is")
	}
	if _, err := s.Convert(t.Context(), row); !errors.Is(err, ErrStorage) {
		t.Errorf("an artifact without an index was converted: %v", err)
	}
	a, err := put(t, s, Tree{Contents: contents, Files: []File{contents.file("a", Regular, "a")}}, &row)
	must(t, err)
	checkOnly(t, s, a)
}

// TestConvert converts an artifact that a hub wrote until November 2026, and damaged ones.
func TestConvert(t *testing.T) {
	contents := memory{}
	tree := Tree{Contents: contents, Ignore: new(string), Files: []File{contents.file("d/run", Executable, "#!"),
		contents.file("Icon\r", Regular, "x"), contents.file("d/pic.png", Regular, "x"), contents.file("l", Symlink, "d")}}
	ignore := "!*.png\n"
	tree.Ignore = &ignore
	for name, spoil := range map[string]func(dir string) error{
		"whole":     func(string) error { return nil },
		"emptied":   func(dir string) error { return os.Truncate(filepath.Join(dir, "tree/d/run"), 0) },
		"removed":   func(dir string) error { return os.Remove(filepath.Join(dir, "tree/d/run")) },
		"no_link":   func(dir string) error { return os.Remove(filepath.Join(dir, "tree/l")) },
		"index_cut": func(dir string) error { return os.Truncate(filepath.Join(dir, "index"), 10) },
	} {
		t.Run(name, func(t *testing.T) {
			s := New(t.TempDir())
			want, err := put(t, New(t.TempDir()), tree, nil)
			must(t, err)
			row := writeOlder(t, s, tree.Files, contents)
			row.Notice, row.Revision = "notice", "main"
			must(t, spoil(filepath.Dir(s.Path(row))))
			got, err := s.Convert(t.Context(), row)
			if name != "whole" {
				if !errors.Is(err, ErrStorage) {
					t.Errorf("got %v", err)
				}
				return
			}
			row.Dir, row.Digest = want.Dir, want.Digest
			if err != nil || got != row || !s.Usable(t.Context(), got) {
				t.Errorf("got %+v, want %+v, %v", got, row, err)
			}
			if again, err := s.Convert(t.Context(), got); err != nil || again != got {
				t.Errorf("converted again: %+v, %v", again, err)
			}
			checkOnly(t, s, got)
		})
	}
}

// writeOlder writes files as a hub did until November 2026.
func writeOlder(t *testing.T, s *Store, files []File, contents memory) Artifact {
	t.Helper()
	var index strings.Builder
	files = slices.SortedFunc(slices.Values(files), func(a, b File) int { return strings.Compare(a.Path, b.Path) })
	for i, f := range files {
		files[i].Size = int64(len(contents[f.Content]))
		fmt.Fprintf(&index, "%s %d %s\t%s\n", f.Mode, files[i].Size, f.Content, quotePath(f.Path))
	}
	a := Artifact{Digest: manifest.DigestOf([]byte(index.String()))}
	a.Dir = filepath.Join(artifactsDir, "00", hexOf(a.Digest), "tree")
	for _, f := range files {
		name := filepath.Join(s.Path(a), f.Path)
		must(t, os.MkdirAll(filepath.Dir(name), 0o755))
		if f.Mode == Symlink {
			must(t, os.Symlink(contents[f.Content], name))
			continue
		}
		must(t, os.WriteFile(name, []byte(contents[f.Content]), f.Mode.Permissions()))
	}
	must(t, os.WriteFile(filepath.Join(s.Path(a), "..", "index"), []byte(index.String()), 0o444))
	return a
}

// TestVerify has artifacts that were damaged.
func TestVerify(t *testing.T) {
	contents := memory{}
	tree := Tree{Contents: contents, Files: []File{
		contents.file("d/a", Regular, "a"), contents.file("d/e/run", Executable, "#!"), contents.file("l", Symlink, "d/a"),
	}}
	for name, spoil := range map[string]func(string) error{
		"gone":      os.Remove,
		"emptied":   func(name string) error { return os.Truncate(name, 0) },
		"cut":       func(name string) error { return os.Truncate(name, 1) },
		"longer":    func(name string) error { return os.Truncate(name, 1000) },
		"a_folder":  func(name string) error { return errors.Join(os.Remove(name), os.MkdirAll(name+"/x", 0o700)) },
		"a_link":    func(name string) error { return errors.Join(os.Rename(name, name+"x"), os.Symlink(name+"x", name)) },
		"a_pipe":    func(name string) error { return errors.Join(os.Remove(name), syscall.Mkfifo(name, 0o600)) },
		"all_other": func(name string) error { return errors.Join(os.RemoveAll(filepath.Dir(name))) },
	} {
		for _, kind := range []string{rootsDir, foldersDir, contentsDir} {
			t.Run(kind+"_"+name, func(t *testing.T) {
				s := New(t.TempDir())
				a, err := put(t, s, tree, nil)
				must(t, err)
				dir := filepath.Join(s.dir, artifactsDir, "00", kind)
				names, err := namesIn(dir)
				must(t, err)
				for _, n := range names {
					if _, err := os.Lstat(filepath.Join(dir, n)); err == nil {
						must(t, spoil(filepath.Join(dir, n)))
					}
				}
				s = New(s.dir)
				if s.Usable(t.Context(), a) {
					t.Fatal("the artifact is usable")
				}
				again, err := put(t, s, tree, &a)
				if err != nil || again.Dir != a.Dir || Verify(t.Context(), s.Path(again), again.Digest) != nil {
					t.Errorf("got %+v, %v", again, err)
				}
			})
		}
	}
}

// BenchmarkRecord encodes and parses the record of a folder of 4,000 files.
func BenchmarkRecord(b *testing.B) {
	f := &Folder{}
	for i := range 4000 {
		f.Entries = append(f.Entries, Entry{Name: fmt.Sprintf("deployment-%04d.yaml", i), Mode: Regular,
			Totals: Totals{Bytes: int64(1000 + i), Files: 1}, Content: IdentifyContent(fmt.Append(nil, i))})
	}
	text := f.encode()
	b.Run("parse", func(b *testing.B) {
		for b.Loop() {
			if _, err := parseRecord(text); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("encode", func(b *testing.B) {
		for b.Loop() {
			f.encode()
		}
	})
}

// BenchmarkChange puts a tree in folders of 20 files of which one has changed, and compares it with the one before.
func BenchmarkChange(b *testing.B) {
	for _, n := range []int{1000, 10_000} {
		for _, shares := range []bool{true, false} {
			b.Run(fmt.Sprintf("%d_files_shared_%t", n, shares), func(b *testing.B) { change(b, n, shares) })
		}
	}
}

func change(b *testing.B, n int, shares bool) {
	contents, s := memory{}, New(b.TempDir())
	first, next := Tree{Contents: contents}, Tree{Contents: contents}
	for i := range n {
		first.Files = append(first.Files, contents.file(fmt.Sprintf("apps/app%d/cm%d.yaml", i/20, i), Regular, fmt.Sprint(i)))
	}
	next.Files = slices.Clone(first.Files)
	if shares {
		next.Files = next.Files[:20]
		for i := 1; i < n/20; i++ {
			next.Shared = append(next.Shared, fmt.Sprintf("apps/app%d", i))
		}
	}
	var last *Artifact
	step := func(tree Tree) {
		a, err := s.Make(b.Context(), last, func(w Workspace, last *Artifact) (Artifact, error) {
			return w.Put(b.Context(), "00", tree, last)
		})
		if err != nil {
			b.Fatal(err)
		}
		if last != nil {
			if _, ok := s.Difference(a, last.Digest); !ok {
				b.Fatal("no difference")
			}
		}
		last = &a
	}
	step(first)
	for i := 0; b.Loop(); i++ {
		next.Files[7] = contents.file(first.Files[7].Path, Regular, fmt.Sprint("changed ", i))
		step(next)
	}
}
