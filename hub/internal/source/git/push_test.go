package git_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/navefleet/nave/e2e/gittest"
	"github.com/navefleet/nave/hub/internal/artifact"
	"github.com/navefleet/nave/hub/internal/source"
	"github.com/navefleet/nave/hub/internal/source/git"
)

var robot = git.Identity{Name: "Robot", Email: "robot@example.com"}

func newCommit(message string) git.NewCommit {
	return git.NewCommit{Author: robot, Time: time.Unix(1_800_000_000, 0), Message: message}
}

// edit calls do with an Editor of a repository, as the hub does.
func (w *world) edit(req request, at git.Checkout, do func(context.Context, *git.Editor) error) error {
	w.Helper()
	var found error
	_, _ = w.fetcher.make(w.Context(), req, nil, func(ctx context.Context, r source.Request) (artifact.Artifact, error) {
		if found = w.fetcher.Edit(ctx, r, at, do); found != nil {
			found = source.Explain(found, req.URL, r.Secrets)
		}
		return artifact.Artifact{}, found // there is none
	})
	return found
}

// push changes files on top of main and pushes that to a branch.
func (w *world) push(req request, files map[string]string, p git.Push) (string, error) {
	w.Helper()
	var made git.Commit
	err := w.edit(req, git.Checkout{}, func(ctx context.Context, e *git.Editor) (err error) {
		if made, err = e.Commit(ctx, contents(files), newCommit("change")); err != nil {
			return err
		}
		p.Commit = made
		if p.Targets == nil {
			p.Targets = []git.Target{{Reference: "refs/heads/main", Old: e.Head.ID}}
		}
		return e.Push(ctx, p)
	})
	return made.ID, err
}

func contents(files map[string]string) map[string][]byte {
	found := map[string][]byte{}
	for name, text := range files {
		found[name] = []byte(text)
	}
	return found
}

// served runs git in the served repository.
func (w *world) served(args ...string) string {
	w.Helper()
	out, err := exec.Command("git", append([]string{"-C", w.repo.Dir()}, args...)...).CombinedOutput()
	if err != nil {
		w.Fatalf("git %s: %v: %s", args, err, out)
	}
	return strings.TrimSpace(string(out))
}

// rejected wants an error with these words.
func rejected(t *testing.T, err, want error, words ...string) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Fatalf("got %v, want %v", err, want)
	}
	for _, s := range words {
		if !strings.Contains(err.Error(), s) {
			t.Errorf("the message %q does not say %q", err, s)
		}
	}
}

// TestPush pushes over HTTP and over ssh to a repository with history, of which the cache has one commit.
func TestPush(t *testing.T) {
	w := newWorld(t, gittest.Options{Push: true})
	w.commit(map[string]string{"a/b/c.yaml": "0"})
	d := startSSH(t, w)
	for name, req := range map[string]request{
		"http": w.main(),
		"ssh":  {URL: d.URL(w.repo), Ref: reference{Branch: "main"}, Secret: sshSecret(t, d, nil)},
	} {
		t.Run(name, func(t *testing.T) {
			w.do(w.repo.Sync())
			before := w.commit(map[string]string{"a/b/c.yaml": "1", "a/x": name})
			made, err := w.push(req, map[string]string{"a/b/c.yaml": "2\n"}, git.Push{})
			w.do(err)
			if w.served("rev-parse", "main") != made || w.served("rev-parse", "main^") != before {
				t.Errorf("main is at %s", w.served("log", "main"))
			}
			changed := w.served("diff", "--name-status", before, made)
			if changed != "M\ta/b/c.yaml" || w.served("show", made+":a/b/c.yaml") != "2" {
				t.Error(w.served("show", made))
			}
			want := "Robot <robot@example.com> 1800000000 Robot <robot@example.com> 1800000000 change"
			if got := w.served("log", "-1", "--format=%an <%ae> %at %cn <%ce> %ct %B", made); got != want {
				t.Errorf("the commit is %q", got)
			}
			w.served("fsck", "--strict")
			if a := w.fetch(req, nil); a.Revision != "main@sha1:"+made {
				t.Errorf("fetched %s", a.Revision)
			}
		})
	}
}

// TestPush_equal makes equal files and equal folders, which the pack must have once: the server checks that.
func TestPush_equal(t *testing.T) {
	w := newWorld(t, gittest.Options{Push: true})
	w.served("config", "receive.fsckObjects", "true")
	w.commit(map[string]string{"a/x.yaml": "1", "b/x.yaml": "2", "x.yaml": "3"})
	for _, unpackLimit := range []string{"1", "100"} { // git index-pack, git unpack-objects
		w.served("config", "receive.unpackLimit", unpackLimit)
		files := map[string]string{"a/x.yaml": unpackLimit, "b/x.yaml": unpackLimit, "x.yaml": unpackLimit}
		made, err := w.push(w.main(), files, git.Push{})
		w.do(err)
		if w.served("rev-parse", "main") != made {
			t.Errorf("main is at %s", w.served("log", "main"))
		}
	}
}

// TestPush_untouched has entries of every kind, with names that other tools would change.
func TestPush_untouched(t *testing.T) {
	w := newWorld(t, gittest.Options{Push: true})
	w.do(os.MkdirAll(filepath.Join(w.repo.WorkTree(), "d"), 0o755))
	odd := "d/na\tme \"\xff\xc3"
	before := w.apply(gittest.Change{
		Files:      map[string]string{odd: "odd", "d/a.yaml": "1\r\n", "d/run": "x", "d.yaml": "y", "d0": "z"},
		Symlinks:   map[string]string{"d/link": "nowhere"},
		Executable: []string{"d/run", "d/a.yaml"},
	})
	_, err := w.repo.Git("update-index", "--add", "--cacheinfo", "160000,"+before+",d/module")
	w.do(err)
	_, err = w.repo.Git("commit", "-q", "-m", "a submodule")
	w.do(err)
	_, err = w.repo.Git("push", "-q", "origin", "HEAD")
	w.do(err)
	lines := strings.Split(w.served("ls-tree", "-r", "-t", "main"), "\n")
	made, err := w.push(w.main(), map[string]string{"d/a.yaml": "2\r\n"}, git.Push{})
	w.do(err)
	now := strings.Split(w.served("ls-tree", "-r", "-t", made), "\n")
	for i, line := range lines {
		_, name, _ := strings.Cut(line, "\t")
		if same := now[i] == line; same != (name != "d/a.yaml" && name != "d") {
			t.Errorf("%q became %q", line, now[i])
		}
		if strings.Fields(line)[0] != strings.Fields(now[i])[0] {
			t.Errorf("%q has another mode: %q", line, now[i])
		}
	}
	if w.served("cat-file", "blob", made+":d/a.yaml") != "2" {
		t.Error("the file has not changed")
	}
}

// TestPush_many changes every file of a large folder and of folders in it.
func TestPush_many(t *testing.T) {
	w := newWorld(t, gittest.Options{Push: true})
	w.served("config", "receive.fsckObjects", "true")
	before, after := map[string]string{"stays": "1"}, map[string]string{}
	for i := range 500 {
		for _, name := range []string{fmt.Sprintf("d/%d.yaml", i), fmt.Sprintf("d/%d/a.yaml", i%7)} {
			before[name], after[name] = "1", fmt.Sprint("now ", name)
		}
	}
	w.commit(before)
	made, err := w.push(w.main(), after, git.Push{})
	w.do(err)
	if n := len(strings.Fields(w.served("diff-tree", "-r", "--name-only", made+"^", made))); n != len(after) {
		t.Errorf("%d files are changed, want %d", n, len(after))
	}
	for _, name := range []string{"d/0.yaml", "d/499.yaml", "d/6/a.yaml"} {
		if got := w.served("cat-file", "blob", made+":"+name); got != after[name] {
			t.Errorf("%s is %q", name, got)
		}
	}
}

// TestPush_missing changes what is not there, or is no file.
func TestPush_missing(t *testing.T) {
	w := newWorld(t, gittest.Options{Push: true})
	w.apply(gittest.Change{Files: map[string]string{"d/a": "1"}, Symlinks: map[string]string{"link": "d/a"}})
	for name, missing := range map[string]string{
		"x": "x", "d": "d", "d/b": "d/b", "e/a": "e", "d/a/b": "d/a", "link": "link",
	} {
		_, err := w.push(w.main(), map[string]string{name: "2"}, git.Push{})
		rejected(t, err, artifact.ErrTree, "the commit has no "+missing+" that can be changed")
	}
}

// TestEdit_waits has two Editors of one repository: the second reads the references when the first has done its work,
// and not before.
func TestEdit_waits(t *testing.T) {
	var read atomic.Int64
	w := newWorld(t, gittest.Options{Push: true, Wrap: func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			if strings.HasSuffix(r.URL.Path, "/info/refs") {
				read.Add(1)
			}
			next.ServeHTTP(rw, r)
		})
	}})
	w.commit(map[string]string{"a": "1"})
	w.do(w.edit(w.main(), git.Checkout{}, func(ctx context.Context, _ *git.Editor) error {
		ctx, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		_, _ = w.fetcher.make(ctx, w.main(), nil, func(ctx context.Context, r source.Request) (artifact.Artifact, error) {
			return artifact.Artifact{}, w.fetcher.Edit(ctx, r, git.Checkout{}, func(context.Context, *git.Editor) error {
				t.Error("two Editors at once")
				return nil
			})
		})
		return nil
	}))
	if n := read.Load(); n != 1 {
		t.Errorf("the references were read %d times", n)
	}
}

// TestPush_moved has somebody else push between the checkout and the push: their commit stays.
func TestPush_moved(t *testing.T) {
	w := newWorld(t, gittest.Options{Push: true})
	w.commit(map[string]string{"a": "1"})
	var theirs string
	err := w.edit(w.main(), git.Checkout{}, func(ctx context.Context, e *git.Editor) error {
		made, err := e.Commit(ctx, contents(map[string]string{"a": "2"}), newCommit("change"))
		w.do(err)
		theirs = w.commit(map[string]string{"b": "theirs"})
		targets := []git.Target{{Reference: "refs/heads/main", Old: e.Head.ID}}
		return e.Push(ctx, git.Push{Commit: made, Targets: targets})
	})
	rejected(t, err, source.ErrMoved, "refs/heads/main", theirs)
	if w.served("rev-parse", "main") != theirs {
		t.Error("the commit of somebody else is lost")
	}
}

// TestPush_branch replaces a branch that is where it was read, and sets two references at once.
func TestPush_branch(t *testing.T) {
	w := newWorld(t, gittest.Options{Push: true})
	w.commit(map[string]string{"a": "1"})
	at := git.Checkout{References: []string{"refs/heads/updates"}}
	for _, text := range []string{"2", "3"} {
		err := w.edit(w.main(), at, func(ctx context.Context, e *git.Editor) error {
			made, err := e.Commit(ctx, contents(map[string]string{"a": text}), newCommit("change"))
			w.do(err)
			old := ""
			if at, exists := e.References["refs/heads/updates"]; exists {
				old = at.ID
				if at.Committer != robot.String() || at.Tree == made.Tree {
					t.Errorf("the branch is at %+v", at)
				}
			}
			return e.Push(ctx, git.Push{Commit: made, Targets: []git.Target{
				{Reference: "refs/heads/updates", Old: old}, {Reference: "refs/for/main/" + text},
			}})
		})
		w.do(err)
		if w.served("show", "updates:a") != text || w.served("show", "refs/for/main/"+text+":a") != text ||
			w.served("rev-parse", "updates^") != w.served("rev-parse", "main") {
			t.Error(w.served("log", "--all", "--graph"))
		}
	}
}

// hook writes a hook of the served repository.
func (w *world) hook(name, script string) {
	w.Helper()
	w.do(os.WriteFile(filepath.Join(w.repo.Dir(), "hooks", name), []byte("#!/bin/sh\n"+script), 0o755))
}

func TestPush_rejected(t *testing.T) {
	for name, c := range map[string]struct {
		prepare func(w *world)
		push    git.Push
		want    error
		words   []string
	}{
		"hook": {func(w *world) { w.hook("pre-receive", "echo only on Sundays >&2; exit 1") }, git.Push{},
			source.ErrRejected, []string{"pre-receive hook declined", "only on Sundays", "a hook of the server"}},
		"protected": {func(w *world) {
			w.hook("update", "echo error: GH006: Protected branch update failed >&2; exit 1")
		}, git.Push{}, source.ErrRejected, []string{"refs/heads/main", "GH006", "let these credentials push"}},
		"objects": {func(w *world) { w.do(w.repo.Configure("receive.maxInputSize", "10")) }, git.Push{},
			source.ErrRejected, []string{"the objects", "unpack"}},
		"forbidden": {func(w *world) { w.do(w.repo.Configure("http.receivepack", "false")) }, git.Push{},
			source.ErrAuthentication, []string{"may not push to this repository"}},
		"options": {func(*world) {}, git.Push{Options: map[string]string{"ci.skip": ""}}, source.ErrRejected,
			[]string{"takes no push options", "receive.advertisePushOptions"}},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, gittest.Options{Push: true})
			before := w.commit(map[string]string{"a": "1"})
			c.prepare(w)
			_, err := w.push(w.main(), map[string]string{"a": "2"}, c.push)
			rejected(t, err, c.want, c.words...)
			if w.served("rev-parse", "main") != before {
				t.Error("main has moved")
			}
		})
	}
}

func TestPush_options(t *testing.T) {
	w := newWorld(t, gittest.Options{Push: true})
	w.commit(map[string]string{"a": "1"})
	w.do(w.repo.Configure("receive.advertisePushOptions", "true"))
	w.hook("post-receive", `echo "$GIT_PUSH_OPTION_COUNT $GIT_PUSH_OPTION_0 $GIT_PUSH_OPTION_1" > options`)
	_, err := w.push(w.main(), map[string]string{"a": "2"},
		git.Push{Options: map[string]string{"merge_request.target": "x=", "ci.skip": ""}})
	w.do(err)
	got, err := os.ReadFile(filepath.Join(w.repo.Dir(), "options"))
	if err != nil || string(got) != "2 ci.skip merge_request.target=x=\n" {
		t.Errorf("options %q, %v", got, err)
	}
}

// TestPush_lost loses the answer to a push that arrived, and a push that did not.
func TestPush_lost(t *testing.T) {
	var arrives, loses atomic.Bool
	w := newWorld(t, gittest.Options{Push: true, Wrap: func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodPost && strings.HasSuffix(r.URL.Path, "/git-receive-pack") && loses.Load() {
				if arrives.Load() {
					next.ServeHTTP(&nowhere{}, r)
				}
				panic(http.ErrAbortHandler)
			}
			next.ServeHTTP(rw, r)
		})
	}})
	before := w.commit(map[string]string{"a": "1"})
	loses.Store(true)
	_, err := w.push(w.main(), map[string]string{"a": "2"}, git.Push{})
	rejected(t, err, source.ErrUnreachable)
	if w.served("rev-parse", "main") != before {
		t.Error("main has moved")
	}
	arrives.Store(true)
	made, err := w.push(w.main(), map[string]string{"a": "2"}, git.Push{})
	if err != nil || w.served("rev-parse", "main") != made {
		t.Errorf("the push arrived: %v", err)
	}
}

// nowhere drops an answer.
type nowhere struct{ header http.Header }

func (n *nowhere) Header() http.Header {
	if n.header == nil {
		n.header = http.Header{}
	}
	return n.header
}
func (*nowhere) Write(p []byte) (int, error) { return len(p), nil }
func (*nowhere) WriteHeader(int)             {}

// TestPush_read_only has an ssh server that lets a key read only, in the words of GitHub.
func TestPush_read_only(t *testing.T) {
	w := newWorld(t, gittest.Options{Push: true})
	w.commit(map[string]string{"a": "1"})
	d, err := w.server.StartReadOnlySSH()
	w.do(err)
	t.Cleanup(func() { _ = d.Close() })
	req := request{URL: d.URL(w.repo), Ref: reference{Branch: "main"}, Secret: sshSecret(t, d, nil)}
	_, err = w.push(req, map[string]string{"a": "2"}, git.Push{})
	rejected(t, err, source.ErrAuthentication, "marked as read only", "may not do that")
}
