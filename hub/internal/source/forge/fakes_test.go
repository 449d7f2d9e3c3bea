package forge

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// pull is a pull request on a scripted server.
type pull struct {
	id                      int
	head, base, title, body string
	fork, draft, auto       bool
	closed, merged          bool
	labels, reviewers       []string
	comments                []string
	version                 int
}

// server is a scripted server of one provider with the repository group/app. It speaks only the calls that it was
// written for, and answers every other with 404.
type server struct {
	t             *testing.T
	authorization string
	pulls         []*pull
	calls         []string
	fail          map[string]int // "POST /path" → status, once each
	header        map[string]string
	closeFails    bool
	hidesMerged   bool // among those that were closed
	most          int  // entries of a page; 0: what it is asked for
	mux           *http.ServeMux
}

// dialect are the calls of a provider.
type dialect struct {
	clone         string // the path of the repository
	authorization string
	routes        func(*server)
}

type request struct {
	*http.Request
	body   map[string]any
	header http.Header // of the answer
}

// isClose reports whether a call closes a request.
func isClose(r request) bool {
	return strings.HasSuffix(r.URL.Path, "/decline") || r.text("state") == "closed" || r.text("state_event") == "close" ||
		r.text("status") == "abandoned"
}

func (r request) text(name string) string { s, _ := r.body[name].(string); return s }

func (r request) number(name string) int { n, _ := strconv.Atoi(r.PathValue(name)); return n }

// list returns the texts of a list: of each entry, or of a field of each entry.
func list(value any, path ...string) (all []string) {
	entries, _ := value.([]any)
	for _, e := range entries {
		for _, p := range path {
			m, _ := e.(map[string]any)
			e = m[p]
		}
		all = append(all, fmt.Sprint(e))
	}
	return all
}

func at(value any, path ...string) string {
	for _, p := range path {
		m, _ := value.(map[string]any)
		value = m[p]
	}
	return fmt.Sprint(value)
}

// on registers a call. A nil answer is 204.
func (s *server) on(pattern string, answer func(r request) any) {
	s.mux.HandleFunc(pattern, func(w http.ResponseWriter, hr *http.Request) {
		call := hr.Method + " " + hr.URL.Path
		s.calls = append(s.calls, call)
		if got := hr.Header.Get("Authorization"); got != s.authorization {
			http.Error(w, "who are you? "+got, http.StatusUnauthorized)
			return
		}
		if status, ok := s.fail[call]; ok {
			delete(s.fail, call)
			for name, value := range s.header {
				w.Header().Set(name, value)
			}
			http.Error(w, `{"message":"refused"}`, status)
			return
		}
		r := request{Request: hr}
		if hr.ContentLength > 0 {
			if err := json.NewDecoder(hr.Body).Decode(&r.body); err != nil {
				s.t.Errorf("%s: %v", call, err)
			}
		}
		if s.closeFails && isClose(r) {
			http.Error(w, "you may not close it", http.StatusForbidden)
			return
		}
		r.header = w.Header()
		value := answer(r)
		if value == nil {
			w.WriteHeader(http.StatusNoContent)
			return
		}
		if err := json.NewEncoder(w).Encode(value); err != nil {
			s.t.Error(err)
		}
	})
}

func (s *server) add(p pull) *pull {
	p.id = len(s.pulls) + 1
	s.pulls = append(s.pulls, &p)
	return &p
}

func (s *server) get(id int) *pull { return s.pulls[id-1] }

// list returns a page of open requests, or of those that were closed, that a function renders. It also returns how
// many there are before the next page; 0: this is the last one. Servers that tell of it do so in Link.
func (s *server) list(declined bool, base, head string, from, size int, render func(*pull) any) ([]any, int) {
	all := []any{}
	for _, p := range s.pulls {
		isListed := p.closed == declined && (!p.merged || !s.hidesMerged)
		if isListed && (base == "" || p.base == base) && (head == "" || p.head == head) {
			all = append(all, render(p))
		}
	}
	if s.most > 0 {
		size = min(size, s.most)
	}
	from = min(from, len(all))
	to := min(from+size, len(all))
	if to == len(all) {
		return all[from:], 0
	}
	return all[from:to], to
}

// numbered returns a page by its number, and says in Link whether there is a next one.
func (s *server) numbered(r request, declined bool, base, head, size string, render func(*pull) any) []any {
	n := intOf(r, size)
	if s.most > 0 {
		n = min(n, s.most)
	}
	found, next := s.list(declined, base, head, (intOf(r, "page")-1)*n, n, render)
	if next > 0 {
		r.header.Set("Link", `<https://other.example/?page=2>; rel="next", <https://other.example/?page=9>; rel="last"`)
	} else if intOf(r, "page") > 1 {
		r.header.Set("Link", `<https://other.example/?page=1>; rel="first"`)
	}
	return found
}

func intOf(r request, name string) int { n, _ := strconv.Atoi(r.URL.Query().Get(name)); return n }

// newServer starts a scripted server, and returns its Forge.
func newServer(t *testing.T, provider string) (*server, Forge) {
	d := dialects[provider]
	s := &server{t: t, authorization: d.authorization, mux: http.NewServeMux(), fail: map[string]int{}}
	d.routes(s)
	h := httptest.NewServer(s.mux)
	t.Cleanup(h.Close)
	repository, err := url.Parse(h.URL + d.clone)
	if err != nil {
		t.Fatal(err)
	}
	f, err := New(Config{Provider: provider, Repository: repository, Token: "secret-token", Client: h.Client()})
	if err != nil {
		t.Fatal(err)
	}
	return s, f
}

var dialects = map[string]dialect{
	GitHub:          {clone: "/group/app.git", authorization: "Bearer secret-token", routes: routesOfGitHub("/api/v3")},
	Gitea:           {clone: "/git/group/app.git", authorization: "token secret-token", routes: routesOfGitea},
	GitLab:          {clone: "/group/app.git", authorization: "Bearer secret-token", routes: routesOfGitLab},
	Bitbucket:       {clone: "/group/app", authorization: "Bearer secret-token", routes: routesOfBitbucket},
	BitbucketServer: {clone: "/scm/group/app.git", authorization: "Bearer secret-token", routes: routesOfBitbucketServer},
	AzureDevOps: {clone: "/org/group/_git/app", authorization: "Basic OnNlY3JldC10b2tlbg==",
		routes: routesOfAzure},
}

func githubForm(p *pull) any {
	owner := "now" // after a transfer
	if p.fork {
		owner = "stranger"
	}
	var merged any
	if p.merged {
		merged = "2026-11-27T10:00:00Z"
	}
	return map[string]any{"merged_at": merged, "number": p.id, "node_id": "N" + strconv.Itoa(p.id), "title": p.title,
		"body":     p.body,
		"html_url": fmt.Sprintf("https://page/%d", p.id), "base": map[string]any{"ref": p.base, "repo": map[string]any{"full_name": "now/app"}},
		"head": map[string]any{"ref": p.head, "repo": map[string]any{"full_name": owner + "/app"}}}
}

func routesOfGitHub(api string) func(*server) {
	return func(s *server) {
		repository := api + "/repos/group/app"
		s.on("GET "+repository+"/pulls", func(r request) any {
			q := r.URL.Query()
			_, head, isNow := strings.Cut(q.Get("head"), "now:") // the owner of the URL has no branches any more
			if q.Has("head") && !isNow {
				return []any{}
			}
			return s.numbered(r, q.Get("state") == "closed", q.Get("base"), head, "per_page", githubForm)
		})
		s.on("GET "+repository, func(request) any {
			return map[string]any{"full_name": "now/app", "owner": map[string]any{"login": "now"}}
		})
		s.onGitHubLike(repository, func(r request) string { return r.text("title") })
		s.on("POST "+repository+"/issues/{id}/labels", func(r request) any {
			s.get(r.number("id")).labels = list(r.body["labels"])
			return []any{}
		})
		s.on("POST /api/graphql", func(r request) any {
			id, _ := strconv.Atoi(strings.TrimPrefix(at(r.body["variables"], "id"), "N"))
			s.get(id).auto = strings.Contains(r.text("query"), "enablePullRequestAutoMerge")
			return map[string]any{"data": map[string]any{}}
		})
	}
}

// onGitHubLike registers the calls that Gitea has after GitHub's.
func (s *server) onGitHubLike(repository string, title func(request) string) {
	s.on("POST "+repository+"/pulls", func(r request) any {
		draft, _ := r.body["draft"].(bool)
		return githubForm(s.add(pull{head: r.text("head"), base: r.text("base"), title: title(r), body: r.text("body"),
			draft: draft}))
	})
	s.on("PATCH "+repository+"/pulls/{id}", func(r request) any {
		p := s.get(r.number("id"))
		if r.text("state") == "closed" {
			p.closed = true
			return githubForm(p)
		}
		p.title, p.body = r.text("title"), r.text("body")
		return githubForm(p)
	})
	s.on("POST "+repository+"/pulls/{id}/requested_reviewers", func(r request) any {
		s.get(r.number("id")).reviewers = append(list(r.body["reviewers"]), list(r.body["team_reviewers"])...)
		return map[string]any{}
	})
	s.on("POST "+repository+"/issues/{id}/comments", func(r request) any {
		p := s.get(r.number("id"))
		p.comments = append(p.comments, r.text("body"))
		return map[string]any{}
	})
}

func routesOfGitea(s *server) {
	const repository = "/git/api/v1/repos/group/app"
	s.on("GET "+repository+"/pulls", func(r request) any {
		return s.numbered(r, r.URL.Query().Get("state") == "closed", "", "", "limit", githubForm)
	})
	s.onGitHubLike(repository, func(r request) string {
		return r.text("title")
	})
	s.on("GET "+repository+"/labels", func(request) any {
		return []any{map[string]any{"id": 7, "name": "images"}, map[string]any{"id": 8, "name": "other"}}
	})
	s.on("POST "+repository+"/issues/{id}/labels", func(r request) any {
		for _, n := range list(r.body["labels"]) {
			s.get(r.number("id")).labels = append(s.get(r.number("id")).labels, map[string]string{"7": "images"}[n])
		}
		return []any{}
	})
	s.on("POST "+repository+"/pulls/{id}/merge", func(r request) any {
		s.get(r.number("id")).auto = r.body["merge_when_checks_succeed"] == true && r.text("Do") == "merge"
		return nil
	})
}

func routesOfGitLab(s *server) {
	s.hidesMerged = true
	form := func(p *pull) any {
		from := 1
		if p.fork {
			from = 2
		}
		return map[string]any{"iid": p.id, "web_url": fmt.Sprintf("https://page/%d", p.id), "title": p.title,
			"description": p.body, "source_branch": p.head, "target_branch": p.base, "source_project_id": from,
			"target_project_id": 1}
	}
	const all = "/api/v4/projects/{project}/merge_requests"
	s.on("GET "+all, func(r request) any {
		if r.PathValue("project") != "group/app" {
			return "no such project"
		}
		q := r.URL.Query()
		return s.numbered(r, q.Get("state") == "closed", q.Get("target_branch"), q.Get("source_branch"), "per_page", form)
	})
	s.on("POST "+all, func(r request) any {
		return form(s.add(pull{head: r.text("source_branch"), base: r.text("target_branch"), title: r.text("title"),
			body: r.text("description"), labels: strings.Split(r.text("labels"), ",")}))
	})
	s.on("GET /api/v4/users", func(r request) any {
		if r.URL.Query().Get("username") != "ann" {
			return []any{}
		}
		return []any{map[string]any{"id": 11}}
	})
	s.on("PUT "+all+"/{id}", func(r request) any {
		p := s.get(r.number("id"))
		switch {
		case r.body["reviewer_ids"] != nil && slices.Equal(list(r.body["reviewer_ids"]), []string{"11"}):
			p.reviewers = []string{"ann"}
		case r.text("state_event") == "close":
			p.closed = true
		default:
			p.title, p.body = r.text("title"), r.text("description")
		}
		return form(p)
	})
	s.on("PUT "+all+"/{id}/merge", func(r request) any {
		s.get(r.number("id")).auto = r.body["auto_merge"] == true
		return map[string]any{}
	})
	s.on("POST "+all+"/{id}/notes", func(r request) any {
		p := s.get(r.number("id"))
		p.comments = append(p.comments, r.text("body"))
		return map[string]any{}
	})
}

func routesOfBitbucket(s *server) {
	s.hidesMerged = true
	form := func(p *pull) any {
		owner := "now" // after it was renamed
		if p.fork {
			owner = "stranger"
		}
		branch := func(name, owner string) any {
			return map[string]any{"branch": map[string]any{"name": name},
				"repository": map[string]any{"full_name": owner + "/app"}}
		}
		return map[string]any{"id": p.id, "title": p.title, "description": p.body, "source": branch(p.head, owner),
			"destination": branch(p.base, "now"),
			"links":       map[string]any{"html": map[string]any{"href": fmt.Sprintf("https://page/%d", p.id)}}}
	}
	const all = "/2.0/repositories/group/app/pullrequests"
	s.on("GET "+all, func(r request) any {
		size := intOf(r, "pagelen")
		if s.most > 0 {
			size = min(size, s.most)
		}
		head := ""
		if q := r.URL.Query().Get("q"); q != "" {
			head, _ = strconv.Unquote(strings.TrimPrefix(q, "source.branch.name = "))
		}
		found, next := s.list(r.URL.Query().Get("state") == "DECLINED", "", head, (intOf(r, "page")-1)*size, size, form)
		answer := map[string]any{"values": found}
		if next > 0 {
			answer["next"] = "https://other.example/?page=2"
		}
		return answer
	})
	s.on("POST "+all, func(r request) any {
		return form(s.add(pull{head: at(r.body["source"], "branch", "name"),
			base:  at(r.body["destination"], "branch", "name"),
			title: r.text("title"), body: r.text("description"), reviewers: list(r.body["reviewers"], "uuid"),
			draft: r.body["draft"] == true}))
	})
	s.on("PUT "+all+"/{id}", func(r request) any {
		p := s.get(r.number("id"))
		p.title, p.body = r.text("title"), r.text("description")
		return form(p)
	})
	s.on("POST "+all+"/{id}/comments", func(r request) any {
		p := s.get(r.number("id"))
		p.comments = append(p.comments, at(r.body["content"], "raw"))
		return map[string]any{}
	})
	s.on("POST "+all+"/{id}/decline", func(r request) any {
		s.get(r.number("id")).closed = true
		return map[string]any{}
	})
}

func routesOfBitbucketServer(s *server) {
	s.hidesMerged = true
	form := func(p *pull) any {
		key := "GROUP"
		if p.fork {
			key = "~stranger"
		}
		reviewers := []any{}
		for _, name := range p.reviewers {
			reviewers = append(reviewers, map[string]any{"user": map[string]any{"name": name}, "approved": false})
		}
		ref := func(branch, key string) any {
			return map[string]any{"id": "refs/heads/" + branch,
				"repository": map[string]any{"slug": "app", "project": map[string]any{"key": key}}}
		}
		return map[string]any{"id": p.id, "version": p.version, "title": p.title, "description": p.body,
			"fromRef": ref(p.head, key), "toRef": ref(p.base, "GROUP"), "reviewers": reviewers,
			"links": map[string]any{"self": []any{map[string]any{"href": fmt.Sprintf("https://page/%d", p.id)}}}}
	}
	const all = "/rest/api/1.0/projects/group/repos/app/pull-requests"
	s.on("GET "+all, func(r request) any {
		base := strings.TrimPrefix(r.URL.Query().Get("at"), "refs/heads/")
		declined := r.URL.Query().Get("state") == "DECLINED"
		found, next := s.list(declined, base, "", intOf(r, "start"), intOf(r, "limit"), form)
		return map[string]any{"values": found, "isLastPage": next == 0, "nextPageStart": next}
	})
	s.on("POST "+all, func(r request) any {
		return form(s.add(pull{head: strings.TrimPrefix(at(r.body["fromRef"], "id"), "refs/heads/"),
			base:  strings.TrimPrefix(at(r.body["toRef"], "id"), "refs/heads/"),
			title: r.text("title"), body: r.text("description"), reviewers: list(r.body["reviewers"], "user", "name"),
			draft: r.body["draft"] == true}))
	})
	s.on("PUT "+all+"/{id}", func(r request) any {
		p := s.get(r.number("id"))
		if r.body["version"] != float64(p.version) {
			s.t.Errorf("version %v of a request at version %d", r.body["version"], p.version)
		}
		p.title, p.body, p.reviewers = r.text("title"), r.text("description"), list(r.body["reviewers"], "user", "name")
		p.version++
		return form(p)
	})
	s.on("POST "+all+"/{id}/comments", func(r request) any {
		p := s.get(r.number("id"))
		p.comments = append(p.comments, r.text("text"))
		return map[string]any{}
	})
	s.on("POST "+all+"/{id}/decline", func(r request) any {
		p := s.get(r.number("id"))
		p.closed = intOf(r, "version") == p.version
		return map[string]any{}
	})
}

func routesOfAzure(s *server) {
	s.hidesMerged = true
	form := func(p *pull) any {
		m := map[string]any{"pullRequestId": p.id, "title": p.title, "description": p.body,
			"sourceRefName": "refs/heads/" + p.head, "targetRefName": "refs/heads/" + p.base,
			"createdBy": map[string]any{"id": "robot"}}
		if p.fork {
			m["forkSource"] = map[string]any{"name": "refs/heads/" + p.head}
		}
		return m
	}
	on := func(pattern string, answer func(request) any) {
		s.on(pattern, func(r request) any {
			if r.URL.Query().Get("api-version") != "7.1" {
				s.t.Errorf("%s without a version", r.URL)
			}
			return answer(r)
		})
	}
	const all = "/org/group/_apis/git/repositories/app/pullrequests"
	on("GET "+all, func(r request) any {
		base := strings.TrimPrefix(r.URL.Query().Get("searchCriteria.targetRefName"), "refs/heads/")
		head := strings.TrimPrefix(r.URL.Query().Get("searchCriteria.sourceRefName"), "refs/heads/")
		found, _ := s.list(r.URL.Query().Get("searchCriteria.status") == "abandoned", base, head, intOf(r, "$skip"),
			intOf(r, "$top"), func(p *pull) any {
				m := form(p).(map[string]any)
				text := []rune(p.body)
				m["description"] = string(text[:min(len(text), 400)])
				return m
			})
		return map[string]any{"value": found}
	})
	on("GET "+all+"/{id}", func(r request) any { return form(s.get(r.number("id"))) })
	on("POST "+all, func(r request) any {
		return form(s.add(pull{head: strings.TrimPrefix(r.text("sourceRefName"), "refs/heads/"),
			base:  strings.TrimPrefix(r.text("targetRefName"), "refs/heads/"),
			title: r.text("title"), body: r.text("description"), draft: r.body["isDraft"] == true,
			labels: list(r.body["labels"], "name"), reviewers: list(r.body["reviewers"], "id")}))
	})
	on("PATCH "+all+"/{id}", func(r request) any {
		p := s.get(r.number("id"))
		switch {
		case r.body["autoCompleteSetBy"] != nil:
			p.auto = at(r.body["autoCompleteSetBy"], "id") == "robot"
		case r.text("status") == "abandoned":
			p.closed = true
		default:
			p.title, p.body = r.text("title"), r.text("description")
		}
		return form(p)
	})
	on("POST "+all+"/{id}/threads", func(r request) any {
		p := s.get(r.number("id"))
		p.comments = append(p.comments, list(r.body["comments"], "content")...)
		return map[string]any{}
	})
}
