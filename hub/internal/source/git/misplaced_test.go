package git_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/navefleet/nave/e2e/gittest"
	"github.com/navefleet/nave/hub/internal/artifact"
)

// misplace puts something else in the place of a file or folder of a cache.
var misplace = map[string]func(w *world, cache string){
	"state": func(w *world, cache string) { w.folder(filepath.Join(cache, "state")) },
	"next":  func(w *world, cache string) { w.folder(filepath.Join(cache, "state.next")) },
	"cache": func(w *world, cache string) { w.file(cache) },
	"link": func(w *world, cache string) {
		w.do(os.RemoveAll(cache))
		w.do(os.Symlink("/none", cache))
	},
	"objects": func(w *world, cache string) { w.file(filepath.Join(cache, "objects")) },
	"packs":   func(w *world, cache string) { w.file(filepath.Join(cache, "objects", "pack")) },
	"object_folders": func(w *world, cache string) {
		for i := range 256 {
			w.file(filepath.Join(cache, "objects", fmt.Sprintf("%02x", i)))
		}
	},
	"object_files": func(w *world, cache string) {
		names, err := filepath.Glob(filepath.Join(cache, "objects", "??", "*"))
		w.do(err)
		for _, name := range names {
			w.folder(name)
		}
	},
	"damaged_objects": func(w *world, cache string) {
		names, err := filepath.Glob(filepath.Join(cache, "objects", "??", "*"))
		w.do(err)
		for _, name := range names {
			w.do(os.Truncate(name, 1))
		}
	},
}

// folder puts a folder with a file in the place of something.
func (w *world) folder(name string) {
	w.Helper()
	w.do(os.RemoveAll(name))
	w.do(os.MkdirAll(filepath.Join(name, "below"), 0o700))
}

// file puts a file in the place of something.
func (w *world) file(name string) {
	w.Helper()
	w.do(os.RemoveAll(name))
	w.do(os.WriteFile(name, nil, 0o600))
}

// TestCache_misplaced has things in the cache that cannot be read or written. They are removed, and the next commit is
// fetched.
func TestCache_misplaced(t *testing.T) {
	for name, spoil := range misplace {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, gittest.Options{})
			w.commit(map[string]string{"a": "1", "d/b": "1"})
			last := w.fetch(w.main(), nil)
			spoil(w, w.caches()[0])
			for _, text := range []string{"2", "3"} {
				w.commit(map[string]string{"a": text})
				last = w.fetch(w.main(), &last)
				w.fetcher.holds(t, last, map[string]string{"a": text, "d/b": "1"})
			}
			if info, err := os.Lstat(filepath.Join(w.caches()[0], "state")); err != nil || !info.Mode().IsRegular() {
				t.Errorf("the cache has no state: %v", err)
			}
		})
	}
}

func (w *world) caches() []string {
	w.Helper()
	found, err := filepath.Glob(filepath.Join(w.dir, "cache", "*"))
	if err != nil || len(found) == 0 {
		w.Fatalf("caches: %v, %v", found, err)
	}
	return found
}

// TestSubmodules_misplaced has such things in the cache of a submodule.
func TestSubmodules_misplaced(t *testing.T) {
	for name, spoil := range misplace {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, gittest.Options{})
			lib, hash := w.repository("lib", map[string]string{"l": "1"})
			link := func(text string) {
				w.commit(map[string]string{"a": text})
				w.link(w.repo, submodule{"lib", "../lib.git", hash})
			}
			link("1")
			req := w.main()
			req.Submodules = true
			last := w.fetch(req, nil)
			main := filepath.Base(filepath.Dir(filepath.Dir(last.Dir)))
			for _, cache := range w.caches() {
				if filepath.Base(cache) != main {
					spoil(w, cache)
				}
			}
			if len(w.caches()) != 2 {
				t.Fatalf("the caches are %v", w.caches())
			}
			link("2") // the submodule is as it was
			last = w.fetch(req, &last)
			w.fetcher.holds(t, last, map[string]string{"a": "2", "lib/l": "1"})
			var err error
			if hash, err = lib.Commit(map[string]string{"l": "2"}, "next"); err != nil {
				t.Fatal(err)
			}
			link("3")
			w.fetcher.holds(t, w.fetch(req, &last), map[string]string{"a": "3", "lib/l": "2"})
		})
	}
}

// TestSubmodules_changed changes submodules and nothing else, and compares each artifact with what another fetcher
// makes.
func TestSubmodules_changed(t *testing.T) {
	w := newWorld(t, gittest.Options{})
	lib, first := w.repository("lib", map[string]string{"l": "1", "d/e": "1"})
	second, err := lib.Commit(map[string]string{"l": "2"}, "second")
	w.do(err)
	_, other := w.repository("other", map[string]string{"l": "1", "d/e": "1"})
	w.commit(map[string]string{"a": "1", "apps/b/c": "1"})
	last := map[bool]*artifact.Artifact{} // by whether submodules are wanted
	for i, links := range [][]submodule{
		{{"lib", "../lib.git", first}},
		{{"lib", "../lib.git", second}}, // its commit
		{{"lib", "../lib.git", first}},  // and back
		{{"lib", "../other.git", other}},
		nil,
		{{"apps/b/lib", "../lib.git", first}},
		{{"apps/lib", "../lib.git", first}, {"apps/b/lib", "../lib.git", second}},
		{{"apps/lib", w.server.URL() + "/lib.git", second}},
	} {
		if w.commit(map[string]string{".gitmodules": ""}); len(links) > 0 {
			w.link(w.repo, links...)
		}
		for _, on := range []bool{true, false} {
			req := w.main()
			req.Submodules = on
			a := w.fetch(req, last[on])
			w.isAsWithoutLast(req, a, fmt.Sprint("links ", i, ", submodules ", on))
			last[on] = &a
		}
	}
}
