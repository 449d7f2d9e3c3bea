package git_test

import (
	"fmt"
	"maps"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/navefleet/nave/e2e/gittest"
	"github.com/navefleet/nave/hub/internal/artifact"
	"github.com/navefleet/nave/hub/internal/dial"
	"github.com/navefleet/nave/hub/internal/source"
)

func TestSparse(t *testing.T) {
	w := newWorld(t, gittest.Options{})
	w.apply(gittest.Change{Files: map[string]string{"root": "1", "app/a": "1", "apps/b": "1", "clusters/prod/c": "1",
		"clusters/test/d": "1", ".sourceignore": "app", "clusters/prod/.sourceignore": "*.txt", "clusters/prod/n.txt": "1"}})
	for name, c := range map[string]struct {
		folders []string
		want    map[string]string
	}{
		"one":     {[]string{"app"}, map[string]string{"app/a": "1"}},
		"written": {[]string{"./app/", "/apps"}, map[string]string{"app/a": "1", "apps/b": "1"}},
		"deep": {[]string{"clusters/prod"},
			map[string]string{"clusters/prod/c": "1", "clusters/prod/.sourceignore": "*.txt"}},
		"file": {[]string{"root"}, map[string]string{"root": "1"}},
	} {
		t.Run(name, func(t *testing.T) {
			req := w.main()
			req.Sparse = c.folders
			w.fetcher.holds(t, w.fetch(req, nil), c.want)
		})
	}
	req := w.main()
	req.Sparse = []string{"app", "ap"}
	w.fails(req, source.ErrRequest, `no folder "ap"`, "spec.sparseCheckout")
	req.Sparse = []string{"app", "."}
	if got := w.fetcher.files(t, w.fetch(req, nil)); got["root"] != "1" || got["app/a"] != "" {
		t.Errorf("the whole tree is %v", got)
	}
}

// submodule is a line of .gitmodules, and the commit that a tree has at its path.
type submodule struct{ path, url, commit string }

// link commits submodules as git has them.
func (w *world) link(repo *gittest.Repository, modules ...submodule) string {
	w.Helper()
	var text strings.Builder
	for _, m := range modules {
		fmt.Fprintf(&text, "[submodule %q]\n\tpath = %s\n\turl = %s\n", m.path, m.path, m.url)
	}
	if _, err := repo.Commit(map[string]string{".gitmodules": text.String()}, "modules"); err != nil {
		w.Fatal(err)
	}
	for _, m := range modules {
		_, err := repo.Git("update-index", "--add", "--cacheinfo", "160000,"+m.commit+","+m.path)
		w.do(err)
	}
	_, err := repo.Git("commit", "-q", "-m", "links")
	w.do(err)
	_, err = repo.Git("push", "-q", "origin", "HEAD")
	w.do(err)
	hash, err := repo.Git("rev-parse", "HEAD")
	w.do(err)
	return hash
}

func (w *world) repository(name string, files map[string]string) (*gittest.Repository, string) {
	w.Helper()
	repo, err := w.server.NewRepository(name)
	w.do(err)
	hash, err := repo.Commit(files, name)
	w.do(err)
	return repo, hash
}

// TestSubmodules_recurse has submodules in submodules, by relative and by absolute URLs, over HTTP and SSH.
func TestSubmodules_recurse(t *testing.T) {
	for _, over := range []string{"http", "ssh"} {
		for _, byHash := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s_by_hash_%t", over, byHash), func(t *testing.T) {
				w := newWorld(t, gittest.Options{Username: "u", Password: "s3cr3t"})
				inner, old := w.repository("inner", map[string]string{"i": "old", "same": "x"})
				middle, _ := w.repository("middle", map[string]string{"m": "1", "same": "x"})
				w.do(inner.Configure("uploadpack.allowReachableSHA1InWant", fmt.Sprint(byHash)))
				_, err := inner.Commit(map[string]string{"i": "new"}, "newer than what is linked")
				w.do(err)
				req := w.main()
				req.Secret = map[string]string{"username": "u", "password": "s3cr3t"}
				base := w.server.URL()
				if over == "ssh" {
					d := startSSH(t, w)
					req.URL, req.Secret = d.URL(w.repo), sshSecret(t, d, nil)
					base = strings.TrimSuffix(req.URL, "/fleet.git")
				}
				linked := w.link(middle, submodule{"deep/inner", "../inner.git", old})
				w.commit(map[string]string{"a": "1"})
				w.link(w.repo, submodule{"lib/middle", base + "/middle.git", linked})
				req.Submodules = true
				want := map[string]string{"a": "1", "lib/middle/m": "1", "lib/middle/same": "x",
					"lib/middle/deep/inner/i": "old", "lib/middle/deep/inner/same": "x"}
				first := w.fetch(req, nil)
				w.fetcher.holds(t, first, want)
				if again := w.fetch(req, &first); again != first {
					t.Errorf("fetched again %+v", again)
				}
				w.commit(map[string]string{"a": "2"}) // which takes the link out
				w.link(w.repo, submodule{"lib/middle", base + "/middle.git", linked})
				want["a"] = "2"
				w.fetcher.holds(t, w.fetch(req, &first), want)
				req.Submodules = false
				w.fetcher.holds(t, w.fetch(req, nil), map[string]string{"a": "2"})
			})
		}
	}
}

// TestSubmodules_hostile has lists that were made to do harm.
func TestSubmodules_hostile(t *testing.T) {
	w := newWorld(t, gittest.Options{})
	hash := w.commit(map[string]string{"a": "1"})
	for name, c := range map[string]struct {
		url  string
		want error
		text string
	}{
		"file":         {"file:///etc", source.ErrRequest, "http, https or ssh"},
		"path":         {"/etc/passwd", source.ErrRequest, "http, https or ssh"},
		"option":       {"--upload-pack=touch x", source.ErrRequest, "http, https or ssh"},
		"ext":          {"ext::sh -c touch% x", source.ErrRequest, "cannot be read"},
		"proxyCommand": {"ssh://-oProxyCommand=touch/x", source.ErrRequest, "host"},
		"above":        {"../../../../etc", source.ErrRequest, "leads out of the server"},
		"dots":         {"../a/../../b", source.ErrRequest, "not a path"},
		"empty":        {"", source.ErrRequest, "http, https or ssh"},
		"metadata":     {"http://169.254.169.254/latest", dial.ErrDenied, "link-local"},
		"scp_like":     {"git@github.example:x/y.git", source.ErrRequest, "ssh://git@github.example/x/y.git"},
		"gone":         {"../gone.git", source.ErrRepositoryNotFound, "/gone.git"},
	} {
		t.Run(name, func(t *testing.T) {
			w := &world{T: t, server: w.server, fetcher: w.fetcher}
			repo, _ := w.repository("hostile-"+name, map[string]string{"a": "1"})
			w.link(repo, submodule{"mod", c.url, hash})
			req := request{URL: repo.URL(), Ref: reference{Branch: "main"}, Submodules: true}
			w.fails(req, c.want, `submodule "mod"`, c.text)
		})
	}
}

// TestSubmodules_paths has lists whose names and paths lead elsewhere: no server is asked, and nothing is written.
func TestSubmodules_paths(t *testing.T) {
	w := newWorld(t, gittest.Options{})
	for name, list := range map[string]string{
		"outside":  "[submodule \"../../x\"]\n\tpath = ../../outside\n\turl = https://192.0.2.1/x\n",
		"absolute": "[submodule \"/etc\"]\n\tpath = /etc\n\turl = https://192.0.2.1/x\n",
		"git":      "[submodule \".git\"]\n\tpath = .git/modules\n\turl = https://192.0.2.1/x\n",
		"inside":   "[submodule \"x\"]\n\tpath = module/../other\n\turl = https://192.0.2.1/x\n",
		"program":  "[submodule \"x\"]\n\tpath = other\n\turl = https://192.0.2.1/x\n\tupdate = !touch x\n",
	} {
		t.Run(name, func(t *testing.T) {
			w := &world{T: t, server: w.server, fetcher: w.fetcher, dir: w.dir}
			repo, hash := w.repository("paths-"+name, map[string]string{"a": "1"})
			w.repo = repo
			w.apply(gittest.Change{Files: map[string]string{".gitmodules": list}})
			w.addEntry("160000", hash, "module")
			w.fetcher.holds(t, w.fetch(request{URL: repo.URL(), Ref: reference{Branch: "main"}, Submodules: true}, nil),
				map[string]string{"a": "1"})
		})
	}
}

// TestSubmodules_loop has a repository that lists itself, one commit back each time, and one with very many.
func TestSubmodules_loop(t *testing.T) {
	w := newWorld(t, gittest.Options{})
	hash := w.commit(map[string]string{"a": "1"})
	for range 12 {
		hash = w.link(w.repo, submodule{"self", "../fleet.git", hash}, submodule{"again", w.repo.URL(), hash})
	}
	req := w.main()
	req.Submodules = true
	w.fails(req, artifact.ErrLimit, "submodule", "8 of them one in the other")

	many, first := w.repository("many", map[string]string{"a": "1"})
	var modules []submodule
	for i := range 65 {
		modules = append(modules, submodule{fmt.Sprint("m", i), many.URL(), first})
	}
	w.link(many, modules...)
	w.fails(request{URL: many.URL(), Ref: reference{Branch: "main"}, Submodules: true}, artifact.ErrLimit,
		"may have 64 submodules")
}

// TestSubmodules_credentials has a submodule at another server, which must see no credentials.
func TestSubmodules_credentials(t *testing.T) {
	var seen atomic.Int64
	other := newWorld(t, gittest.Options{Wrap: func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("Authorization") != "" {
				seen.Add(1)
			}
			next.ServeHTTP(w, r)
		})
	}})
	hash := other.commit(map[string]string{"public": "1"})
	w := newWorld(t, gittest.Options{Username: "u", Password: "s3cr3t"})
	w.commit(map[string]string{"a": "1"})
	w.link(w.repo, submodule{"mod", strings.Replace(other.repo.URL(), "://", "://me:canary@", 1), hash})
	req := w.main()
	req.Submodules, req.Secret = true, map[string]string{"username": "u", "password": "s3cr3t"}
	w.fetcher.holds(t, w.fetch(req, nil), map[string]string{"a": "1", "mod/public": "1"})
	if seen.Load() != 0 {
		t.Error("the other server saw credentials")
	}
}

// TestSubmodules_unlisted has a link that .gitmodules does not list: git leaves it alone, too.
func TestSubmodules_unlisted(t *testing.T) {
	w := newWorld(t, gittest.Options{})
	hash := w.commit(map[string]string{"a": "1"})
	w.addEntry("160000", hash, "module")
	req := w.main()
	req.Submodules = true
	w.fetcher.holds(t, w.fetch(req, nil), map[string]string{"a": "1"})
}

// TestSubmodules_ignored has submodules at a server that must not be asked: they lie in ignored folders.
func TestSubmodules_ignored(t *testing.T) {
	for name, c := range map[string]struct {
		files  map[string]string
		ignore string // of the spec, if not empty
		asked  bool
	}{
		"spec":             {nil, "vendor/", false},
		"spec_all_but_one": {nil, "/*\n!/a", false},
		"sourceignore":     {map[string]string{".sourceignore": "/vendor\n"}, "", false},
		"deep":             {map[string]string{"vendor/.sourceignore": "*\n"}, "", false},
		"kept_by_spec":     {map[string]string{".sourceignore": "vendor\n"}, "!/vendor/lib/", true},
		"kept_below":       {nil, "/*\n!/vendor/lib/public", true},
		"kept_by_name":     {nil, "/vendor\n!*.yaml", true},
		"not_ignored":      {nil, "/vendors", true},
	} {
		t.Run(name, func(t *testing.T) {
			other := newWorld(t, gittest.Options{})
			hash := other.commit(map[string]string{"public": "1"})
			before := other.server.Requests()
			w := newWorld(t, gittest.Options{})
			files := maps.Clone(c.files)
			if files == nil {
				files = map[string]string{}
			}
			files["a"] = "1"
			w.commit(files)
			w.link(w.repo, submodule{"vendor/lib", other.repo.URL(), hash})
			req := w.main()
			req.Submodules = true
			if c.ignore != "" {
				req.Ignore = &c.ignore
			}
			w.fetch(req, nil)
			if asked := other.server.Requests() != before; asked != c.asked {
				t.Errorf("the server of the submodule was asked: %t", asked)
			}
		})
	}
	t.Run("by_default", func(t *testing.T) {
		w := newWorld(t, gittest.Options{})
		hash := w.commit(map[string]string{"a": "1"})
		w.link(w.repo, submodule{".github/actions", "https://192.0.2.1/unreachable", hash})
		req := w.main()
		req.Submodules = true
		w.fetcher.holds(t, w.fetch(req, nil), map[string]string{"a": "1"})
	})
}
