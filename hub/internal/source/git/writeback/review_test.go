package writeback_test

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/navefleet/nave/e2e/forgetest"
	"github.com/navefleet/nave/e2e/gittest"
	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/artifact"
	"github.com/navefleet/nave/hub/internal/source"
)

// newReview returns a world whose automation proposes its changes on a server.
func newReview(t *testing.T, secure bool) (*world, *forgetest.Server) {
	t.Helper()
	w := newWorld(t, gittest.Options{})
	server := forgetest.Start(w.repo.Dir(), "org/fleet", secure)
	t.Cleanup(func() { _ = server.Close() })
	w.propose(server, "image-update", map[string]any{})
	w.secrets[api.PullRequestSecret] = source.Secret{"token": []byte(forgetest.Token + "\n")}
	return w, server
}

// propose sets spec.git.push.
func (w *world) propose(server *forgetest.Server, branch string, fields map[string]any) {
	request := map[string]any{"provider": "github", "address": server.URL(), "secretRef": map[string]any{"name": "forge"}}
	for name, value := range fields {
		request[name] = value
	}
	w.set("push", map[string]any{"branch": branch, "pullRequest": request})
}

// requests wants the server to have these requests.
func (w *world) requests(server *forgetest.Server, want ...string) {
	w.Helper()
	var got []string
	for _, p := range server.PullRequests() {
		got = append(got, p.String())
	}
	if !slices.Equal(got, want) {
		w.Errorf("the requests are\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// checkOut has the next commits made on a branch that was pushed.
func (w *world) checkOut(branch string) {
	w.Helper()
	for _, args := range [][]string{{"fetch", "-q", "origin", branch}, {"checkout", "-q", "-b", branch, "FETCH_HEAD"}} {
		_, err := w.repo.Git(args...)
		w.do(err)
	}
}

// says wants the message of an automation to have some texts.
func (w *world) says(a artifact.Artifact, texts ...string) {
	w.Helper()
	for _, s := range texts {
		if !strings.Contains(a.Summary+", "+a.Notice, s) {
			w.Errorf("the message %q, %q does not say %q", a.Summary, a.Notice, s)
		}
	}
}

// TestReview opens one request, keeps it, rewrites it in place for the next image, and is done when it is merged.
func TestReview(t *testing.T) {
	w, server := newReview(t, false)
	w.setCommit("messageTemplate", "bump{{ range .Changed.Changes }} {{ .NewValue }}{{ end }}\n\nThe rest.")
	w.commit(map[string]string{"web.yaml": deployment("org/web:1")})
	w.policies["web"] = "org/web:2"
	a := w.runs("pushed commit")
	page := server.URL() + "/org/fleet/pull/1"
	w.says(a, "to branch 'image-update': bump org/web:2; opened pull request "+page)
	w.requests(server, "1 open image-update -> main: bump org/web:2")
	body := server.PullRequests()[0].Body
	if !strings.HasPrefix(body, "The rest.\n\n- `web.yaml`: `org/web:1` → `org/web:2`\n") {
		t.Errorf("the description is %q", body)
	}
	a = w.runs("nothing to push; pull request " + page + " is open")
	if want := `"pullRequests":[{"url":"` + page + `","branch":"image-update","state":"open"}]`; !strings.Contains(a.Status,
		want) {
		t.Errorf("the status is %s", a.Status)
	}

	w.policies["web"] = "org/web:3"
	w.says(w.runs("pushed commit"), "updated pull request "+page)
	w.requests(server, "1 open image-update -> main: bump org/web:3")
	w.holds("image-update:web.yaml", deployment("org/web:3"))

	w.do(server.Merge(1))
	w.runs("repository up-to-date")
	w.requests(server, "1 merged image-update -> main: bump org/web:3")
	w.do(w.repo.Sync())
	w.policies["web"] = "org/web:4"
	w.says(w.runs("pushed commit"), "opened pull request")
	w.requests(server, "1 merged image-update -> main: bump org/web:3", "2 open image-update -> main: bump org/web:4")
}

// TestReview_obsolete closes a request once its base has the values, and deletes the branch. It is not declined: the
// same changes are proposed again when somebody takes them back.
func TestReview_obsolete(t *testing.T) {
	w, server := newReview(t, false)
	w.commit(map[string]string{"web.yaml": deployment("org/web:1")})
	w.policies["web"] = "org/web:2"
	w.runs("pushed commit")
	w.commit(map[string]string{"web.yaml": deployment("org/web:2")})
	w.says(w.runs("repository up-to-date"), "closed pull request")
	p := server.PullRequests()[0]
	if p.State != "closed" || len(p.Comments) != 1 || !strings.Contains(p.Comments[0], "main does not need") {
		t.Errorf("the request is %+v", p)
	}
	if got := w.served("branch", "--list", "image-update"); got != "" {
		t.Errorf("the branch is still there: %s", got)
	}
	w.commit(map[string]string{"web.yaml": deployment("org/web:1")})
	w.says(w.runs("pushed commit"), "opened pull request", "/pull/2")
}

// TestReview_declined has people close a request, and delete its branch: the same changes are not proposed again, also
// if the hub forgets all, and others are.
func TestReview_declined(t *testing.T) {
	w, server := newReview(t, false)
	w.commit(map[string]string{"web.yaml": deployment("org/web:1")})
	w.policies["web"] = "org/web:2"
	w.runs("pushed commit")
	server.Decline(1)
	w.served("update-ref", "-d", "refs/heads/image-update")
	w.commit(map[string]string{"other.yaml": "a: 1\n"})
	for range 2 {
		w.says(w.runs("nothing to push"), "/pull/1 was closed without a merge")
		w.last = nil
	}
	if got := w.served("branch", "--list", "image-update"); got != "" || len(server.PullRequests()) != 1 {
		t.Errorf("proposed again: %s %v", got, server.PullRequests())
	}
	w.policies["web"] = "org/web:3"
	w.says(w.runs("pushed commit"), "opened pull request", "/pull/2")
}

// TestReview_strangers touches no request, branch or commit of people: of another automation, of a person for the
// branch, and a branch with a commit of theirs on top.
func TestReview_strangers(t *testing.T) {
	w, server := newReview(t, false)
	w.commit(map[string]string{"web.yaml": deployment("org/web:1")})
	server.Open("image-update", "main", "by hand")
	w.policies["web"] = "org/web:2"
	w.says(w.runs("pushed commit"), "pull request "+server.URL()+"/org/fleet/pull/1 is open")
	w.commit(map[string]string{"web.yaml": deployment("org/web:2")})
	w.runs("repository up-to-date")
	w.requests(server, "1 open image-update -> main: by hand")

	w.commit(map[string]string{"web.yaml": deployment("org/web:1")})
	w.propose(server, "theirs", nil)
	w.runs("pushed commit")
	w.checkOut("theirs")
	w.commit(map[string]string{"fix.yaml": "b: 1\n"})
	theirs := w.head("theirs")
	w.policies["web"] = "org/web:3"
	w.fails(source.ErrRejected, "would be lost")
	_, err := w.repo.Git("checkout", "-q", "main")
	w.do(err)
	w.commit(map[string]string{"web.yaml": deployment("org/web:3")})
	w.says(w.runs("repository up-to-date"), "closed pull request")
	if w.head("theirs") != theirs {
		t.Error("the commit of somebody else is lost")
	}
}

// TestReview_broken has an API that fails in all ways between the push and the request: the push stays, the error says
// what is missing and nothing of the token, and the next run makes up for it.
func TestReview_broken(t *testing.T) {
	fail := func(status int, header ...string) http.HandlerFunc {
		return func(rw http.ResponseWriter, r *http.Request) {
			if len(header) == 2 {
				rw.Header().Set(header[0], header[1])
			}
			http.Error(rw, "no: "+r.Header.Get("Authorization"), status)
		}
	}
	for name, c := range map[string]struct {
		answer  http.HandlerFunc
		timeout time.Duration
		want    error
	}{
		"credentials": {fail(401), 0, source.ErrAuthentication},
		"forbidden":   {fail(403), 0, source.ErrAuthentication},
		"missing":     {fail(404), 0, source.ErrRepositoryNotFound},
		"invalid":     {fail(422), 0, source.ErrDeclined},
		"busy":        {fail(429, "Retry-After", "30"), 0, source.ErrUnreachable},
		"broken":      {fail(502), 0, source.ErrUnreachable},
		"redirect":    {fail(302, "Location", "https://elsewhere.invalid/"), 0, source.ErrUnreachable},
		"closed":      {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, 0, source.ErrUnreachable},
		"silent": {func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, 6 * time.Second,
			source.ErrTimeout},
		"huge": {func(rw http.ResponseWriter, _ *http.Request) {
			_, _ = rw.Write([]byte(strings.Repeat(" ", 9<<20)))
		}, 0, artifact.ErrLimit},
	} {
		t.Run(name, func(t *testing.T) {
			w, server := newReview(t, false)
			w.commit(map[string]string{"web.yaml": deployment("org/web:1")})
			w.policies["web"] = "org/web:2"
			w.served("update-ref", "refs/heads/image-update", "refs/heads/main")
			server.Break(c.answer)
			_, err := w.ask(source.Request{Timeout: c.timeout})
			if !errors.Is(err, c.want) || !strings.Contains(err.Error(), "pushed commit '") ||
				!strings.Contains(err.Error(), "a pull request is missing") {
				t.Errorf("got %v, want %v", err, c.want)
			}
			if u, ok := errors.AsType[*artifact.Unfinished](err); !ok ||
				!strings.Contains(u.Artifact.Status, `"lastPushCommit":"`+w.head("image-update")) {
				t.Errorf("the push is not in the status: %v", err)
			}
			if text := source.Explain(err, w.repo.URL(), w.secrets).Error(); strings.Contains(text, forgetest.Token) {
				t.Errorf("the error has the token: %s", text)
			}
			w.holds("image-update:web.yaml", deployment("org/web:2"))
			pushed := w.head("image-update")
			server.Break(nil)
			w.says(w.runs("nothing to push"), "opened pull request")
			if w.head("image-update") != pushed {
				t.Error("the same was pushed again")
			}
		})
	}
}

// TestReview_declined_away has an API that fails after people have declined a change, and deleted its branch: neither
// that change nor another one is pushed before the server can tell.
func TestReview_declined_away(t *testing.T) {
	gone := func(rw http.ResponseWriter, _ *http.Request) { http.Error(rw, "away", http.StatusBadGateway) }
	for name, isGone := range map[string]func(*http.Request) bool{
		"all":    func(*http.Request) bool { return true },
		"closed": func(r *http.Request) bool { return r.URL.Query().Get("state") == "closed" },
	} {
		t.Run(name, func(t *testing.T) {
			w, server := newReview(t, false)
			w.commit(map[string]string{"web.yaml": deployment("org/web:1")})
			w.policies["web"] = "org/web:2"
			w.runs("pushed commit")
			server.Decline(1)
			w.served("update-ref", "-d", "refs/heads/image-update")
			server.BreakIf(isGone, gone)
			w.fails(source.ErrUnreachable, "502", "nothing is pushed to new branches ('image-update')")
			if got := w.served("branch", "--list", "image-update"); got != "" {
				t.Errorf("pushed again: %s", got)
			}
			server.Break(nil)
			w.says(w.runs("nothing to push"), "/pull/1 was closed without a merge")
		})
	}
}

// TestReview_unlocked calls the API only while others may use the cache of the repository.
func TestReview_unlocked(t *testing.T) {
	w, server := newReview(t, false)
	w.commit(map[string]string{"web.yaml": deployment("org/web:1")})
	w.policies["web"] = "org/web:2"
	server.BreakIf(func(*http.Request) bool {
		w.reads()
		return false
	}, nil)
	w.says(w.runs("pushed commit"), "opened pull request")
	if server.Calls() < 3 {
		t.Errorf("%d calls", server.Calls())
	}
}

// TestReview_secure asks an API over TLS, with the authority of the Secret, and refuses one that it does not know.
func TestReview_secure(t *testing.T) {
	w, server := newReview(t, true)
	w.commit(map[string]string{"web.yaml": deployment("org/web:1")})
	w.policies["web"] = "org/web:2"
	w.served("update-ref", "refs/heads/image-update", "refs/heads/main")
	w.fails(source.ErrUntrusted, "pushed commit", "pull request is missing")
	w.fails(source.ErrUntrusted, "branch image-update has the changes already; but a pull request is missing")
	w.secrets[api.PullRequestSecret]["ca.crt"] = server.CA()
	pushed := *w.last
	opened := w.runs("nothing to push")
	w.says(opened, "opened pull request")
	if opened.Revision != pushed.Revision || !opened.FetchedAt.After(pushed.FetchedAt) {
		t.Errorf("after the run that opened the request: %+v, before: %+v", opened, pushed)
	}
	if again := w.runs("nothing to push"); again.Dir != opened.Dir || !again.FetchedAt.Equal(opened.FetchedAt) {
		t.Errorf("after a run that did nothing: %+v, before: %+v", again, opened)
	}
}

// TestReview_app has the Secret of a GitHub App, as that of a GitRepository with provider github.
func TestReview_app(t *testing.T) {
	w, server := newReview(t, false)
	w.commit(map[string]string{"web.yaml": deployment("org/web:1")})
	w.policies["web"] = "org/web:2"
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	w.do(err)
	text := pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)})
	app := source.Secret{"githubAppID": []byte("1"), "githubAppInstallationID": []byte("7"), "githubAppPrivateKey": text,
		"githubAppBaseURL": []byte(server.URL())}
	w.secrets[api.PullRequestSecret] = app
	isCreate := func(r *http.Request) bool {
		return r.Method == http.MethodPost && strings.HasSuffix(r.URL.Path, "/pulls")
	}
	server.BreakIf(isCreate,
		func(rw http.ResponseWriter, r *http.Request) {
			http.Error(rw, "no: "+r.Header.Get("Authorization"), http.StatusForbidden)
		})
	_, err = w.run()
	if !errors.Is(err, source.ErrAuthentication) || strings.Contains(err.Error(), forgetest.Token) {
		t.Errorf("got %v", err)
	}
	server.Break(nil)
	w.says(w.runs("nothing to push"), "opened pull request")

	server.BreakIf(func(r *http.Request) bool { return strings.HasPrefix(r.URL.Path, "/app/") }, http.NotFound)
	w.policies["web"] = "org/web:3"
	w.fails(source.ErrAuthentication, "pushed commit", "GitHub App 1", "githubAppInstallationID")
	server.Break(func(rw http.ResponseWriter, _ *http.Request) { http.Error(rw, "away", http.StatusBadGateway) })
	w.fails(source.ErrUnreachable, "GitHub App 1")
	app["githubAppBaseURL"] = []byte("https://elsewhere.example")
	w.fails(source.ErrAuthentication, api.PullRequestSecret, "elsewhere.example")
}

// TestReview_templates has a title and a description of their own, in a draft.
func TestReview_templates(t *testing.T) {
	w, server := newReview(t, false)
	w.commit(map[string]string{"web.yaml": deployment("org/web:1")})
	w.propose(server, "image-update", map[string]any{
		"titleTemplate": "{{ range .Changed.Changes }}{{ .NewValue }}\n{{ end }}of {{ .AutomationObject.Name }}",
		"bodyTemplate":  "Please look.", "draft": true})
	w.policies["web"] = "org/web:2"
	w.runs("pushed commit")
	w.requests(server, "1 open image-update -> main: org/web:2 of auto")
	if p := server.PullRequests()[0]; !strings.HasPrefix(p.Body, "Please look.\n") || !p.Draft {
		t.Errorf("the request is %+v", p)
	}
	w.propose(server, "image-update", map[string]any{"titleTemplate": "{{ .Nothing }}"})
	w.fails(source.ErrRequest, "spec.git.push.pullRequest.titleTemplate", "Nothing")
}

// TestReview_base merges into another branch than the checkout: when that has the values, nothing is proposed.
func TestReview_base(t *testing.T) {
	w, server := newReview(t, false)
	w.commit(map[string]string{"web.yaml": deployment("org/web:1")})
	w.propose(server, "image-update", map[string]any{"baseBranch": "release"})
	w.policies["web"] = "org/web:2"
	w.fails(source.ErrReferenceNotFound, "baseBranch", "release")
	w.served("update-ref", "refs/heads/release", "refs/heads/main")
	w.runs("pushed commit")
	w.requests(server, "1 open image-update -> release: Update from image update automation")
	w.do(server.Merge(1))
	w.runs("repository up-to-date")
	w.holds("main:web.yaml", deployment("org/web:1"))
}

// TestReview_settings cannot work, whatever the servers say: nothing is pushed.
func TestReview_settings(t *testing.T) {
	w, server := newReview(t, false)
	w.commit(map[string]string{"web.yaml": deployment("org/web:1")})
	w.policies["web"] = "org/web:2"
	w.propose(server, "main", nil)
	w.fails(source.ErrRequest, "spec.git.push.branch", "another branch")
	w.propose(server, "image-update", map[string]any{"provider": "azuredevops"})
	w.fails(source.ErrRequest, "spec.git.push.pullRequest", "is not the URL of a repository of the provider azuredevops")
	w.propose(server, "image-update", nil)
	w.secrets[api.PullRequestSecret] = source.Secret{"key": []byte("x")}
	w.fails(source.ErrAuthentication, api.PullRequestSecret, "token")
	if got := w.served("branch", "--list", "image-update"); got != "" || server.Calls() > 0 {
		t.Errorf("pushed to %s; %d calls", got, server.Calls())
	}
}

// TestReview_undeletable has a server that keeps branches: the request is closed, and the message says so.
func TestReview_undeletable(t *testing.T) {
	w, _ := newReview(t, false)
	w.commit(map[string]string{"web.yaml": deployment("org/web:1")})
	w.policies["web"] = "org/web:2"
	w.runs("pushed commit")
	hook := filepath.Join(w.repo.Dir(), "hooks", "pre-receive")
	w.do(os.WriteFile(hook, []byte("#!/bin/sh\necho protected >&2\nexit 1\n"), 0o755))
	w.served("update-ref", "refs/heads/main", "refs/heads/image-update")
	w.says(w.runs("repository up-to-date"), "closed pull request", "branches of closed pull requests stay", "protected")
}

// many is a file with markers of some policies.
func many(images ...string) string {
	text := "list:\n"
	for i, name := range []string{"web", "db", "cache"} {
		text += fmt.Sprintf("- image: %s # {\"$imagepolicy\": \"shop:%s\"}\n", images[i], name)
	}
	return text
}

// TestReview_perPolicy opens a request for each policy, supersedes the one of an older tag, deletes its branch, and
// leaves the others alone. Each commit has the change of its policy only.
func TestReview_perPolicy(t *testing.T) {
	w, server := newReview(t, false)
	w.propose(server, "update/{{.Policy}}-{{.Tag}}", map[string]any{"mode": "perPolicy"})
	w.commit(map[string]string{"a.yaml": many("org/web:1", "org/db:1", "org/cache:1"), "broken.yaml": "a: x # " +
		"{\"$imagepolicy\": \"shop:nobody\"}\n"})
	w.policies["web"], w.policies["db"], w.policies["cache"] = "org/web:2", "org/db:2", "org/cache:1"
	a := w.runs("pushed commit")
	w.requests(server, "1 open update/db-2 -> main: Update db to 2", "2 open update/web-2 -> main: Update web to 2")
	w.says(a, "to branch 'update/db-2'", "to branch 'update/web-2'", "/pull/1", "/pull/2", "1 marker is not carried out")
	w.holds("update/web-2:a.yaml", many("org/web:2", "org/db:1", "org/cache:1"))
	w.holds("update/db-2:a.yaml", many("org/web:1", "org/db:2", "org/cache:1"))

	w.policies["web"] = "org/web:3"
	w.says(w.runs("pushed commit"), "opened pull request "+server.URL()+"/org/fleet/pull/3", "closed pull request")
	w.requests(server, "1 open update/db-2 -> main: Update db to 2", "2 closed update/web-2 -> main: Update web to 2",
		"3 open update/web-3 -> main: Update web to 3")
	got := strings.Join(server.PullRequests()[1].Comments, "\n")
	if !strings.HasPrefix(got, "Closed: superseded by "+server.URL()+"/org/fleet/pull/3") {
		t.Errorf("the comments are %q", got)
	}
	if got := strings.Fields(w.served("for-each-ref", "--format=%(refname:short)", "refs/heads/update")); !slices.Equal(
		got, []string{"update/db-2", "update/web-3"}) {
		t.Errorf("the branches are %s", got)
	}
	w.policies["web"] = "org/web:2" // back again: Sync closed that one, and not people
	w.says(w.runs("pushed commit"), "opened pull request "+server.URL()+"/org/fleet/pull/4")

	w.do(server.Merge(4))
	w.says(w.runs("pushed commit"), "to branch 'update/db-2'") // on the new head
	w.holds("update/db-2:a.yaml", many("org/web:2", "org/db:2", "org/cache:1"))
	w.do(server.Merge(1))
	w.runs("repository up-to-date")
}

// TestReview_perPolicy_failures has a policy that cannot be carried out: people's commit on its branch, a tag that is
// no name of a branch, a branch of another policy. The others are, and no request of the policy is closed.
func TestReview_perPolicy_failures(t *testing.T) {
	w, server := newReview(t, false)
	w.propose(server, "update/{{.Policy}}", map[string]any{"mode": "perPolicy"})
	w.commit(map[string]string{"a.yaml": many("org/web:1", "org/db:1", "org/cache:1")})
	w.policies["web"] = "org/web:2"
	w.runs("pushed commit")
	w.checkOut("update/web")
	w.commit(map[string]string{"fix.yaml": "b: 1\n"})
	theirs := w.head("update/web")
	w.policies["web"], w.policies["db"] = "org/web:3", "org/db:2"
	w.fails(source.ErrRejected, "pushed commit", "'update/db'", "policy web", "would be lost")
	w.requests(server, "1 open update/web -> main: Update web to 2", "2 open update/db -> main: Update db to 2")
	if w.head("update/web") != theirs {
		t.Error("the commit of somebody else is lost")
	}
	if s := w.last.Status; strings.Count(s, `"state":"open"`) != 2 || !strings.Contains(s, `"targets":["refs/heads/update/db"]`) {
		t.Errorf("the status is %s", s)
	}

	w.propose(server, "update/{{.Policy}}-{{.Tag}}", map[string]any{"mode": "perPolicy"})
	w.policies["web"] = "org/web:1..3"
	w.fails(source.ErrRequest, "policy web", "1..3", "'update/db-2'")
	w.requests(server, "1 open update/web -> main: Update web to 2", "2 closed update/db -> main: Update db to 2",
		"3 open update/db-2 -> main: Update db to 2")

	_, err := w.repo.Git("checkout", "-q", "main")
	w.do(err)
	w.commit(map[string]string{"b.yaml": "- image: org/x:1 # {\"$imagepolicy\": \"shop:db-2\"}\n"})
	w.propose(server, "{{.Policy}}-{{.Tag}}", map[string]any{"mode": "perPolicy"})
	w.policies["web"], w.policies["db"], w.policies["db-2"] = "org/web:1", "org/db:2-3", "org/x:3"
	w.fails(source.ErrRequest, "policy db-2", `makes "db-2-3" for the policy db, too`)
}

// TestReview_mode changes from one request for all to one for each policy, and back: what is not proposed any more is
// closed.
func TestReview_mode(t *testing.T) {
	w, server := newReview(t, false)
	w.commit(map[string]string{"a.yaml": many("org/web:1", "org/db:1", "org/cache:1")})
	w.policies["web"], w.policies["db"] = "org/web:2", "org/db:2"
	w.runs("pushed commit")
	w.propose(server, "{{.Policy}}-{{.Tag}}", map[string]any{"mode": "perPolicy"})
	w.runs("pushed commit")
	w.propose(server, "image-update", nil)
	w.runs("pushed commit")
	const title = ": Update from image update automation"
	w.requests(server, "1 closed image-update -> main"+title, "2 closed db-2 -> main: Update db to 2",
		"3 closed web-2 -> main: Update web to 2", "4 open image-update -> main"+title)
}

// TestReview_race has somebody push between the checkout and the second push: what was pushed first is still told.
func TestReview_race(t *testing.T) {
	w, server := newReview(t, false)
	w.propose(server, "{{.Policy}}", map[string]any{"mode": "perPolicy"})
	w.commit(map[string]string{"a.yaml": many("org/web:1", "org/db:1", "org/cache:1")})
	w.policies["web"], w.policies["db"] = "org/web:2", "org/db:2"
	hook := filepath.Join(w.repo.Dir(), "hooks", "pre-receive")
	script := "#!/bin/sh\nif grep -q heads/web$ && ! test -e raced; then touch raced; unset GIT_QUARANTINE_PATH\n" +
		"git update-ref refs/heads/web refs/heads/main && touch moved; fi\n"
	w.do(os.WriteFile(hook, []byte(script), 0o755))
	a, err := w.run()
	w.do(err)
	w.says(a, "to branch 'db'", "to branch 'web'")
	if _, err := os.Stat(filepath.Join(w.repo.Dir(), "moved")); err != nil {
		t.Error("there was no race")
	}
	w.requests(server, "1 open db -> main: Update db to 2", "2 open web -> main: Update web to 2")
}

// TestReview_race_twice has somebody push to the checkout, too: what was pushed first is pushed again on the new head,
// and is told once.
func TestReview_race_twice(t *testing.T) {
	w, server := newReview(t, false)
	w.propose(server, "{{.Policy}}", map[string]any{"mode": "perPolicy"})
	w.commit(map[string]string{"a.yaml": many("org/web:1", "org/db:1", "org/cache:1")})
	before := w.head("main")
	w.commit(map[string]string{"b.yaml": "b: 1\n"})
	next := w.head("main")
	w.served("update-ref", "refs/heads/main", before)
	w.policies["web"], w.policies["db"] = "org/web:2", "org/db:2"
	hook := filepath.Join(w.repo.Dir(), "hooks", "pre-receive")
	script := "#!/bin/sh\nif grep -q heads/web$ && ! test -e raced; then touch raced; unset GIT_QUARANTINE_PATH\n" +
		"git update-ref refs/heads/web " + next + " && git update-ref refs/heads/main " + next + "; fi\n"
	w.do(os.WriteFile(hook, []byte(script), 0o755))
	a, err := w.run()
	w.do(err)
	if n := strings.Count(a.Summary, "to branch 'db'"); n != 1 || !strings.Contains(a.Summary, w.head("db")[:7]) {
		t.Errorf("told %d times: %s", n, a.Summary)
	}
	if got := strings.TrimSpace(w.served("rev-parse", "db^")); got != strings.TrimSpace(next) {
		t.Errorf("db is on %s, want %s", got, next)
	}
}

// TestReview_race_lost has somebody push to one branch again and again: the run fails, tells what it has pushed, and
// the next one proposes it.
func TestReview_race_lost(t *testing.T) {
	w, server := newReview(t, false)
	w.propose(server, "{{.Policy}}-{{.Tag}}", map[string]any{"mode": "perPolicy"})
	w.commit(map[string]string{"a.yaml": many("org/web:1", "org/db:1", "org/cache:1")})
	w.policies["web"], w.policies["db"], w.policies["cache"] = "org/web:2", "org/db:2", "org/cache:1..2"
	hook := filepath.Join(w.repo.Dir(), "hooks", "pre-receive")
	script := "#!/bin/sh\nunset GIT_QUARANTINE_PATH; web=refs/heads/web-2\nif ! grep -q $web$; then exit 0; fi\n" +
		"if git rev-parse -q --verify $web; then git update-ref -d $web; else git update-ref $web refs/heads/main; fi\n"
	w.do(os.WriteFile(hook, []byte(script), 0o755))
	w.fails(source.ErrMoved, "pushed commit", "'db-2'", "; but a pull request is missing", "besides, policy cache: ")
	if s := w.last.Status; !strings.Contains(s, `"targets":["refs/heads/db-2"]`) {
		t.Errorf("the status is %s", s)
	}
	w.requests(server)
	w.do(os.Remove(hook))
	w.policies["cache"] = "org/cache:1"
	w.runs("pushed commit")
	w.requests(server, "1 open db-2 -> main: Update db to 2", "2 open web-2 -> main: Update web to 2")
}

// TestReview_waiting keeps requests while a policy has no image, as after the store was lost.
func TestReview_waiting(t *testing.T) {
	for _, mode := range []string{api.PullRequestSingle, api.PullRequestPerPolicy} {
		t.Run(mode, func(t *testing.T) {
			w, server := newReview(t, false)
			branch := map[string]string{api.PullRequestSingle: "auto", api.PullRequestPerPolicy: "{{.Policy}}"}[mode]
			w.propose(server, branch, map[string]any{"mode": mode})
			w.commit(map[string]string{"web.yaml": deployment("org/web:1")})
			w.policies["web"] = "org/web:2"
			w.runs("pushed commit")
			w.policies["web"], w.last = "", nil
			w.runs("repository up-to-date")
			if p := server.PullRequests()[0]; p.State != "open" {
				t.Errorf("the request is %s", p)
			}
		})
	}
}

// TestReview_apart has automations of one name, in two clusters or two hubs, with different branches: none closes
// what the other one proposes, but each what it proposed itself. With one branch they share a request, which people
// decline for both.
func TestReview_apart(t *testing.T) {
	for name, clusters := range map[string][]string{"clusters": {"staging", "prod"}, "hubs": {"", ""}} {
		t.Run(name, func(t *testing.T) {
			w, server := newReview(t, false)
			w.commit(map[string]string{"web.yaml": deployment("org/web:1")})
			w.policies["web"] = "org/web:2"
			last := map[string]*artifact.Artifact{}
			turn := func(at int, branch string) {
				key := fmt.Sprint(at)
				w.cluster, w.last = clusters[at], last[key]
				w.propose(server, branch, nil)
				_, err := w.run()
				w.do(err)
				last[key] = w.last
			}
			turn(0, "staging")
			turn(1, "prod")
			last["0"] = nil // forgets what it knew
			turn(0, "staging")
			turn(1, "prod")
			const title = " -> main: Update from image update automation"
			w.requests(server, "1 open staging"+title, "2 open prod"+title)

			w.cluster, w.last = clusters[0], last["0"]
			w.propose(server, "prod", nil)
			w.runs("nothing to push; pull request " + server.URL() + "/org/fleet/pull/2 is open; closed pull request")
			w.requests(server, "1 closed staging"+title, "2 open prod"+title)
			server.Decline(2)
			w.runs("nothing to push; pull request " + server.URL() + "/org/fleet/pull/2 was closed without a merge")
		})
	}
}

// TestReview_preview says what would be pushed, and pushes, opens and closes nothing.
func TestReview_preview(t *testing.T) {
	w, server := newReview(t, false)
	w.propose(server, "update/{{.Policy}}", map[string]any{"mode": "perPolicy"})
	w.commit(map[string]string{"a.yaml": many("org/web:1", "org/db:1", "org/cache:1")})
	w.policies["web"], w.policies["db"] = "org/web:2", "org/db:2"
	p, err := w.preview()
	w.do(err)
	if len(p.Commits) != 2 {
		t.Fatalf("got %+v", p)
	}
	for i, name := range []string{"db", "web"} {
		if c := p.Commits[i]; !slices.Equal(c.Targets, []string{"refs/heads/update/" + name}) ||
			c.Message != "Update from image update automation" || strings.Count(c.Diff, "+++ b/a.yaml") != 1 ||
			!strings.Contains(c.Diff, "org/"+name+":2") || strings.Count(c.Diff, "\n+") != 2 {
			t.Errorf("got %+v", c)
		}
	}
	w.requests(server)
	if got := w.served("branch", "--list", "update/*"); got != "" {
		t.Errorf("pushed %s", got)
	}
	w.runs("pushed commit")
	w.policies["web"], w.policies["db"] = "org/web:1", "org/db:1"
	if p, err = w.preview(); err != nil || len(p.Commits) > 0 {
		t.Errorf("got %+v, %v", p, err)
	}
	w.requests(server, "1 open update/db -> main: Update db to 2", "2 open update/web -> main: Update web to 2")
}

// TestReview_preview_failures says what would be pushed also if a policy, and the server of the requests, fail. No
// credentials are in what it says.
func TestReview_preview_failures(t *testing.T) {
	w, server := newReview(t, false)
	w.propose(server, "update/{{.Policy}}", map[string]any{"mode": "perPolicy"})
	w.commit(map[string]string{"a.yaml": many("org/web:1", "org/db:1", "org/cache:1")})
	w.policies["web"] = "org/web:2"
	w.runs("pushed commit")
	w.checkOut("update/web")
	w.commit(map[string]string{"fix.yaml": "b: 1\n"})
	w.policies["web"], w.policies["db"], w.policies["cache"] = "org/web:3", "org/db:2", "org/cache:2"
	w.served("update-ref", "refs/heads/update/db", "refs/heads/main")
	server.Break(func(rw http.ResponseWriter, r *http.Request) {
		http.Error(rw, "no: "+r.Header.Get("Authorization"), http.StatusBadGateway)
	})
	p, err := w.preview()
	if err != nil || len(p.Commits) != 1 || !slices.Equal(p.Commits[0].Targets, []string{"refs/heads/update/db"}) {
		t.Fatalf("got %+v, %v", p, err)
	}
	if problems := "\n" + strings.Join(p.Problems, "\n"); !strings.Contains(problems, "\npolicy web: ") ||
		!strings.Contains(problems, "\npull requests: ") || !strings.Contains(problems, "new branches ('update/cache')") ||
		strings.Contains(problems, forgetest.Token) {
		t.Errorf("problems %q", p.Problems)
	}
}
