package git_test

import (
	"crypto/sha256"
	"fmt"
	"strings"
	"testing"

	"github.com/navefleet/nave/e2e/gittest"
	"github.com/navefleet/nave/hub/internal/artifact"
	"github.com/navefleet/nave/hub/internal/source/git"
)

func TestIgnore(t *testing.T) {
	tree := map[string]string{
		"app.yaml": "1", "image.png": "1", ".gitignore": "x", ".github/w.yaml": "1", "sub/.sops.yaml": "1", "sub/a.yaml": "1",
		"sub/b.txt": "1", "deploy/x.yaml": "1", "deploy/y.zip": "1",
	}
	with := func(more map[string]string) map[string]string {
		all := map[string]string{}
		for _, m := range []map[string]string{tree, more} {
			for k, v := range m {
				all[k] = v
			}
		}
		return all
	}
	text := func(s string) *string { return &s }
	for name, c := range map[string]struct {
		tree   map[string]string
		ignore *string
		want   string
	}{
		"defaults": {tree, nil, "app.yaml deploy/x.yaml sub/a.yaml sub/b.txt"},
		"spec_ignore": {tree, text("*.txt"),
			".github/w.yaml app.yaml deploy/x.yaml deploy/y.zip image.png sub/.sops.yaml sub/a.yaml"},
		"all_but_a_folder": {tree, text("/*\n!/deploy\n"), "deploy/x.yaml deploy/y.zip"},
		"sourceignore": {with(map[string]string{"sub/.sourceignore": "*.yaml\n"}), nil,
			".github/w.yaml app.yaml deploy/x.yaml deploy/y.zip image.png sub/.sourceignore sub/b.txt"},
		"both": {with(map[string]string{".sourceignore": "sub\n# a comment\n"}),
			text("!sub/a.yaml"),
			".github/w.yaml .sourceignore app.yaml deploy/x.yaml deploy/y.zip image.png sub/a.yaml"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, gittest.Options{})
			w.commit(c.tree)
			req := w.main()
			req.Ignore = c.ignore
			got := w.fetcher.files(t, w.fetch(req, nil))
			want := strings.Fields(c.want)
			for _, f := range want {
				if _, ok := got[f]; !ok {
					t.Errorf("%s is missing", f)
				}
				delete(got, f)
			}
			for f := range got {
				t.Errorf("%s should be ignored", f)
			}
		})
	}
}

// TestSymlinks has symlinks that lead out: they are left out with a notice, as in Flux, and nothing else is.
func TestSymlinks(t *testing.T) {
	for name, c := range map[string]struct {
		links map[string]string
		word  string // of the notice; empty: none
	}{
		"inside":          {map[string]string{"a/link": "../f", "b": "./a/../f", "dangling": "nowhere/x"}, ""},
		"absolute":        {map[string]string{"link": "/etc/passwd"}, "absolute"},
		"out_of_the_root": {map[string]string{"link": "../x"}, "out of the tree"},
		"out_from_within": {map[string]string{"a/b/link": "../../../x"}, "out of the tree"},
		"out_through_another": {map[string]string{"a/b/up": "../../t", "a/b/link": "up/../../x"},
			"out of the tree"},
		"git_beside_the_tree": {map[string]string{"link": ".git/../../x"}, "out of the tree"},
		"git_of_a_work_tree":  {map[string]string{"dot": ".git", "hooks": ".git/hooks"}, ""},
		"folder_in_itself":    {map[string]string{"a/up": "..", "a/self": "."}, ""},
		"in_a_circle":         {map[string]string{"link1": "link2", "link2": "link1"}, "circle"},
		"endless":             {map[string]string{"dir/link": strings.Repeat("a/", 2047)}, "too long"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, gittest.Options{})
			w.apply(gittest.Change{Files: map[string]string{"f": "1", "t/g": "1", "a/h": "1"}, Symlinks: c.links})
			a := w.fetch(w.main(), nil)
			if c.word == "" != (a.Notice == "") || !strings.Contains(a.Notice, c.word) {
				t.Errorf("the notice is %q, want %q in it", a.Notice, c.word)
			}
			for _, f := range []string{"f", "t/g", "a/h"} {
				if w.fetcher.files(t, a)[f] != "1" {
					t.Errorf("%s is missing", f)
				}
			}
			for link := range c.links {
				_, err := w.find(a, link)
				if left := err != nil; left != (c.word != "" && strings.Contains(link, "link")) {
					t.Errorf("%s: %v", link, err)
				}
			}
			req := w.main()
			exclude := "link*\n"
			req.Ignore = &exclude
			if a := w.fetch(req, nil); a.Notice != "" {
				t.Errorf("the notice on ignored symlinks is %q", a.Notice)
			}
		})
	}
}

// TestNames has names that no render can use. They are kept as they are and stop nothing.
func TestNames(t *testing.T) {
	w := newWorld(t, gittest.Options{})
	files := map[string]string{"app.yaml": "1", "Icon\r": "2", "caf\xe9/men\xfc.txt": "3", `"quoted"`: "4"}
	w.commit(files)
	a := w.fetch(w.main(), nil)
	w.fetcher.holds(t, a, files)
	if !newFetcher(w.dir).artifacts.Usable(t.Context(), a) {
		t.Error("the artifact is not usable after a restart")
	}
}

// TestSubmodules has a submodule whose address and path would do harm if anybody followed them.
func TestSubmodules(t *testing.T) {
	w := newWorld(t, gittest.Options{})
	modules := "[submodule \"--upload-pack=touch x\"]\n\tpath = ../../outside\n\turl = " + w.server.URL() +
		"/other.git\n\tupdate = !touch x\n"
	hash := w.commit(map[string]string{"a": "1", ".gitmodules": modules})
	w.addEntry("160000", hash, "module")
	before := w.server.Requests()
	everything := "" // not even Git's own files are asked for more than once
	req := w.main()
	req.Ignore = &everything
	w.fetcher.holds(t, w.fetch(req, nil), map[string]string{"a": "1"})
	if n := w.server.Requests() - before; n != 2 {
		t.Errorf("%d requests, want the references and one transfer", n)
	}
}

// addEntry commits an entry of a mode that no file of a work tree has.
func (w *world) addEntry(mode, hash, name string) {
	w.Helper()
	for _, args := range [][]string{
		{"update-index", "--add", "--cacheinfo", mode + "," + hash + "," + name},
		{"commit", "-q", "-m", name}, {"push", "-q", "origin", "HEAD"},
	} {
		if _, err := w.repo.Git(args...); err != nil {
			w.Fatal(err)
		}
	}
}

// TestLFS has a pointer of Git LFS: it is the file, and nothing is asked for what it points to.
func TestLFS(t *testing.T) {
	w := newWorld(t, gittest.Options{})
	pointer := "version https://git-lfs.github.com/spec/v1\noid sha256:" + strings.Repeat("1", 64) + "\nsize 2147483648\n"
	for range 10 { // of the pointer before it
		pointer = fmt.Sprintf("version https://git-lfs.github.com/spec/v1\noid sha256:%x\nsize %d\n",
			sha256.Sum256([]byte(pointer)), len(pointer))
	}
	w.commit(map[string]string{"big.yaml": pointer, ".gitattributes": "*.yaml filter=lfs\n",
		".lfsconfig": "[lfs]\n\turl = " + w.server.URL() + "/lfs\n"})
	before := w.server.Requests()
	a := w.fetch(w.main(), nil)
	if got := w.fetcher.files(t, a)["big.yaml"]; got != pointer {
		t.Errorf("the file is %q", got)
	}
	if n := w.server.Requests() - before; n != 2 {
		t.Errorf("%d requests, want the references and one transfer", n)
	}
}

func TestLimits(t *testing.T) {
	w := newWorld(t, gittest.Options{})
	tree := map[string]string{"big.bin": strings.Repeat("0123456789abcdef", 8<<10)}
	for i := range 40 {
		tree[fmt.Sprint("f", i)] = fmt.Sprint(i)
	}
	w.commit(tree)
	for name, c := range map[string]struct {
		lower func(*git.Limits)
		words []string
	}{
		"one_file":      {func(l *git.Limits) { l.File = 100 << 10 }, []string{"128 KiB", "100 KiB"}},
		"all_files":     {totalLimit, []string{"together", "100 KiB"}},
		"files":         {func(l *git.Limits) { l.Files = 40 }, []string{"41 files", "40"}},
		"entries":       {func(l *git.Limits) { l.Files = 4 }, []string{"40 entries"}},
		"transfer":      {func(l *git.Limits) { l.Pack = 500 }, []string{"transfer", "500 bytes"}},
		"objects":       {func(l *git.Limits) { l.Objects = 10 }, []string{"43 objects", "10"}},
		"inflated":      {func(l *git.Limits) { l.Pack = 8 << 10 }, []string{"inflates", "64 KiB"}},
		"advertisement": {func(l *git.Limits) { l.Advertised = 100 }, []string{"references", "100 bytes"}},
	} {
		t.Run(name, func(t *testing.T) {
			w := &world{T: t, server: w.server, repo: w.repo, fetcher: newFetcher(t.TempDir(), c.lower)}
			w.fails(w.main(), artifact.ErrLimit, c.words...)
		})
	}
	// The way out works, and what is excluded does not count.
	req := w.main()
	exclude := "big.bin"
	req.Ignore = &exclude
	w.fetcher = newFetcher(w.dir, totalLimit)
	w.fetch(req, nil)
}

func totalLimit(l *git.Limits) { l.Total = 100 << 10 }
