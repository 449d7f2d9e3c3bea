package artifact

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/fluxcd/pkg/sourceignore"
	"golang.org/x/sync/errgroup"
)

// memory is the contents of files by their ContentID.
type memory map[ContentID]string

func (m memory) Size(f File) (int64, error) { return int64(len(m[f.Content])), nil }

func (m memory) Read(_ context.Context, f File, limit int64) ([]byte, error) {
	text, ok := m[f.Content]
	if !ok {
		return nil, errors.New("no such content")
	}
	if int64(len(text)) > limit {
		return nil, ErrLimit
	}
	return []byte(text), nil
}

// file adds a content and returns a file that has it.
func (m memory) file(name string, mode Mode, text string) File {
	id := IdentifyContent([]byte(text))
	m[id] = text
	return File{Path: name, Mode: mode, Content: id}
}

// FuzzSourceIgnore has the .sourceignore of a hostile repository at its root, and one in a folder.
func FuzzSourceIgnore(f *testing.F) {
	f.Add("/*\n!/deploy\n", "*.yaml")
	f.Add("# comment\n\\#x\n**/a/**\n!**\n[a-", "\xff\x00")
	f.Add(strings.Repeat("**/", 50)+"x", strings.Repeat("!", 50))
	names := []string{"a", "app.yaml", "deploy/x.yaml", "deploy/sub/y.txt", strings.Repeat("d/", 20) + "x", "sp ace/é"}
	f.Fuzz(func(t *testing.T, root, inner string) {
		contents := memory{}
		var files []File
		for _, name := range names {
			files = append(files, File{Path: name, Mode: Regular})
		}
		for name, text := range map[string]string{".sourceignore": root, "deploy/.sourceignore": inner} {
			files = append(files, contents.file(name, Regular, text))
		}
		kept, err := filter(t.Context(), files, contents, nil)
		if err != nil {
			t.Fatal(err)
		}
		last := -1
		for _, k := range kept {
			at := slices.IndexFunc(files, func(f File) bool { return f == k })
			if at <= last {
				t.Errorf("%q is new or out of order", k.Path)
			}
			last = at
		}
		if again, _ := filter(t.Context(), files, contents, nil); !slices.Equal(again, kept) {
			t.Errorf("kept %v, then %v", kept, again)
		}
	})
}

func TestSourceIgnore_link(t *testing.T) {
	contents := memory{}
	files := []File{contents.file(".sourceignore", Symlink, "*"), {Path: "a", Mode: Regular}}
	if kept, err := filter(t.Context(), files, contents, nil); err != nil || !slices.Contains(kept, files[1]) {
		t.Errorf("kept %v, %v", kept, err)
	}
}

func TestSourceIgnore_limit(t *testing.T) {
	contents := memory{}
	large := contents.file("a/.sourceignore", Regular, strings.Repeat("x\n", maxIgnore/2+1))
	_, err := filter(t.Context(), []File{large}, contents, nil)
	if !errors.Is(err, ErrLimit) {
		t.Errorf("got %v, want ErrLimit", err)
	}
}

// FuzzFluxIgnore compares what is kept with what Flux's library keeps of the same tree on disk.
func FuzzFluxIgnore(f *testing.F) {
	f.Add("/*\n!/deploy\n", "*.yaml", "")
	f.Add("# comment\n\\#x\n**/a/**\n!**\n[a-", "x.yaml\n!y.txt", "sub/\n")
	f.Add("", "", "")
	f.Add("deploy\n", "!x.yaml", "!deploy/sub/y.txt")
	names := []string{
		"a",
		"app.yaml",
		"deploy/x.yaml",
		"deploy/sub/y.txt",
		"deploy/sub/z.yaml",
		"pic.png",
		".github/w.yaml",
		"sub/.travis.yml",
		"sub/.goreleaser.yml",
		".sops.yaml",
		"sub/a.tar.gz",
		".gitignore",
		"sub/.gitmodules",
	}
	f.Fuzz(func(t *testing.T, root, inner, spec string) {
		contents, dir := memory{}, t.TempDir()
		all := map[string]string{".sourceignore": root, "deploy/.sourceignore": inner}
		for _, name := range names {
			all[name] = "x"
		}
		var files []File
		for name, text := range all {
			files = append(files, contents.file(name, Regular, text))
			if err := os.MkdirAll(filepath.Join(dir, path.Dir(name)), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		patterns, err := sourceignore.LoadIgnorePatterns(dir, nil)
		if err != nil {
			t.Fatal(err)
		}
		patterns = append(patterns, sourceignore.ReadPatterns(strings.NewReader(spec), nil)...)
		matcher := sourceignore.NewDefaultMatcher(patterns, nil)
		if len(patterns) > 0 {
			matcher = sourceignore.NewMatcher(append(sourceignore.VCSPatterns(nil), patterns...))
		}
		kept, err := filter(t.Context(), files, contents, &spec)
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			ignored := matcher.Match(strings.Split(file.Path, "/"), false)
			if slices.Contains(kept, file) == ignored {
				t.Errorf("%s: Flux ignores it: %t", file.Path, ignored)
			}
		}
	})
}

// FuzzSymlinks asks the kernel whether a tree of symlinks leads out.
func FuzzSymlinks(f *testing.F) {
	f.Add("a/b/up", "../../t", "a/b/link", "up/../../x")
	f.Add("a", "b", "b", "..")
	f.Fuzz(func(t *testing.T, path1, target1, path2, target2 string) {
		root := t.TempDir()
		links := links{}
		for _, l := range [][2]string{{path1, target1}, {path2, target2}} {
			if !isLocal(l[0]) || l[1] == "" || len(l[0])+len(l[1]) > 200 || strings.ContainsRune(l[1], 0) {
				return
			}
			if os.MkdirAll(filepath.Join(root, path.Dir(l[0])), 0o755) != nil ||
				os.Symlink(l[1], filepath.Join(root, l[0])) != nil {
				return
			}
			links[l[0]] = l[1]
		}
		for from, target := range links {
			resolved, err := filepath.EvalSymlinks(filepath.Join(root, from))
			if err == nil && resolved != root && !strings.HasPrefix(resolved, root+"/") && links.escape(from, target) == "" {
				t.Errorf("%v leads to %s", links, resolved)
			}
		}
	})
}

// TestPut_refused has trees that no honest source has.
func TestPut_refused(t *testing.T) {
	for name, c := range map[string]struct {
		paths []string
		want  error
	}{
		"absolute":        {[]string{"/etc/x"}, ErrTree},
		"parent":          {[]string{"a/../../x"}, ErrTree},
		"dot":             {[]string{"./a"}, ErrTree},
		"empty":           {[]string{""}, ErrTree},
		"git":             {[]string{"a/.GIT/config"}, ErrTree},
		"NUL":             {[]string{"a\x00b"}, ErrTree},
		"twice":           {[]string{"a", "b", "a"}, ErrTree},
		"file_and_folder": {[]string{"a/b/c", "d", "a/b"}, ErrTree},
		"folder_and_file": {[]string{"a", "b", "a/b/c"}, ErrTree},
		"deep":            {[]string{strings.Repeat("d/", MaxDepth+1) + "f"}, ErrLimit},
		"long":            {[]string{strings.Repeat(strings.Repeat("d", 200)+"/", 21) + "f"}, ErrLimit},
	} {
		t.Run(name, func(t *testing.T) {
			contents := memory{}
			var files []File
			for _, p := range c.paths {
				files = append(files, contents.file(p, Regular, "x"))
			}
			dir := t.TempDir()
			_, err := put(t, New(dir), Tree{Files: files, Contents: contents}, nil)
			if !errors.Is(err, c.want) {
				t.Errorf("got %v, want %v", err, c.want)
			}
			if left, _ := filepath.Glob(filepath.Join(dir, "[^l]*", "*")); len(left) > 0 { // locks stay
				t.Errorf("left over: %v", left)
			}
		})
	}
}

// put makes an artifact as a fetcher does.
func put(t *testing.T, s *Store, tree Tree, last *Artifact) (Artifact, error) {
	t.Helper()
	return s.Make(t.Context(), last, func(w Workspace, last *Artifact) (Artifact, error) {
		return w.Put(t.Context(), "00", tree, last)
	})
}

// TestPut_damaged has an artifact of an earlier process that is put again.
func TestPut_damaged(t *testing.T) {
	dir, contents := t.TempDir(), memory{}
	tree := Tree{Revision: "1", Contents: contents, Files: []File{
		contents.file("a", Regular, "a"), contents.file("d/run", Executable, "#!"), contents.file("l", Symlink, "d/run"),
	}}
	first, err := put(t, New(dir), tree, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(contentFile(filepath.Join(dir, artifactsDir, "00"), tree.Files[0].Content), 0); err != nil {
		t.Fatal(err)
	}
	if New(dir).Usable(t.Context(), first) {
		t.Error("a damaged artifact is usable")
	}
	again, err := put(t, New(dir), tree, nil)
	if err != nil || again.Dir != first.Dir || Verify(t.Context(), New(dir).Path(again), again.Digest) != nil {
		t.Errorf("got %+v, %v", again, err)
	}
}

// TestPut_failed puts a tree that cannot be written. An artifact with the same contents and folders stays whole.
func TestPut_failed(t *testing.T) {
	s, contents := New(t.TempDir()), memory{}
	same := []File{contents.file("d/a", Regular, "a"), contents.file("d/b", Regular, "b")}
	first, err := put(t, s, Tree{Contents: contents, Files: same}, nil)
	must(t, err)
	more := append(same, contents.file("c", Regular, "c"))
	_, err = s.Make(t.Context(), nil, func(w Workspace, _ *Artifact) (Artifact, error) {
		lost := during{contents, func() { must(t, os.RemoveAll(w.Tmp)) }} // nothing can be replaced after c is written
		return w.Put(t.Context(), "00", Tree{Contents: lost, Files: more}, nil)
	})
	if !errors.Is(err, ErrStorage) {
		t.Errorf("got %v, want %v", err, ErrStorage)
	}
	must(t, Verify(t.Context(), s.Path(first), first.Digest))
}

// TestSweep_failed removes what a Put left that had begun to write when it failed, whatever the cause was.
func TestSweep_failed(t *testing.T) {
	for name, cause := range map[string]error{
		"disk": ErrStorage, "time": context.DeadlineExceeded, "limit": ErrLimit, "server": errors.New("a lost object"),
	} {
		t.Run(name, func(t *testing.T) {
			s, contents := New(t.TempDir()), memory{}
			first, err := put(t, s, Tree{Contents: contents, Files: []File{contents.file("d/a", Regular, "a")}}, nil)
			must(t, err)
			checkOnly(t, s, first)
			files := []File{contents.file("a", Regular, "left"), contents.file("d/b", Regular, "b")}
			_, err = put(t, s, Tree{Contents: failing{contents, "d/b", cause}, Files: files}, &first)
			if !errors.Is(err, cause) {
				t.Errorf("got %v, want %v", err, cause)
			}
			if _, err := os.Stat(contentFile(filepath.Join(s.dir, artifactsDir, "00"), files[0].Content)); err != nil {
				t.Errorf("nothing was left: %v", err)
			}
			checkOnly(t, s, first)
		})
	}
}

// failing cannot read the content of one path.
type failing struct {
	memory
	path string
	err  error
}

func (f failing) Read(ctx context.Context, file File, limit int64) ([]byte, error) {
	if file.Path == f.path {
		return nil, f.err
	}
	return f.memory.Read(ctx, file, limit)
}

// TestPut_misplaced has files in the places of folders. A Put removes them; a sweep of them does not fail the others.
func TestPut_misplaced(t *testing.T) {
	for _, place := range []string{"", rootsDir, foldersDir, contentsDir} {
		t.Run("0"+place, func(t *testing.T) {
			s, contents := New(t.TempDir()), memory{}
			tree := Tree{Contents: contents, Files: []File{contents.file("d/a", Regular, "a")}}
			first, err := put(t, s, tree, nil)
			must(t, err)
			name := filepath.Join(s.dir, artifactsDir, "00", place)
			must(t, os.RemoveAll(name))
			must(t, os.WriteFile(name, nil, 0o600))
			after, err := s.Make(t.Context(), nil, func(w Workspace, _ *Artifact) (Artifact, error) {
				return w.Put(t.Context(), "01", tree, nil)
			})
			must(t, err)
			if err := s.Sweep(t.Context(), func(string) bool { return false }, 0); !errors.Is(err, ErrStorage) {
				t.Errorf("swept with %v, want %v", err, ErrStorage)
			}
			if _, err := os.Stat(s.Path(after)); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("another artifact is not swept: %v", err)
			}
			s.Doubt(first)
			again, err := put(t, s, tree, &first)
			must(t, err)
			checkOnly(t, s, again)
		})
	}
}

// TestReplace_folder writes a file where a folder is.
func TestReplace_folder(t *testing.T) {
	name := filepath.Join(t.TempDir(), "name")
	must(t, os.MkdirAll(filepath.Join(name, "below"), 0o700))
	p := &putting{tmp: t.TempDir()}
	must(t, p.replace(name, []byte("a")))
	if text, err := os.ReadFile(name); string(text) != "a" {
		t.Errorf("got %q, %v", text, err)
	}
}

// TestMake_elsewhere has fetchers that name a folder that is no artifact's.
func TestMake_elsewhere(t *testing.T) {
	dir := t.TempDir()
	s := New(dir)
	contents := memory{}
	good, err := put(t, s, Tree{Contents: contents, Files: []File{contents.file("a", Regular, "a")}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	forged := func() (Artifact, error) {
		return Artifact{Revision: "main\x1b[2J", Dir: good.Dir, Digest: good.Digest}, nil
	}
	for _, last := range []*Artifact{nil, &good} {
		_, err = s.Make(t.Context(), last, func(Workspace, *Artifact) (Artifact, error) { return forged() })
		if !errors.Is(err, ErrTree) {
			t.Errorf("a revision with an escape after %v: %v", last, err)
		}
	}
	for name, change := range map[string]func(*Artifact){
		"absolute":     func(a *Artifact) { a.Dir = "/etc" },
		"outside":      func(a *Artifact) { a.Dir = "artifacts/../../etc" },
		"parent":       func(a *Artifact) { a.Dir = filepath.Dir(a.Dir) },
		"not_clean":    func(a *Artifact) { a.Dir += "/../tree" },
		"other_digest": func(a *Artifact) { a.Digest[0]++ },
		"nothing":      func(a *Artifact) { *a = Artifact{} },
	} {
		t.Run(name, func(t *testing.T) {
			a := good
			change(&a)
			_, err := s.Make(t.Context(), nil, func(Workspace, *Artifact) (Artifact, error) { return a, nil })
			if !errors.Is(err, ErrStorage) {
				t.Errorf("%s: got %v, want ErrStorage", a.Dir, err)
			}
		})
	}
}

// TestMake_notes bounds what a fetcher notes beside the tree, because each row of the store has it.
func TestMake_notes(t *testing.T) {
	s, contents := New(t.TempDir()), memory{}
	good, err := put(t, s, Tree{Contents: contents, Files: []File{contents.file("a", Regular, "a")}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	with := func(status, summary string) (Artifact, error) {
		a := good
		a.Status, a.Summary, a.Notice = status, summary, summary
		return s.Make(t.Context(), &good, func(Workspace, *Artifact) (Artifact, error) { return a, nil })
	}
	if _, err := with(strings.Repeat(" ", 8<<10+1), ""); !errors.Is(err, ErrLimit) {
		t.Errorf("a large status: %v", err)
	}
	a, err := with(`{"a": 1}`, "found\x1b "+strings.Repeat("a", 2000))
	if err != nil || a.Status != `{"a": 1}` {
		t.Errorf("got %q, %v", a.Status, err)
	}
	for _, text := range []string{a.Summary, a.Notice} {
		if len(text) > 1<<10 || strings.Contains(text, "\x1b") {
			t.Errorf("got %q", text)
		}
	}
}

// TestMove has a data folder that was moved: what was fetched before is still there.
func TestMove(t *testing.T) {
	before, after := filepath.Join(t.TempDir(), "before"), filepath.Join(t.TempDir(), "after")
	contents := memory{}
	a, err := put(t, New(before), Tree{Contents: contents, Files: []File{contents.file("a", Regular, "a")}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	row, err := json.Marshal(a)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(before, after); err != nil {
		t.Fatal(err)
	}
	older := bytes.Replace(row, []byte(`"artifacts/`), []byte(`"`+before+`/artifacts/`), 1)
	for name, row := range map[string][]byte{"row": row, "row_with_absolute_path": older} {
		t.Run(name, func(t *testing.T) {
			var read Artifact
			if err := json.Unmarshal(row, &read); err != nil || read != a || !New(after).Usable(t.Context(), read) {
				t.Errorf("%s is read as %+v, %v", row, read, err)
			}
		})
	}
}

// TestPut_together has fetches that put the same tree at the same time.
func TestPut_together(t *testing.T) {
	contents := memory{}
	tree := Tree{Contents: contents}
	for _, name := range strings.Split("abcdefghij", "") {
		tree.Files = append(tree.Files, contents.file(name, Regular, name))
	}
	s := New(t.TempDir())
	var group errgroup.Group
	for range 8 {
		group.Go(func() error {
			_, err := put(t, s, tree, nil)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		t.Error(err)
	}
}

// FuzzPut puts the tree of a hostile archive: two files and a symlink with any paths.
func FuzzPut(f *testing.F) {
	f.Add("a/b", "c", "a/l", "b")
	f.Add("../a", "a/../../b", "l", "..")
	f.Add("l/x", "l", "l", "/etc")
	f.Add("a", "a/b", "d/l", "../a")
	f.Fuzz(func(t *testing.T, one, two, link, target string) {
		contents := memory{}
		tree := Tree{Contents: contents, Ignore: new(string), Files: []File{
			contents.file(one, Regular, "1"), contents.file(two, Executable, "2"), contents.file(link, Symlink, target),
		}}
		root := t.TempDir()
		s := New(filepath.Join(root, "in"))
		a, err := put(t, s, tree, nil)
		if err == nil {
			err = Verify(t.Context(), s.Path(a), a.Digest)
		}
		if err != nil && !errors.Is(err, ErrTree) && !errors.Is(err, ErrLimit) {
			t.Errorf("%q, %q, %q to %q: %v", one, two, link, target, err)
		}
		if left, _ := os.ReadDir(root); len(left) != 1 {
			t.Errorf("written outside: %v", left)
		}
	})
}
