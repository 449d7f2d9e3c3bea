// Package forgetest serves the pull requests of one real Git repository on loopback, by the part of GitHub's REST API
// that the hub uses. Tests merge and close the requests as people would.
package forgetest

import (
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Token is what calls of the API must have.
const Token = "the-token-of-the-forge"

// PullRequest is a request on the server.
type PullRequest struct {
	Number                  int
	Head, Base, Title, Body string
	Draft                   bool
	State                   string // open, closed, merged
	Comments                []string
}

// String returns the request in one line.
func (p PullRequest) String() string {
	return fmt.Sprintf("%d %s %s -> %s: %s", p.Number, p.State, p.Head, p.Base, p.Title)
}

// Server is a server with one repository.
type Server struct {
	http *httptest.Server
	git  string // the bare repository
	name string // owner/name

	mu       sync.Mutex
	requests []*PullRequest
	broken   func(*http.Request) bool // which calls answer answers; nil: none
	answer   http.HandlerFunc
	calls    int
}

// Start serves the requests of a repository (owner/name) in a folder. If secure is set, it does so over HTTPS.
func Start(folder, name string, secure bool) *Server {
	s := &Server{git: folder, name: name}
	at := "/repos/" + name
	mux := http.NewServeMux()
	mux.HandleFunc("POST /app/installations/7/access_tokens", s.token)
	mux.HandleFunc("GET "+at, s.repository)
	mux.HandleFunc("GET "+at+"/pulls", s.list)
	mux.HandleFunc("POST "+at+"/pulls", s.create)
	mux.HandleFunc("PATCH "+at+"/pulls/{number}", s.change)
	mux.HandleFunc("POST "+at+"/issues/{number}/comments", s.comment)
	s.http = httptest.NewUnstartedServer(s.guard(mux))
	if secure {
		s.http.StartTLS()
	} else {
		s.http.Start()
	}
	return s
}

// URL returns the address of the API.
func (s *Server) URL() string { return s.http.URL }

// CA returns the certificate of the authority, in PEM form.
func (s *Server) CA() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.http.Certificate().Raw})
}

// Close ends the server.
func (s *Server) Close() error {
	s.http.CloseClientConnections()
	s.http.Close()
	return nil
}

// PullRequests returns all requests.
func (s *Server) PullRequests() (all []PullRequest) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range s.requests {
		all = append(all, *p)
	}
	return all
}

// Calls returns how many calls of the API there were.
func (s *Server) Calls() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.calls
}

// Break answers all calls otherwise; nil: not any more.
func (s *Server) Break(answer http.HandlerFunc) {
	s.BreakIf(func(*http.Request) bool { return answer != nil }, answer)
}

// BreakIf answers some calls otherwise.
func (s *Server) BreakIf(some func(*http.Request) bool, answer http.HandlerFunc) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.broken, s.answer = some, answer
}

// Open opens or opens again a request of a person.
func (s *Server) Open(head, base, title string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.add(PullRequest{Head: head, Base: base, Title: title}).Number
}

// Decline closes a request without merging it.
func (s *Server) Decline(number int) { s.set(number, "closed") }

// Merge merges a request by a merge commit.
func (s *Server) Merge(number int) error {
	p := s.set(number, "merged")
	tree, err := s.run("merge-tree", "--write-tree", p.Base, p.Head)
	if err != nil {
		return err
	}
	commit, err := s.run("-c", "user.name=Ann", "-c", "user.email=ann@example.com", "commit-tree", tree, "-p", p.Base,
		"-p", p.Head, "-m", "Merge pull request")
	if err == nil {
		_, err = s.run("update-ref", "refs/heads/"+p.Base, commit)
	}
	return err
}

func (s *Server) set(number int, state string) PullRequest {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests[number-1].State = state
	return *s.requests[number-1]
}

// add adds an open request.
func (s *Server) add(p PullRequest) *PullRequest {
	p.Number, p.State = len(s.requests)+1, "open"
	s.requests = append(s.requests, &p)
	return &p
}

// run runs git in the repository.
func (s *Server) run(args ...string) (string, error) {
	out, err := exec.Command("git", append([]string{"-C", s.git}, args...)...).Output()
	if err != nil {
		return "", fmt.Errorf("git %s: %w: %s", args, err, out)
	}
	return strings.TrimSpace(string(out)), nil
}

// guard counts the calls, and refuses those without the token.
func (s *Server) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		s.calls++
		broken, answer := s.broken, s.answer
		s.mu.Unlock()
		switch {
		case broken != nil && broken(r):
			answer(w, r)
		case r.Header.Get("Authorization") != "Bearer "+Token && !strings.HasPrefix(r.URL.Path, "/app/"):
			http.Error(w, "bad credentials: "+r.Header.Get("Authorization"), http.StatusUnauthorized)
		default:
			next.ServeHTTP(w, r)
		}
	})
}

// form returns a request as the API has it.
func (s *Server) form(p *PullRequest) map[string]any {
	state, merged := p.State, any(nil)
	if state == "merged" {
		state, merged = "closed", "2026-11-27T10:00:00Z"
	}
	return map[string]any{
		"number": p.Number, "title": p.Title, "body": p.Body, "state": state, "merged_at": merged, "draft": p.Draft,
		"html_url": fmt.Sprintf("%s/%s/pull/%d", s.http.URL, s.name, p.Number),
		"base":     map[string]any{"ref": p.Base, "repo": map[string]any{"full_name": s.name}},
		"head":     map[string]any{"ref": p.Head, "repo": map[string]any{"full_name": s.name}},
	}
}

func write(w http.ResponseWriter, value any) { _ = json.NewEncoder(w).Encode(value) }

// token answers a GitHub App, whichever it is.
func (s *Server) token(w http.ResponseWriter, _ *http.Request) {
	write(w, map[string]any{"token": Token, "expires_at": time.Now().Add(time.Hour)})
}

// repository tells whose the repository is.
func (s *Server) repository(w http.ResponseWriter, _ *http.Request) {
	owner, _, _ := strings.Cut(s.name, "/")
	write(w, map[string]any{"full_name": s.name, "owner": map[string]any{"login": owner}})
}

// list answers with one page, which has all requests.
func (s *Server) list(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	q, all := r.URL.Query(), []any{}
	owner, _, _ := strings.Cut(s.name, "/")
	for _, p := range slices.Backward(s.requests) {
		isOpen := p.State == "open"
		if isOpen == (q.Get("state") == "open") && p.Base == q.Get("base") &&
			(q.Get("head") == "" || q.Get("head") == owner+":"+p.Head) {
			all = append(all, s.form(p))
		}
	}
	write(w, all)
}

// create opens a request. As on GitHub, the branch must have commits that its base lacks, and no other open request.
func (s *Server) create(w http.ResponseWriter, r *http.Request) {
	var p PullRequest
	err := json.NewDecoder(r.Body).Decode(&p)
	s.mu.Lock()
	defer s.mu.Unlock()
	ahead, gitErr := s.run("rev-list", "--count", "refs/heads/"+p.Base+"..refs/heads/"+p.Head)
	isTwice := slices.ContainsFunc(s.requests, func(o *PullRequest) bool { return o.Head == p.Head && o.State == "open" })
	if err != nil || gitErr != nil || ahead == "0" || isTwice {
		http.Error(w, `{"message":"Validation Failed"}`, http.StatusUnprocessableEntity)
		return
	}
	write(w, s.form(s.add(p)))
}

// find returns the request of a call; nil if there is none.
func (s *Server) find(r *http.Request) *PullRequest {
	n, err := strconv.Atoi(r.PathValue("number"))
	if err != nil || n < 1 || n > len(s.requests) {
		return nil
	}
	return s.requests[n-1]
}

func (s *Server) change(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.find(r)
	if p == nil || json.NewDecoder(r.Body).Decode(p) != nil {
		http.Error(w, "no such pull request", http.StatusNotFound)
		return
	}
	write(w, s.form(p))
}

func (s *Server) comment(w http.ResponseWriter, r *http.Request) {
	var c struct{ Body string }
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.find(r)
	if p == nil || json.NewDecoder(r.Body).Decode(&c) != nil {
		http.Error(w, "no such pull request", http.StatusNotFound)
		return
	}
	p.Comments = append(p.Comments, c.Body)
	write(w, map[string]any{})
}
