package git_test

import (
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/navefleet/nave/e2e/gittest"
	"github.com/navefleet/nave/hub/internal/artifact"
	"github.com/navefleet/nave/hub/internal/source"
)

// TestVersion_no_commit has tags in the range of which the newest is one of a file, and of a tree.
func TestVersion_no_commit(t *testing.T) {
	for _, what := range []string{"blob", "tree"} {
		t.Run(what, func(t *testing.T) {
			w := newWorld(t, gittest.Options{})
			w.commit(map[string]string{"a": "1"})
			w.do(w.repo.Tag("v1.0.0"))
			object := map[string]string{"blob": "HEAD:a", "tree": "HEAD^{tree}"}[what]
			for _, args := range [][]string{{"tag", "v2.0.0", object}, {"push", "-q", "origin", "refs/tags/v2.0.0"}} {
				_, err := w.repo.Git(args...)
				w.do(err)
			}
			w.fails(request{URL: w.repo.URL(), Ref: reference{SemVer: ">=1"}}, source.ErrReferenceNotFound,
				`"v2.0.0"`, "leads to a "+what+", not to a commit")
			w.fetch(request{URL: w.repo.URL(), Ref: reference{SemVer: "<2"}}, nil)
		})
	}
}

// TestReference_precedence sets every field and takes away the one that counts, one after the other.
func TestReference_precedence(t *testing.T) {
	w := newWorld(t, gittest.Options{})
	want := map[string]string{}
	step := func(name string, mark func() error) {
		want[name] = w.commit(map[string]string{"a": name})
		w.do(mark())
	}
	step("tag", func() error { return w.repo.Tag("nightly") })
	step("semver", func() error { return w.repo.AnnotatedTag("v1.2.3", "release") })
	step("name", func() error {
		_, err := w.repo.Git("push", "-q", "origin", "HEAD:refs/pull/420/head")
		return err
	})
	step("branch", func() error { return nil })
	want["commit"] = want["tag"]
	ref := reference{Commit: want["commit"], Name: "refs/pull/420/head", SemVer: ">=1", Tag: "nightly"}
	for _, c := range []struct {
		name, label string
		drop        func()
	}{
		{"commit", "", func() { ref.Commit = "" }},
		{"name", "refs/pull/420/head@", func() { ref.Name = "" }},
		{"semver", "v1.2.3@", func() { ref.SemVer = "" }},
		{"tag", "nightly@", func() { ref.Tag = "" }},
		{"branch", "main@", func() {}},
	} {
		if c.name == "branch" {
			ref.Branch = "main"
		}
		got := w.fetch(request{URL: w.repo.URL(), Ref: ref}, nil).Revision
		if got != c.label+"sha1:"+want[c.name] {
			t.Errorf("%s: got %s, want %ssha1:%s", c.name, got, c.label, want[c.name])
		}
		c.drop()
	}
}

func TestSHA256(t *testing.T) {
	w := newWorld(t, gittest.Options{})
	bare, work := filepath.Join(w.server.Dir(), "new.git"), t.TempDir()
	for _, args := range [][]string{
		{"init", "-q", "--bare", "--object-format=sha256", "-b", "main", bare},
		{"init", "-q", "--object-format=sha256", "-b", "main"},
		{"-c", "user.name=x", "-c", "user.email=x@example.com", "commit", "-q", "--allow-empty", "-m", "x"},
		{"push", "-q", bare, "main"},
	} {
		cmd := exec.Command("git", args...)
		cmd.Dir, cmd.Env = work, append(os.Environ(), "GIT_CONFIG_GLOBAL="+os.DevNull)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("git %v: %v: %s", args, err, out)
		}
	}
	w.fails(request{URL: w.server.URL() + "/new.git", Ref: reference{Branch: "main"}}, source.ErrRequest,
		"names its objects by SHA-256, which is not supported")
}

func TestHTTP_dumb(t *testing.T) {
	w := newWorld(t, gittest.Options{})
	w.commit(map[string]string{"a": "1"})
	if out, err := exec.Command("git", "-C", w.repo.Dir(), "update-server-info").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	server := httptest.NewServer(http.FileServer(http.Dir(w.server.Dir())))
	defer server.Close()
	w.fails(request{URL: server.URL + "/fleet.git", Ref: reference{Branch: "main"}}, source.ErrProtocol, "dumb HTTP",
		"git http-backend")
}

// TestNames_refused has a name that no honest tree holds: it stops nothing where it is ignored.
func TestNames_refused(t *testing.T) {
	w := newWorld(t, gittest.Options{})
	hash := w.commit(map[string]string{"a": "1", "docs/b": "1"})
	blob, err := w.repo.Git("rev-parse", hash+":a")
	w.do(err)
	for _, args := range [][]string{
		{"-c", "core.protectNTFS=false", "update-index", "--add", "--cacheinfo", "100644," + blob + ",docs/git~1"},
		{"commit", "-q", "-m", "hostile"}, {"push", "-q", "origin", "HEAD"},
	} {
		_, err := w.repo.Git(args...)
		w.do(err)
	}
	w.fails(w.main(), artifact.ErrTree, `"git~1"`, ".sourceignore")
	req := w.main()
	ignore := "/docs\n"
	req.Ignore = &ignore
	w.fetcher.holds(t, w.fetch(req, nil), map[string]string{"a": "1"})
}
