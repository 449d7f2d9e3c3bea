package forge

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/navefleet/nave/hub/internal/source"
)

const owner = "default/apps"

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
	for _, provider := range Providers() {
		t.Run(provider, func(t *testing.T) {
			s, f := newServer(t, provider)
			test(t, provider, s, f)
		})
	}
}

// mustSync syncs, and compares what was done.
func mustSync(t *testing.T, f Forge, proposals []Proposal, want ...string) []Result {
	t.Helper()
	results, err := Sync(t.Context(), f, owner, "main", proposals)
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

// TestSync_declined does not open again what people closed.
func TestSync_declined(t *testing.T) {
	each(t, func(t *testing.T, _ string, s *server, f Forge) {
		p := proposal("images", "Update", "one")
		mustSync(t, f, []Proposal{p}, "opened images")
		s.pulls[0].closed = true
		p.Closed = true
		mustSync(t, f, []Proposal{p})
	})
}

// TestSync_pages reads all pages, and refuses when there is no end.
func TestSync_pages(t *testing.T) {
	each(t, func(t *testing.T, _ string, s *server, f Forge) {
		for i := range 2*pageSize + 1 {
			s.add(pull{head: fmt.Sprintf("b%d", i), base: "main"})
		}
		last := s.add(pull{head: "images", base: "main", body: markBefore + owner + markBehind})
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
	results, err := Sync(t.Context(), f, owner, "main", []Proposal{proposal("a", "A", ""), proposal("b", "B", "")})
	if !errors.Is(err, source.ErrRejected) || !strings.Contains(err.Error(), "from a into main") ||
		!strings.Contains(err.Error(), "refused") || !slices.Equal(actions(results), []string{"opened b"}) {
		t.Errorf("got %q, %v", actions(results), err)
	}
	for status, want := range map[int]error{
		401: source.ErrAuthentication, 403: source.ErrAuthentication, 404: source.ErrRepositoryNotFound,
		429: source.ErrUnreachable, 502: source.ErrUnreachable, 301: source.ErrProtocol,
	} {
		s.fail["GET "+path+"/pulls"] = status
		if _, err := Sync(t.Context(), f, owner, "main", nil); !errors.Is(err, want) {
			t.Errorf("%d: got %v, want %v", status, err, want)
		}
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
		for _, provider := range Providers() {
			if api, err := APIOf(provider, u); err == nil && api == nil {
				t.Errorf("%s: %s has no API and no error", provider, text)
			}
		}
	})
}
