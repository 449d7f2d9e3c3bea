package git_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/navefleet/nave/e2e/gittest"
	"github.com/navefleet/nave/hub/internal/artifact"
)

// tree is the tree of the first commit of TestFetch_shared.
var tree = gittest.Change{
	Files: map[string]string{"apps/a/x.yaml": "1", "apps/a/pic.png": "1", "apps/b/deep/y.yaml": "1", "apps/b/z.yaml": "1",
		"infra/c.yaml": "1", "infra/d/e.yaml": "1", "media/only.png": "1", "top.yaml": "1"},
	Symlinks: map[string]string{"infra/link": "d", "infra/out": "../../.."},
}

// TestFetch_shared compares what a fetch makes of the last artifact with what it makes without one, after changes that
// have a meaning for folders that they are not in.
func TestFetch_shared(t *testing.T) {
	files := func(pairs ...string) gittest.Change {
		c := gittest.Change{Files: map[string]string{}}
		for i := 0; i < len(pairs); i += 2 {
			c.Files[pairs[i]] = pairs[i+1]
		}
		return c
	}
	noImages := "*.png\n"
	for name, c := range map[string]struct {
		changes []gittest.Change
		ignore  *string
		sparse  []string
	}{
		"one_file":             {changes: []gittest.Change{files("apps/b/deep/y.yaml", "2"), files("top.yaml", "2")}},
		"new_folder":           {changes: []gittest.Change{files("apps/n/n.yaml", "1"), files("apps/n/n.yaml", "2")}},
		"folder_gone":          {changes: []gittest.Change{{Remove: []string{"apps/b/deep/y.yaml"}}, files("a", "1")}},
		"file_becomes_folder":  {changes: []gittest.Change{{Remove: []string{"top.yaml"}}, files("top.yaml/x", "1")}},
		"ignored_file":         {changes: []gittest.Change{files("media/only.png", "2"), files("top.yaml", "2")}},
		"and_back":             {changes: []gittest.Change{files("apps/a/x.yaml", "2"), files("apps/a/x.yaml", "1")}},
		"ignore_file":          {changes: []gittest.Change{files(".sourceignore", "apps/b\n"), files(".sourceignore", "# no\n")}},
		"ignore_file_beside":   {changes: []gittest.Change{files("infra/.sourceignore", "x\n"), files("apps/a/x.yaml", "2")}},
		"ignore_file_gone":     {changes: []gittest.Change{files("infra/.sourceignore", "x"), {Remove: []string{"infra/.sourceignore"}}}},
		"ignore_file_is_older": {changes: []gittest.Change{files("apps/.sourceignore", "*.md"), files("infra/n.png", "1", "apps/n.md", "")}},
		"ignores_itself":       {changes: []gittest.Change{files("media/.sourceignore", "*"), files("media/n", "1"), files("apps/n.png", "1")}},
		"spec_ignore":          {changes: []gittest.Change{files("apps/a/new.png", "1"), files("apps/a/new.md", "1")}, ignore: &noImages},
		"link":                 {changes: []gittest.Change{{Symlinks: map[string]string{"apps/l": "../infra/link/e.yaml"}}, files("a", "1")}},
		"link_leads_out_now": {changes: []gittest.Change{
			{Symlinks: map[string]string{"apps/a/l": "../b/up/x"}}, {Symlinks: map[string]string{"apps/b/up": "../../.."}}}},
		"two_links_lead_out": {changes: []gittest.Change{{Symlinks: map[string]string{"out": "/etc"}}, files("apps/a/x.yaml", "2")}},
		"sparse":             {changes: []gittest.Change{files("apps/a/x.yaml", "2"), files("infra/c.yaml", "2")}, sparse: []string{"apps"}},
		"sparse_inside":      {changes: []gittest.Change{files("apps/a/x.yaml", "2")}, sparse: []string{"apps/b/deep", "infra/d"}},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, gittest.Options{})
			w.apply(tree)
			req := w.main()
			req.Ignore, req.Sparse = c.ignore, c.sparse
			last := w.fetch(req, nil)
			for i, change := range c.changes {
				w.apply(change)
				got := w.fetch(req, &last)
				w.isAsWithoutLast(req, got, fmt.Sprint("change ", i))
				last = got
			}
		})
	}
}

// isAsWithoutLast compares an artifact with what another fetcher makes of the same commit.
func (w *world) isAsWithoutLast(req request, got artifact.Artifact, what string) {
	w.Helper()
	other := newFetcher(w.TempDir())
	want, err := other.Fetch(w.Context(), req, nil)
	w.do(err)
	if got.Digest != want.Digest || got.Revision != want.Revision || got.Notice != want.Notice {
		w.Errorf("%s: got %+v with %v, want %+v with %v", what, got, w.fetcher.files(w.T, got), want, other.files(w.T, want))
	}
	w.do(artifact.Verify(w.Context(), w.fetcher.artifacts.Path(got), got.Digest))
}

// TestFetch_rules changes what the artifact depends on beside the commit: nothing is shared then.
func TestFetch_rules(t *testing.T) {
	w := newWorld(t, gittest.Options{})
	w.apply(tree)
	last := w.fetch(w.main(), nil)
	w.commit(map[string]string{"top.yaml": "2"})
	req := w.main()
	rules := "*.md\n" // so images are not excluded any more
	req.Ignore = &rules
	w.isAsWithoutLast(req, w.fetch(req, &last), "other rules")
	req = w.main()
	req.Sparse = []string{"infra"}
	w.isAsWithoutLast(req, w.fetch(req, &last), "another folder")
	w.do(os.RemoveAll(filepath.Join(w.dir, "cache")))
	w.isAsWithoutLast(w.main(), w.fetch(w.main(), &last), "without the cache")
}

// TestFetch_damaged has folders of the last artifact that are gone, although this process knows it to be whole.
func TestFetch_damaged(t *testing.T) {
	w := newWorld(t, gittest.Options{})
	w.apply(tree)
	last := w.fetch(w.main(), nil)
	records, err := filepath.Glob(filepath.Join(w.dir, "artifacts", "*", "folders", "*"))
	w.do(err)
	for _, r := range records {
		w.do(os.Chmod(r, 0o600))
		w.do(os.Truncate(r, 1))
	}
	w.commit(map[string]string{"top.yaml": "2"})
	a := w.fetch(w.main(), &last)
	if a.Revision == last.Revision {
		t.Errorf("got %+v", a)
	}
}

// TestFetch_full finds the disk full in the middle of a fetch. The cache gives its room back.
func TestFetch_full(t *testing.T) {
	w := newWorld(t, gittest.Options{})
	w.apply(tree)
	last := w.fetch(w.main(), nil)
	caches, err := filepath.Glob(filepath.Join(w.dir, "cache", "*"))
	w.do(err)
	w.do(os.Symlink("/dev/full", filepath.Join(caches[0], "state.next")))
	w.commit(map[string]string{"top.yaml": "2"})
	_, err = w.fetcher.Fetch(t.Context(), w.main(), &last)
	if !errors.Is(err, artifact.ErrStorage) || !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("got %v, want a full disk", err)
	}
	if left, err := os.ReadDir(caches[0]); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the cache has %d entries: %v", len(left), err)
	}
	w.isAsWithoutLast(w.main(), w.fetch(w.main(), &last), "after a full disk")
}

// TestFetch_reads changes a file at the root after the cache has lost all but the tree of the root. So nothing else is
// read: otherwise the cache would be filled again, which takes more requests.
func TestFetch_reads(t *testing.T) {
	w := newWorld(t, gittest.Options{})
	w.commit(tree.Files)
	last := w.fetch(w.main(), nil)
	root, err := w.repo.Git("rev-parse", "HEAD^{tree}")
	w.do(err)
	objects, err := filepath.Glob(filepath.Join(w.dir, "cache", "*", "objects", "??", "*"))
	w.do(err)
	for _, o := range objects {
		if filepath.Base(filepath.Dir(o))+filepath.Base(o) != strings.TrimSpace(root) {
			w.do(os.Remove(o))
		}
	}
	w.commit(map[string]string{"top.yaml": "2"})
	before := w.server.Requests()
	a := w.fetch(w.main(), &last)
	if n := w.server.Requests() - before; n != 2 || len(objects) < 10 {
		t.Errorf("%d requests, want 2; the cache had %d objects", n, len(objects))
	}
	w.isAsWithoutLast(w.main(), a, "a file at the root")
}

// TestFetch_random makes random commits, and fetches them with and without the last artifact.
func TestFetch_random(t *testing.T) {
	w := newWorld(t, gittest.Options{})
	w.apply(tree)
	last := w.fetch(w.main(), nil)
	random := rand.New(rand.NewPCG(1, 7))
	for i := range 25 {
		c := gittest.Change{Files: map[string]string{}}
		for range 1 + random.IntN(3) {
			name := fmt.Sprintf("d%d/e%d/f%d", random.IntN(3), random.IntN(3), random.IntN(3))
			c.Files[name] = fmt.Sprint(random.IntN(3))
		}
		switch random.IntN(6) {
		case 0:
			c.Files[fmt.Sprintf("d%d/.sourceignore", random.IntN(3))] = fmt.Sprintf("f%d\n", random.IntN(3))
		case 1:
			c.Symlinks = map[string]string{fmt.Sprintf("d%d/l", random.IntN(3)): fmt.Sprintf("../d%d/l", random.IntN(4))}
		}
		c.Files["count"] = fmt.Sprint(i)
		w.apply(c)
		last = w.fetch(w.main(), &last)
		w.isAsWithoutLast(w.main(), last, fmt.Sprint("commit ", i))
	}
}
