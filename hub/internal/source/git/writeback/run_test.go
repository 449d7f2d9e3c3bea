package writeback_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/navefleet/nave/e2e/gittest"
	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/artifact"
	"github.com/navefleet/nave/hub/internal/dial"
	"github.com/navefleet/nave/hub/internal/source"
	"github.com/navefleet/nave/hub/internal/source/git"
	"github.com/navefleet/nave/hub/internal/source/git/writeback"
)

// world is a server with one repository, and an automation.
type world struct {
	*testing.T
	repo      *gittest.Repository
	artifacts *artifact.Store
	fetcher   writeback.Fetcher
	spec      map[string]any
	policies  map[string]string // images, by the names of the policies
	secrets   map[string]source.Secret
	last      *artifact.Artifact
	name      string   // of the automation
	cluster   string   // likewise
	others    []string // policies that it does not select
}

func newWorld(t *testing.T, o gittest.Options) *world {
	t.Helper()
	o.Push = true
	server, err := gittest.Start(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Close() })
	repo, err := server.NewRepository("org/fleet")
	if err != nil {
		t.Fatal(err)
	}
	return &world{
		T: t, repo: repo, artifacts: artifact.New(t.TempDir()), name: "auto", policies: map[string]string{},
		spec: map[string]any{
			"interval": "1m", "sourceRef": map[string]any{"kind": "GitRepository", "name": "fleet"},
			"git": map[string]any{"commit": map[string]any{
				"author": map[string]any{"name": "Robot", "email": "robot@example.com"}}},
		},
		secrets: map[string]source.Secret{},
	}
}

// set sets a field of spec.git.
func (w *world) set(name string, value any) { w.spec["git"].(map[string]any)[name] = value }

// setCommit sets a field of spec.git.commit.
func (w *world) setCommit(name string, value any) {
	w.spec["git"].(map[string]any)["commit"].(map[string]any)[name] = value
}

func (w *world) object(kind, name string, spec map[string]any) *api.Object {
	w.Helper()
	text, err := json.Marshal(map[string]any{"kind": kind, "metadata": map[string]any{"namespace": "shop", "name": name},
		"spec": spec})
	w.do(err)
	return api.StoredObject(api.Key{Kind: kind, Namespace: "shop", Name: name}, text)
}

// run carries out a run.
func (w *world) run() (artifact.Artifact, error) {
	w.Helper()
	a, err := w.ask(source.Request{})
	if u, ok := errors.AsType[*artifact.Unfinished](err); ok {
		a = u.Artifact
	}
	if a.Dir != "" {
		w.last = &a
	}
	return a, err
}

// preview returns what a run would push.
func (w *world) preview() (source.Preview, error) {
	w.Helper()
	a, err := w.ask(source.Request{Preview: true})
	if err != nil {
		return source.Preview{}, err
	}
	return source.ReadPreview(w.artifacts.Path(a))
}

// ask has the fetcher carry out a request for the automation.
func (w *world) ask(like source.Request) (artifact.Artifact, error) {
	w.Helper()
	r := w.request(like)
	return w.artifacts.Make(w.Context(), w.last,
		func(ws artifact.Workspace, last *artifact.Artifact) (artifact.Artifact, error) {
			r.Workspace, r.Last = ws, last
			return w.fetcher.Fetch(w.Context(), r)
		})
}

// request returns a request for the automation.
func (w *world) request(like source.Request) source.Request {
	r := source.Request{
		Preview: like.Preview, Timeout: like.Timeout,
		Object: w.object(api.ImageUpdateAutomationKind, w.name, w.spec),
		Upstream: w.object(api.GitRepositoryKind, "fleet", map[string]any{
			"url": w.repo.URL(), "ref": map[string]any{"branch": "main"}}),
		Network: dial.Policy{Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}, Secrets: w.secrets,
	}
	r.Cluster = w.cluster
	for name, image := range w.policies {
		r.Selected = append(r.Selected, source.Selected{Key: api.Key{Name: name}, Revision: image})
	}
	for _, name := range w.others {
		r.Unselected = append(r.Unselected, api.Key{Name: name})
	}
	return r
}

// reads fetches the GitRepository, as its clusters do, which must not have to wait.
func (w *world) reads() {
	ctx, cancel := context.WithTimeout(w.Context(), 10*time.Second)
	defer cancel()
	r := w.request(source.Request{})
	r.Object, r.Upstream, r.Selected = r.Upstream, nil, nil
	_, err := w.artifacts.Make(ctx, nil,
		func(ws artifact.Workspace, last *artifact.Artifact) (artifact.Artifact, error) {
			r.Workspace, r.Last = ws, last
			return git.Fetcher{}.Fetch(ctx, r)
		})
	if err != nil {
		w.Errorf("the repository cannot be read: %v", err)
	}
}

// runs carries out a run that must succeed and whose message begins with a text.
func (w *world) runs(summary string) artifact.Artifact {
	w.Helper()
	a, err := w.run()
	w.do(err)
	if !strings.HasPrefix(a.Summary, summary) {
		w.Errorf("the summary is %q, want %q", a.Summary, summary)
	}
	return a
}

// fails carries out a run that must fail with these words.
func (w *world) fails(want error, words ...string) {
	w.Helper()
	_, err := w.run()
	if !errors.Is(err, want) {
		w.Fatalf("got %v, want %v", err, want)
	}
	for _, s := range words {
		if !strings.Contains(err.Error(), s) {
			w.Errorf("the message %q does not say %q", err, s)
		}
	}
}

func (w *world) do(err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}

func (w *world) commit(files map[string]string) {
	w.Helper()
	_, err := w.repo.Commit(files, "by hand")
	w.do(err)
}

// served runs git in the served repository.
func (w *world) served(args ...string) string {
	w.Helper()
	out, err := exec.Command("git", append([]string{"-C", w.repo.Dir()}, args...)...).CombinedOutput()
	if err != nil {
		w.Fatalf("git %s: %v: %s", args, err, out)
	}
	return string(out)
}

// holds wants a file of a branch to have a content.
func (w *world) holds(file, want string) {
	w.Helper()
	if got := w.served("cat-file", "blob", file); got != want {
		w.Errorf("%s is %q, want %q", file, got, want)
	}
}

// head returns the commit of a branch.
func (w *world) head(branch string) string { return strings.TrimSpace(w.served("rev-parse", branch)) }

// deployment is a file with a marker, in a form that no YAML library would write.
func deployment(image string) string {
	return "# the shop\r\napiVersion: apps/v1\nkind:   Deployment\nmetadata: {name: web, namespace: shop}\n\n\nspec:\n" +
		"      image: '" + image + "'   # {\"$imagepolicy\": \"shop:web\"}\n"
}

func TestRun(t *testing.T) {
	w := newWorld(t, gittest.Options{})
	w.setCommit("messageTemplate", "bump{{ range .Changed.Changes }} {{ .OldValue }} to {{ .NewValue }}{{ end }}")
	w.commit(map[string]string{"apps/web.yaml": deployment("org/web:1"), "other.yaml": "a: 1\n"})
	w.policies["web"] = "org/web:2@sha256:" + strings.Repeat("a", 64)
	want := deployment(w.policies["web"])

	a := w.runs("pushed commit")
	pushed := w.head("main")
	w.holds("main:apps/web.yaml", want)
	summary := "pushed commit '" + pushed[:7] + "' to branch 'main': bump"
	if a.Revision != "main@sha1:"+pushed || !strings.HasPrefix(a.Summary, summary) {
		t.Errorf("artifact %+v", a)
	}
	want = "Robot <robot@example.com> bump org/web:1 to " + w.policies["web"] + "\n"
	if got := w.served("log", "-1", "--format=%an <%ae> %s", "main"); got != want {
		t.Errorf("the commit is %q", got)
	}

	again := w.runs("repository up-to-date")
	if w.head("main") != pushed || again.Revision != a.Revision || again.Digest != a.Digest {
		t.Errorf("a second run changed something: %+v", again)
	}
	var status struct {
		LastPushCommit   string                       `json:"lastPushCommit"`
		LastPush         writeback.Push               `json:"lastPush"`
		ObservedPolicies map[string]map[string]string `json:"observedPolicies"`
	}
	w.do(json.Unmarshal([]byte(again.Status), &status))
	if status.LastPushCommit != pushed || status.ObservedPolicies["web"]["tag"] != "2" ||
		!slices.Equal(status.LastPush.Policies, []string{"web"}) {
		t.Errorf("status %s", again.Status)
	}

	w.do(w.repo.Sync())
	w.commit(map[string]string{"other.yaml": "a: 2\n"})
	theirs := w.head("main")
	w.runs("repository up-to-date")
	if w.head("main") != theirs {
		t.Error("a run without changes pushed something")
	}
	w.policies["web"] = "org/web:3"
	w.runs("pushed commit")
	w.holds("main:apps/web.yaml", deployment("org/web:3"))
	w.holds("main:other.yaml", "a: 2\n")
	if got := strings.TrimSpace(w.served("rev-parse", "main^")); got != theirs {
		t.Errorf("the parent is %s, want %s", got, theirs)
	}
}

// TestRun_branch pushes to another branch, which is built on main and replaced only when its files differ.
func TestRun_branch(t *testing.T) {
	w := newWorld(t, gittest.Options{})
	w.set("push", map[string]any{"branch": "auto"})
	w.commit(map[string]string{"web.yaml": deployment("org/web:1")})
	w.policies["web"] = "org/web:2"
	w.runs("pushed commit")
	w.holds("auto:web.yaml", deployment("org/web:2"))
	w.holds("main:web.yaml", deployment("org/web:1"))
	first := w.head("auto")
	for range 2 {
		w.runs("nothing to push: branch 'auto' has the changes, which are not merged yet")
	}
	if w.head("auto") != first {
		t.Error("the same files were pushed again")
	}

	w.commit(map[string]string{"other.yaml": "a: 1\n"})
	w.runs("pushed commit") // on the new head of main
	w.holds("auto:other.yaml", "a: 1\n")
	if w.served("rev-parse", "auto^") != w.served("rev-parse", "main") {
		t.Error("auto is not built on main")
	}

	for _, args := range [][]string{{"fetch", "-q", "origin", "auto"}, {"checkout", "-q", "-b", "auto", "FETCH_HEAD"}} {
		_, err := w.repo.Git(args...)
		w.do(err)
	}
	w.commit(map[string]string{"fix.yaml": "b: 1\n"})
	theirs := w.head("auto")
	w.policies["web"] = "org/web:3"
	w.fails(source.ErrRejected, "refs/heads/auto", theirs[:8], "by hand", "would be lost")
	if w.head("auto") != theirs {
		t.Error("the commit of somebody else is lost")
	}
	w.served("update-ref", "refs/heads/main", "refs/heads/auto") // merged
	w.runs("pushed commit")
	w.holds("auto:web.yaml", deployment("org/web:3"))
	w.holds("auto:fix.yaml", "b: 1\n")
	w.served("update-ref", "refs/heads/main", "refs/heads/auto")
	w.served("update-ref", "-d", "refs/heads/auto")
	w.runs("repository up-to-date")
}

// TestRun_production has an automation that pushed to a branch with commits of people, and then pushes other commits in
// the place of that branch: the commits of people are not lost, although the last one is the automation's own.
func TestRun_production(t *testing.T) {
	w := newWorld(t, gittest.Options{})
	w.commit(map[string]string{"web.yaml": deployment("org/web:1")})
	_, err := w.repo.Git("checkout", "-q", "-b", "production")
	w.do(err)
	w.commit(map[string]string{"theirs.yaml": "a: 1\n"})
	w.set("checkout", map[string]any{"ref": map[string]any{"branch": "production"}})
	w.policies["web"] = "org/web:2"
	w.runs("pushed commit")
	last := w.head("production")

	w.set("checkout", map[string]any{"ref": map[string]any{"branch": "main"}})
	w.set("push", map[string]any{"branch": "production"})
	w.policies["web"] = "org/web:3"
	w.fails(source.ErrRejected, "refs/heads/production", last[:8], "would be lost")
	w.holds("production:theirs.yaml", "a: 1\n")
}

// TestRun_contested has two automations with one author and one branch: the second does not replace what the first
// made.
func TestRun_contested(t *testing.T) {
	w := newWorld(t, gittest.Options{})
	w.commit(map[string]string{"web.yaml": deployment("org/web:1")})
	w.set("push", map[string]any{"branch": "auto"})
	w.policies["web"] = "org/web:2"
	w.runs("pushed commit")
	first := w.head("auto")
	if got := w.served("log", "-1", "--format=%(trailers:key=Nave-Automation,valueonly)", "auto"); got !=
		"shop/auto from main@sha1:"+w.head("main")+"\n\n" {
		t.Errorf("the trailer is %q", got)
	}
	w.name, w.last = "other", nil
	w.policies["web"] = "org/web:3"
	w.fails(source.ErrRejected, "refs/heads/auto", first[:8], "would be lost")

	w.name = "auto" // which has forgotten what it pushed, while main went on
	w.commit(map[string]string{"a.yaml": "a: 1\n"})
	w.commit(map[string]string{"a.yaml": "a: 2\n"})
	w.runs("pushed commit")
	w.holds("auto:web.yaml", deployment("org/web:3"))
}

// TestRun_review pushes to a reference that keeps nothing, as Gerrit's: one review for the same changes, whatever
// others commit meanwhile, and a new one when they are undone after their merge.
func TestRun_review(t *testing.T) {
	w := newWorld(t, gittest.Options{})
	hook := filepath.Join(w.repo.Dir(), "hooks", "post-receive")
	w.do(os.WriteFile(hook, []byte("#!/bin/sh\ngit update-ref -d refs/for/main\n"), 0o755))
	w.set("push", map[string]any{"refspec": "HEAD:refs/for/main"})
	w.commit(map[string]string{"web.yaml": deployment("org/web:1")})
	w.policies["web"] = "org/web:2"
	w.runs("pushed commit")
	w.commit(map[string]string{"other.yaml": "a: 1\n"})
	w.runs("nothing to push: 'refs/for/main' has the changes, which are not merged yet")
	w.commit(map[string]string{"web.yaml": "# above\n" + deployment("org/web:1")})
	w.runs("nothing to push: 'refs/for/main' has the changes, which are not merged yet")
	w.policies["web"] = "org/web:3"
	w.runs("pushed commit")
	w.commit(map[string]string{"web.yaml": deployment("org/web:3")}) // merged
	w.runs("repository up-to-date")
	w.commit(map[string]string{"web.yaml": deployment("org/web:1")}) // undone
	w.runs("pushed commit")
}

// TestRun_race has somebody push between the checkout and the push, once and each time.
func TestRun_race(t *testing.T) {
	var races atomic.Int64
	var push func()
	w := newWorld(t, gittest.Options{Wrap: func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodPost && strings.HasSuffix(r.URL.Path, "/git-receive-pack") && races.Add(-1) >= 0 {
				push()
			}
			next.ServeHTTP(rw, r)
		})
	}})
	n := 0
	push = func() {
		n++
		_, err := w.repo.Commit(map[string]string{"theirs.yaml": fmt.Sprint("n: ", n, "\n")}, "theirs")
		if err != nil {
			t.Error(err)
		}
	}
	w.commit(map[string]string{"web.yaml": deployment("org/web:1")})
	w.policies["web"] = "org/web:2"
	races.Store(1)
	w.runs("pushed commit")
	w.holds("main:theirs.yaml", "n: 1\n")
	w.holds("main:web.yaml", deployment("org/web:2"))

	w.do(w.repo.Sync())
	w.policies["web"] = "org/web:3"
	races.Store(1000)
	w.fails(source.ErrMoved, "refs/heads/main")
	w.holds("main:theirs.yaml", fmt.Sprint("n: ", n, "\n"))
	if n < 3 || n > 10 {
		t.Errorf("%d attempts", n)
	}
}

// TestRun_problems has markers that cannot be carried out beside one that can.
func TestRun_problems(t *testing.T) {
	w := newWorld(t, gittest.Options{})
	w.commit(map[string]string{
		"web.yaml": deployment("org/web:1"), "broken.yaml": "a: [ # {\"$imagepolicy\": \"shop:web\"}\n",
		"missing.yaml": "a: org/x:1 # {\"$imagepolicy\": \"shop:nobody\"}\n",
		"text.txt":     "a: org/x:1 # {\"$imagepolicy\": \"shop:web\"}\n",
		"below/a.yaml": "a: org/x:1 # {\"$imagepolicy\": \"shop:waiting\"}\n",
	})
	w.policies["web"], w.policies["waiting"] = "org/web:2", ""
	a := w.runs("pushed commit")
	for _, want := range []string{"3 markers are not carried out", "broken.yaml: line 1", "shop/nobody",
		"below/a.yaml: line 1", "has not chosen an image yet"} {
		if !strings.Contains(a.Notice, want) {
			t.Errorf("the notice %q does not say %q", a.Notice, want)
		}
	}
	w.spec["update"] = map[string]any{"path": "./below"}
	if a = w.runs("repository up-to-date"); !strings.HasPrefix(a.Notice, "1 marker is not") {
		t.Errorf("the notice is %q", a.Notice)
	}
	w.spec["update"] = map[string]any{"path": "nowhere"}
	w.fails(source.ErrReferenceNotFound, "spec.update.path", "nowhere")
}

// TestRun_large has more to say than a row of the store may have: a run does not fail for that after its push.
func TestRun_large(t *testing.T) {
	w := newWorld(t, gittest.Options{})
	w.setCommit("messageTemplate", `x{{ range until 600 }}{{ repeat 100 "y" }}{{ end }}`)
	files := map[string]string{"web.yaml": deployment("org/web:1")}
	for i := range 200 {
		w.policies[fmt.Sprint("policy-", i)] = "registry.example.com/org/" + strings.Repeat("a", 100) + ":1"
		files[strings.Repeat("long", 50)+fmt.Sprint(i, ".yaml")] = "a: x # {\"$imagepolicy\": \"shop:nobody\"}\n"
	}
	w.policies["web"] = "org/web:2"
	w.commit(files)
	w.runs("pushed commit")
	w.holds("main:web.yaml", deployment("org/web:2"))
	w.runs("repository up-to-date")
}

// TestRun_branch_and_refspec has runs that push to two references. The revision names the one by which the
// GitRepository may get the commit.
func TestRun_branch_and_refspec(t *testing.T) {
	for name, c := range map[string]struct{ branch, refspec, want string }{
		"read":   {"main", "HEAD:refs/for/main", "main"},
		"beside": {"auto", "HEAD:main", "main"},
		"review": {"auto", "HEAD:refs/for/main", "refs/for/main"},
		"other":  {"auto", "HEAD:backup", "auto"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, gittest.Options{})
			w.set("push", map[string]any{"branch": c.branch, "refspec": c.refspec})
			w.commit(map[string]string{"web.yaml": deployment("org/web:1")})
			w.policies["web"] = "org/web:2"
			if a := w.runs("pushed commit"); !strings.HasPrefix(a.Revision, c.want+"@sha1:") {
				t.Errorf("the revision is %s", a.Revision)
			}
		})
	}
}

// TestRun_escaped has problems that are several times as long as JSON: a run does not fail for that after its push.
func TestRun_escaped(t *testing.T) {
	w := newWorld(t, gittest.Options{})
	w.set("push", map[string]any{"refspec": "HEAD:refs/for/main"})
	files := map[string]string{"web.yaml": deployment("org/web:1")}
	for i := range 20 {
		files[strings.Repeat("<", 200)+fmt.Sprint(i, ".yaml")] = "a: x # {\"$imagepolicy\": \"shop:nobody\"}\n"
	}
	w.policies["web"] = "org/web:2"
	w.commit(files)
	a := w.runs("pushed commit")
	if !strings.Contains(a.Status, `"problems":["`) || !strings.Contains(a.Notice, "20 markers") {
		t.Errorf("%s: %s", a.Notice, a.Status)
	}
	w.runs("nothing to push: 'refs/for/main' has the changes, which are not merged yet")
}

// TestRun_lacks tells of what is not there, without which a run changes nothing.
func TestRun_lacks(t *testing.T) {
	const mark = `: end the line of each value to set with # {"$imagepolicy": "shop:NAME"}`
	plain := strings.ReplaceAll(deployment("org/web:1"), "$imagepolicy", "$imagePolicy")
	for name, c := range map[string]struct {
		file   string
		others []string
		want   string
	}{
		"no_policy":   {deployment("org/web:1"), nil, "there is no ImagePolicy in the namespace shop; 1 marker"},
		"no_selected": {deployment("org/web:1"), []string{"web", "db"}, "spec.policySelector selects no ImagePolicy; the namespace shop has web, db"},
		"no_marker":   {"a: b\n", nil, "no marker found in the repository" + mark},
		"near_marker": {plain, nil, "web.yaml: line 8: the comment looks like a marker and is none"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, gittest.Options{})
			w.others = c.others
			if name == "no_marker" || name == "near_marker" {
				w.policies["web"] = "org/web:2"
			}
			w.commit(map[string]string{"web.yaml": c.file})
			a := w.runs("repository up-to-date")
			if !strings.Contains(a.Notice, c.want) {
				t.Errorf("the notice is %q, want %q", a.Notice, c.want)
			}
			if !strings.Contains(a.Status, `"problems":["`) {
				t.Errorf("the status is %s", a.Status)
			}
		})
	}
	w := newWorld(t, gittest.Options{})
	w.spec["update"] = map[string]any{"path": "./apps/"}
	w.commit(map[string]string{"apps/a.yaml": "a: b\n", "web.yaml": deployment("org/web:1")})
	if a := w.runs("repository up-to-date"); !strings.Contains(a.Notice, "no marker found in apps"+mark) {
		t.Errorf("the notice is %q", a.Notice)
	}
}

// TestRun_selected has markers of a policy that another automation selects, and of one that does not exist.
func TestRun_selected(t *testing.T) {
	w := newWorld(t, gittest.Options{})
	w.commit(map[string]string{"web.yaml": deployment("org/web:1")})
	w.spec["policySelector"] = map[string]any{"matchLabels": map[string]any{"a": "b"}}
	w.policies["other"] = "org/other:1"
	w.others = []string{"web"}
	if a := w.runs("repository up-to-date"); a.Notice != "" {
		t.Errorf("the notice is %q", a.Notice)
	}
	w.others = nil
	a := w.runs("repository up-to-date")
	if !strings.Contains(a.Notice, "the ImagePolicy shop/web of the marker does not exist") {
		t.Errorf("the notice is %q", a.Notice)
	}
}

// TestRun_refused has a server that declines, a template that does not work and a key that cannot sign. A marker that
// is not carried out is named all the same.
func TestRun_refused(t *testing.T) {
	w := newWorld(t, gittest.Options{})
	w.commit(map[string]string{"web.yaml": deployment("org/web:1"),
		"missing.yaml": "a: org/x:1 # {\"$imagepolicy\": \"shop:nobody\"}\n"})
	before := w.head("main")
	w.policies["web"] = "org/web:2"
	hook := filepath.Join(w.repo.Dir(), "hooks", "pre-receive")
	w.do(os.WriteFile(hook, []byte("#!/bin/sh\necho no robots >&2\nexit 1\n"), 0o755))
	w.fails(source.ErrRejected, "no robots", "branch main", "1 marker is not carried out", "shop/nobody")
	w.do(os.Remove(hook))
	w.setCommit("messageTemplate", "{{ .Updated }}")
	w.fails(source.ErrRequest, "spec.git.commit.messageTemplate", ".Changed.Changes")
	w.setCommit("messageTemplate", "")
	w.setCommit("signingKey", map[string]any{"type": "ssh", "secretRef": map[string]any{"name": "key"}})
	w.secrets["spec.git.commit.signingKey.secretRef"] = source.Secret{"identity": []byte("no key")}
	w.fails(source.ErrAuthentication, "spec.git.commit.signingKey.secretRef", "identity")
	if w.head("main") != before {
		t.Error("main has moved")
	}
}

// TestRun_many has a repository of which one file has a marker.
func TestRun_many(t *testing.T) {
	w := newWorld(t, gittest.Options{})
	files := map[string]string{"web.yaml": deployment("org/web:1")}
	for i := range 2000 {
		files[fmt.Sprintf("d%d/%d.yaml", i%50, i)] = fmt.Sprintf("n: %d\n%s", i, strings.Repeat("# text\n", 200))
	}
	w.commit(files)
	w.policies["web"] = "org/web:2"
	w.runs("pushed commit")
	w.runs("repository up-to-date")
	if got := w.served("diff", "--name-only", "main^", "main"); got != "web.yaml\n" {
		t.Errorf("changed %s", got)
	}
}
