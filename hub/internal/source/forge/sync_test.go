package forge

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/artifact"
	"github.com/navefleet/nave/hub/internal/dial"
	"github.com/navefleet/nave/hub/internal/source"
)

const (
	owner = "default/apps"
	mark  = markBefore + owner + markBehind
)

func proposal(head, title, body string) Proposal {
	return Proposal{Head: head, Base: "main", Title: title, Body: body}
}

// actions returns the results as "action head".
func actions(results []Result) (all []string) {
	for _, r := range results {
		all = append(all, fmt.Sprintf("%s %s", r.Action, r.Head))
	}
	return all
}

func each(t *testing.T, test func(t *testing.T, provider string, s *server, f Forge)) {
	for _, provider := range api.PullRequestProviders {
		t.Run(provider, func(t *testing.T) {
			s, f := newServer(t, provider)
			test(t, provider, s, f)
		})
	}
}

func find(t *testing.T, f Forge) *Requests {
	t.Helper()
	q, err := Find(t.Context(), f, Owner{Name: owner}, "main")
	if err != nil {
		t.Fatal(err)
	}
	return q
}

func sync(t *testing.T, f Forge, proposals ...Proposal) ([]Result, error) {
	t.Helper()
	return find(t, f).Sync(t.Context(), proposals)
}

// mustSync syncs, and compares what was done.
func mustSync(t *testing.T, f Forge, proposals []Proposal, want ...string) []Result {
	t.Helper()
	results, err := sync(t, f, proposals...)
	if got := actions(results); err != nil || !slices.Equal(got, want) {
		t.Errorf("got %q, %v; want %q", got, err, want)
	}
	return results
}

// TestSync_life opens a request, keeps it, rewrites it in place, and closes it once it is not wanted, on each provider.
func TestSync_life(t *testing.T) {
	each(t, func(t *testing.T, _ string, s *server, f Forge) {
		first := mustSync(t, f, []Proposal{proposal("images", "Update app to 1", "app 1")}, "opened images")
		if len(first) != 1 || first[0].URL == "" || first[0].ID != 1 || first[0].Warning != "" {
			t.Fatalf("got %+v", first)
		}
		mustSync(t, f, []Proposal{proposal("images", "Update app to 1", "app 1")}, "kept images")
		mustSync(t, f, []Proposal{proposal("images", "Update app to 2", "app 2")}, "updated images")
		p := s.pulls[0]
		if p.title != "Update app to 2" || !strings.HasPrefix(p.body, "app 2\n") || p.head != "images" || p.base != "main" {
			t.Errorf("the server has %+v", p)
		}
		mustSync(t, f, nil, "closed images")
		if !p.closed || len(p.comments) != 1 || !strings.Contains(p.comments[0], "does not need") {
			t.Errorf("after the close the server has %+v", p)
		}
		mustSync(t, f, nil)
		if len(s.pulls) != 1 {
			t.Errorf("%d requests were opened", len(s.pulls))
		}
	})
}

// TestSync_superseded closes the request of an older tag, and names the new one of the same policy.
func TestSync_superseded(t *testing.T) {
	each(t, func(t *testing.T, _ string, s *server, f Forge) {
		of := func(policy, head string) Proposal {
			p := proposal(head, "Update "+policy, "to "+head)
			p.For = policy
			return p
		}
		mustSync(t, f, []Proposal{of("app", "app-1"), of("db", "db-1")}, "opened app-1", "opened db-1")
		kept, err := find(t, f).Sync(t.Context(), []Proposal{of("app", "app-1")}, "db")
		if got := actions(kept); err != nil || !slices.Equal(got, []string{"kept app-1"}) {
			t.Errorf("got %q, %v", got, err)
		}
		mustSync(t, f, []Proposal{of("app", "app-2"), of("db", "db-1")}, "opened app-2", "kept db-1", "closed app-1")
		link := mustSync(t, f, []Proposal{of("app", "app-2")}, "kept app-2", "closed db-1")[0].URL
		if got := s.get(1).comments; len(got) != 1 || got[0] != "Closed: superseded by "+link {
			t.Errorf("the comment is %q", got)
		}
		if got := s.get(2).comments; len(got) != 1 || strings.Contains(got[0], "superseded") {
			t.Errorf("nothing supersedes db-1, and the comment is %q", got)
		}
	})
}

// TestSync_vain keeps the request that another one should have superseded, if that one cannot be opened.
func TestSync_vain(t *testing.T) {
	s, f := newServer(t, GitHub)
	p := proposal("app-1", "Update app", "to 1")
	p.For = "app"
	mustSync(t, f, []Proposal{p}, "opened app-1")
	s.fail["POST /api/v3/repos/group/app/pulls"] = http.StatusUnprocessableEntity
	p.Head = "app-2"
	if results, err := sync(t, f, p); err == nil || len(results) > 0 || s.get(1).closed {
		t.Errorf("got %q, %v, and the request is closed: %v", actions(results), err, s.get(1).closed)
	}
}

// TestSync_strangers touches no request of somebody else: of a person, of another automation, from a fork, into another
// branch.
func TestSync_strangers(t *testing.T) {
	each(t, func(t *testing.T, _ string, s *server, f Forge) {
		ours := func(owner string) string { return "text\r\n\r\n" + markBefore + owner + markBehind + "\r\n" }
		for _, p := range []pull{
			{head: "images", base: "main", title: "by hand", body: "mine"},
			{head: "other", base: "main", body: ours("default/other")},
			{head: "longer", base: "main", body: ours(owner + "-2")},
			{head: "forked", base: "main", body: ours(owner), fork: true},
			{head: "elsewhere", base: "release", body: ours(owner)},
			{head: "quoted", base: "main", body: ours(owner) + "\nwas the last line of another one"},
		} {
			s.add(p)
		}
		mustSync(t, f, []Proposal{proposal("images", "Update", "x"), proposal("forked", "Update", "y")},
			"kept images", "opened forked")
		for _, p := range s.pulls[:6] {
			if p.closed || p.title == "Update" || len(p.comments) > 0 {
				t.Errorf("a stranger's request was changed: %+v", p)
			}
		}
	})
}

// TestSync_adorned sets labels, reviewers, draft and automatic merge where the provider has them, and says what it has
// not. A draft keeps being one when its title changes.
func TestSync_adorned(t *testing.T) {
	each(t, func(t *testing.T, provider string, s *server, f Forge) {
		p := proposal("images", "Update", "one")
		p.Labels, p.Reviewers, p.Draft, p.AutoMerge = []string{"images"}, []string{"ann"}, true, true
		r := mustSync(t, f, []Proposal{p}, "opened images")[0]
		isBitbucket := provider == Bitbucket || provider == BitbucketServer
		got := s.pulls[0]
		if !slices.Equal(got.reviewers, p.Reviewers) || slices.Equal(got.labels, p.Labels) == isBitbucket ||
			got.auto == isBitbucket {
			t.Errorf("the server has %+v", got)
		}
		if lacks := strings.Contains(r.Warning, "no labels"); lacks != isBitbucket {
			t.Errorf("the warning is %q", r.Warning)
		}
		mustSync(t, f, []Proposal{p}, "kept images")
		p.Title = "Update more"
		mustSync(t, f, []Proposal{p}, "updated images")
		got = s.pulls[0]
		isDraft := got.draft || strings.HasPrefix(got.title, "Draft: ") || strings.HasPrefix(got.title, "WIP: ")
		if !isDraft || !strings.HasSuffix(got.title, "Update more") || !slices.Equal(got.reviewers, p.Reviewers) {
			t.Errorf("the server has %+v", got)
		}
	})
}

// TestSync_branches has owners of one name with other heads, as two hubs have: none closes or rewrites what the other
// one proposes, unless it knows that it was its own.
func TestSync_branches(t *testing.T) {
	each(t, func(t *testing.T, _ string, s *server, f Forge) {
		syncAs := func(branch string, had func(PullRequest) bool, want ...string) {
			t.Helper()
			head := strings.ReplaceAll(branch, "{{.Policy}}", "app")
			p := proposal(head, "Update "+branch, "one")
			q, err := Find(t.Context(), f, Owner{owner, branch, had}, "main")
			if err != nil {
				t.Fatal(err)
			}
			results, err := q.Sync(t.Context(), []Proposal{p})
			if got := actions(results); err != nil || !slices.Equal(got, want) {
				t.Errorf("as %s: got %q, %v; want %q", branch, got, err, want)
			}
		}
		syncAs("staging/{{.Policy}}", nil, "opened staging/app")
		syncAs("a (b)", nil, "opened a (b)")
		syncAs("staging/{{.Policy}}", nil, "kept staging/app")
		syncAs("staging/app", nil, "kept staging/app")
		if p := s.get(1); p.title != "Update staging/{{.Policy}}" {
			t.Errorf("rewritten by another owner: %+v", p)
		}
		first := func(r PullRequest) bool { return r.ID == 1 }
		syncAs("staging/app", first, "updated staging/app")
		syncAs("new", first, "opened new", "closed staging/app")
		if last := lastLine(s.get(2).body); strings.Count(last, "(") != 1 || strings.Count(last, ")") != 1 {
			t.Errorf("the line is shown: %s", last)
		}
	})
}

// TestRequests_declined knows what people closed, until the changes are others. What was closed by Sync, or is open
// again, is not declined.
func TestRequests_declined(t *testing.T) {
	each(t, func(t *testing.T, _ string, s *server, f Forge) {
		p := proposal("images", "Update", strings.Repeat("a long text ", 50))
		p.Changes = "one"
		isDeclined := func() bool {
			t.Helper()
			q := find(t, f)
			err := q.Ask(t.Context(), append(q.Unasked([]string{"images"}), "none"))
			r, declined := q.Declined(p)
			if err != nil || declined != (r.URL != "") || len(q.Unasked([]string{"images", "none"})) > 0 {
				t.Errorf("got %+v, %v, %v", r, declined, err)
			}
			return declined
		}
		mustSync(t, f, []Proposal{p}, "opened images")
		s.add(pull{head: "other", base: "main", body: s.get(1).body, closed: true})
		s.add(pull{head: "images", base: "main", body: "by hand", closed: true})
		s.add(pull{head: "images", base: "main", body: s.get(1).body, fork: true, closed: true})
		s.add(pull{head: "images", base: "main", body: s.get(1).body, closed: true, merged: true})
		if isDeclined() {
			t.Error("the request is open")
		}
		s.get(1).closed = true
		if !isDeclined() {
			t.Error("people closed the request")
		}
		p.Changes = "two"
		if isDeclined() {
			t.Error("other changes were declined")
		}
		mustSync(t, f, []Proposal{p}, "opened images")
		mustSync(t, f, nil, "closed images")
		if p := s.get(6); !p.closed || isDeclined() {
			t.Errorf("people declined what Sync closed: %+v", p)
		}
	})
}

// TestRequests_calls asks a server that cannot choose by branches once for all of them.
func TestRequests_calls(t *testing.T) {
	each(t, func(t *testing.T, provider string, s *server, f Forge) {
		for i := range 10 {
			s.add(pull{head: fmt.Sprintf("b%d", i), base: "main", closed: true, body: changesLine("one") + "\n"})
		}
		q := find(t, f)
		before := len(s.calls)
		if err := q.Ask(t.Context(), []string{"b1", "b5", "b7"}); err != nil {
			t.Fatal(err)
		}
		want := map[string]int{Gitea: 1, BitbucketServer: 1, GitHub: 4, GitLab: 3, Bitbucket: 3}
		want[AzureDevOps] = 6 // there, the last page of a list is empty
		if got := len(s.calls) - before; got != want[provider] {
			t.Errorf("%d calls: %q", got, s.calls[before:])
		}
	})
}

// TestSync_unclosable has a server that does not let Sync close a request: there is no comment with each try.
func TestSync_unclosable(t *testing.T) {
	each(t, func(t *testing.T, _ string, s *server, f Forge) {
		mustSync(t, f, []Proposal{proposal("images", "Update", "one")}, "opened images")
		s.closeFails = true
		for range 3 {
			if _, err := sync(t, f); !errors.Is(err, source.ErrAuthentication) {
				t.Errorf("got %v", err)
			}
		}
		s.closeFails = false
		mustSync(t, f, nil, "closed images")
		if got := s.get(1).comments; len(got) != 1 {
			t.Errorf("the comments are %q", got)
		}
	})
}

// TestSync_small_pages has a server whose pages are smaller than what it is asked for: no request is hidden.
func TestSync_small_pages(t *testing.T) {
	each(t, func(t *testing.T, _ string, s *server, f Forge) {
		s.most = 3
		for i := range 7 {
			s.add(pull{head: fmt.Sprintf("b%d", i), base: "main"})
		}
		s.add(pull{head: "images", base: "main", body: mark})
		mustSync(t, f, []Proposal{proposal("images", "Update", "one")}, "updated images")
	})
}

// TestSync_pages reads all pages, and refuses when there is no end.
func TestSync_pages(t *testing.T) {
	each(t, func(t *testing.T, _ string, s *server, f Forge) {
		for i := range 2*pageSize + 1 {
			s.add(pull{head: fmt.Sprintf("b%d", i), base: "main"})
		}
		last := s.add(pull{head: "images", base: "main", body: mark})
		mustSync(t, f, []Proposal{proposal("images", "Update", "one")}, "updated images")
		if last.title != "Update" {
			t.Errorf("the server has %+v", last)
		}
	})
}

// TestSync_failures: one request that fails costs no other one, and the error names it and quotes the server.
func TestSync_failures(t *testing.T) {
	s, f := newServer(t, GitHub)
	const path = "/api/v3/repos/group/app"
	s.fail["POST "+path+"/pulls"] = http.StatusUnprocessableEntity
	results, err := sync(t, f, proposal("a", "A", ""), proposal("b", "B", ""))
	if !errors.Is(err, source.ErrDeclined) || !strings.Contains(err.Error(), "from a into main") ||
		!strings.Contains(err.Error(), "refused") || !slices.Equal(actions(results), []string{"opened b"}) {
		t.Errorf("got %q, %v", actions(results), err)
	}
	for status, want := range map[int]error{
		401: source.ErrAuthentication, 403: source.ErrAuthentication, 404: source.ErrRepositoryNotFound,
		429: source.ErrUnreachable, 502: source.ErrUnreachable, 301: source.ErrProtocol,
	} {
		s.fail["GET "+path+"/pulls"] = status
		if _, err := Find(t.Context(), f, Owner{Name: owner}, "main"); !errors.Is(err, want) {
			t.Errorf("%d: got %v, want %v", status, err, want)
		}
	}
}

// TestFind_busy has servers that take no more requests for now: they say so in several ways.
func TestFind_busy(t *testing.T) {
	s, f := newServer(t, GitHub)
	const call = "GET /api/v3/repos/group/app/pulls"
	soon := fmt.Sprint(time.Now().Add(5 * time.Minute).Unix())
	for name, c := range map[string]struct {
		status int
		header map[string]string
		wait   time.Duration // zero: the server is not busy
	}{
		"too_many":       {429, map[string]string{"Retry-After": "120"}, 2 * time.Minute},
		"too_many_alone": {429, nil, time.Minute},
		"away":           {503, map[string]string{"Retry-After": "60"}, time.Minute},
		"secondary":      {403, map[string]string{"Retry-After": "90"}, 90 * time.Second},
		"limit":          {403, map[string]string{"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": soon}, 5 * time.Minute},
		"for_ever":       {429, map[string]string{"Retry-After": "999999999"}, time.Hour},
		"forbidden":      {403, map[string]string{"X-RateLimit-Remaining": "7", "X-RateLimit-Reset": soon}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			s.fail[call], s.header = c.status, c.header
			_, err := Find(t.Context(), f, Owner{Name: owner}, "main")
			busy, ok := errors.AsType[*source.BusyError](err)
			if c.wait == 0 {
				if ok || !errors.Is(err, source.ErrAuthentication) {
					t.Errorf("got %v", err)
				}
				return
			}
			if !ok || busy.Server != "" || !strings.Contains(err.Error(), "tries again at") {
				t.Fatalf("got %v", err)
			}
			if left := time.Until(busy.Until); left > c.wait || left < c.wait-time.Minute/2 {
				t.Errorf("the wait is %s, want %s", left, c.wait)
			}
		})
	}
}

// TestFind_hostile has servers that answer something else than the API: the error says which call, and has no token.
func TestFind_hostile(t *testing.T) {
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		t.Error("a redirect was followed to another server")
	}))
	defer elsewhere.Close()
	for name, c := range map[string]struct {
		answer http.HandlerFunc
		want   error
	}{
		"redirect": {func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, elsewhere.URL, http.StatusFound)
		}, source.ErrUnreachable},
		"loop": {func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, r.URL.String(), http.StatusFound)
		}, source.ErrUnreachable},
		"huge": {func(w http.ResponseWriter, _ *http.Request) {
			for range maxAnswer/1024 + 2 {
				_, _ = w.Write([]byte(strings.Repeat(" ", 1024)))
			}
		}, artifact.ErrLimit},
		"page":  {func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("<html>")) }, source.ErrProtocol},
		"other": {func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(`{"a":1}`)) }, source.ErrProtocol},
		"endless": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Link", `<https://x>; rel="next"`)
			_, _ = w.Write([]byte(`[{"number":1}]`))
		}, artifact.ErrLimit},
		"cut": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "100")
			_, _ = w.Write([]byte("["))
		}, source.ErrUnreachable},
	} {
		t.Run(name, func(t *testing.T) {
			h := httptest.NewServer(c.answer)
			defer h.Close()
			repository, _ := url.Parse(h.URL + "/group/app")
			client := source.Request{Network: dial.Policy{Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}}
			u, err := APIOf(GitHub, repository)
			if err != nil {
				t.Fatal(err)
			}
			hc, err := client.HTTP(u)
			if err != nil {
				t.Fatal(err)
			}
			f, err := New(Config{Provider: GitHub, Repository: repository, Token: "secret-token", Client: hc})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := Find(t.Context(), f, Owner{Name: owner}, "main"); !errors.Is(err, c.want) ||
				!strings.Contains(err.Error(), "list the pull requests into main") ||
				strings.Contains(err.Error(), "secret-token") {
				t.Errorf("got %v, want %v", err, c.want)
			}
		})
	}
}

// TestSync_empty has servers, or what stands before them, that answer everything with success and without what was
// asked for: no request is said to be open that nobody has seen.
func TestSync_empty(t *testing.T) {
	for _, provider := range api.PullRequestProviders {
		for name, answers := range map[string]struct{ get, post string }{
			"no_list":      {`{"a": 1}`, `{"a": 1}`},
			"no_request":   {`[]`, `{"a": 1}`},
			"no_values":    {`{"values": [], "value": []}`, `{"a": 1}`},
			"null":         {`{"values": [], "value": []}`, `null`},
			"other_branch": {`[]`, `{"number": 7, "iid": 7, "head": {"ref": "other"}, "source_branch": "other"}`},
		} {
			t.Run(provider+"_"+name, func(t *testing.T) {
				h := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					text := answers.post
					if r.Method == http.MethodGet {
						text = answers.get
					}
					_, _ = w.Write([]byte(text))
				}))
				defer h.Close()
				address, _ := url.Parse(h.URL + "/group/app")
				if provider == AzureDevOps {
					address = address.JoinPath("_git/app")
				}
				f, err := New(Config{Provider: provider, Repository: address, Token: "secret-token", Client: h.Client()})
				if err != nil {
					t.Fatal(err)
				}
				q, err := Find(t.Context(), f, Owner{Name: owner}, "main")
				if err == nil {
					_, err = q.Sync(t.Context(), []Proposal{{Head: "update", Base: "main", Title: "Update", Changes: "1"}})
				}
				if !errors.Is(err, source.ErrProtocol) {
					t.Errorf("got %v", err)
				}
			})
		}
	}
}

// TestSync_away has a server that asks to wait: it gets no further call.
func TestSync_away(t *testing.T) {
	s, f := newServer(t, GitHub)
	q := find(t, f)
	s.fail["POST /api/v3/repos/group/app/pulls"] = http.StatusTooManyRequests
	calls := len(s.calls)
	_, err := q.Sync(t.Context(), []Proposal{proposal("a", "A", ""), proposal("b", "B", "")})
	if _, busy := errors.AsType[*source.BusyError](err); !busy || len(s.calls) != calls+1 {
		t.Errorf("%d calls, %v", len(s.calls)-calls, err)
	}
}

// TestSync_limits shortens what the server would refuse, and keeps the line that tells whose the request is.
func TestSync_limits(t *testing.T) {
	each(t, func(t *testing.T, _ string, s *server, f Forge) {
		long := proposal("images", strings.Repeat("ü", 500), strings.Repeat("ü", 1<<20))
		mustSync(t, f, []Proposal{long}, "opened images")
		mustSync(t, f, []Proposal{long}, "kept images")
		title, body := f.Limits()
		if p := s.pulls[0]; len(p.title) > title || len(p.body) > body || strings.Contains(p.body, "\uFFFD") {
			t.Errorf("title of %d, description of %d bytes", len(p.title), len(p.body))
		}
		mustSync(t, f, nil, "closed images")
	})
}

// TestProviders finds the repositories of exactly the providers that are admitted.
func TestProviders(t *testing.T) {
	found, admitted := slices.Sorted(maps.Keys(finders)), slices.Sorted(slices.Values(api.PullRequestProviders))
	if !slices.Equal(found, admitted) {
		t.Errorf("found are %q, admitted are %q", found, admitted)
	}
}

// TestAPIOf finds the API of each provider for the forms of URLs that people clone from.
func TestAPIOf(t *testing.T) {
	for _, c := range []struct{ provider, repository, want string }{
		{GitHub, "https://github.com/org/app.git", "https://api.github.com"},
		{GitHub, "https://github.com/org/app/", "https://api.github.com"},
		{GitHub, "ssh://git@github.com/org/app", "https://api.github.com"},
		{GitHub, "ssh://git@ssh.github.com:443/org/app", "https://api.github.com"},
		{GitHub, "https://ghe.example.com:8443/org/app", "https://ghe.example.com:8443/api/v3"},
		{GitHub, "ssh://git@ghe.example.com:2222/org/app", "https://ghe.example.com/api/v3"},
		{GitHub, "https://github.com/org/sub/app", ""},
		{GitHub, "https://github.com/app", ""},
		{GitLab, "https://gitlab.com/group/sub/app.git", "https://gitlab.com/api/v4"},
		{GitLab, "https://gitlab.com/app.git", ""},
		{Gitea, "https://git.example.com/forge/org/app.git", "https://git.example.com/forge/api/v1"},
		{Bitbucket, "https://bitbucket.org/team/app.git", "https://api.bitbucket.org/2.0"},
		{BitbucketServer, "https://bb.example.com/context/scm/prj/app.git", "https://bb.example.com/context/rest/api/1.0"},
		{BitbucketServer, "ssh://git@bb.example.com:7999/prj/app.git", "https://bb.example.com/rest/api/1.0"},
		{AzureDevOps, "https://dev.azure.com/org/project/_git/app", "https://dev.azure.com/org"},
		{AzureDevOps, "https://org@dev.azure.com/org/_git/app", "https://dev.azure.com/org"},
		{AzureDevOps, "ssh://git@ssh.dev.azure.com/v3/org/project/app", "https://dev.azure.com/org"},
		{AzureDevOps, "https://org.visualstudio.com/project/_git/app", "https://org.visualstudio.com"},
		{AzureDevOps, "https://org.visualstudio.com/_git/app", "https://org.visualstudio.com"},
		{AzureDevOps, "https://tfs.example.com/tfs/collection/project/_git/app", "https://tfs.example.com/tfs/collection"},
		{AzureDevOps, "https://dev.azure.com/org/project/app", ""},
		{"sourceforge", "https://example.com/a/b", ""},
	} {
		u, err := url.Parse(c.repository)
		if err != nil {
			t.Fatal(err)
		}
		got, err := APIOf(c.provider, u)
		if c.want == "" {
			if !errors.Is(err, source.ErrRequest) {
				t.Errorf("%s %s: got %v, %v; want an error", c.provider, c.repository, got, err)
			}
			continue
		}
		if err != nil || strings.TrimSuffix(got.String(), "/") != c.want {
			t.Errorf("%s %s: got %v, %v; want %s", c.provider, c.repository, got, err, c.want)
		}
	}
}

// FuzzAPIOf: no URL of a repository makes it panic, and an API is always on a host.
func FuzzAPIOf(f *testing.F) {
	f.Add("https://dev.azure.com/org/_git/app")
	f.Add("ssh://git@ssh.dev.azure.com/v3/org/project/app")
	f.Add("https://bb.example.com/scm/prj/app.git")
	f.Fuzz(func(t *testing.T, text string) {
		u, err := url.Parse(text)
		if err != nil {
			return
		}
		for _, provider := range api.PullRequestProviders {
			if api, err := APIOf(provider, u); err == nil && api == nil {
				t.Errorf("%s: %s has no API and no error", provider, text)
			}
		}
	})
}
