package forge

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/artifact"
	"github.com/navefleet/nave/hub/internal/source"
)

// The providers, which are api.PullRequestProviders.
const (
	GitHub          = "github"
	GitLab          = "gitlab"
	Gitea           = "gitea"
	Bitbucket       = "bitbucket"
	BitbucketServer = "bitbucket-server"
	AzureDevOps     = "azuredevops"
)

// Proposal is a pull request as it should be.
type Proposal struct {
	Head, Base  string // names of branches of the one repository
	Title, Body string
	// For tells the requests of one owner apart: a request whose head is no longer proposed is superseded by the one for
	// the same. It has no line breaks.
	For string
	// Changes identifies what is proposed: what people have declined is not proposed again. It has no line breaks.
	Changes string
	// Labels, Reviewers, Draft and AutoMerge are set when the request is opened, and are people's business afterwards.
	Labels, Reviewers []string
	Draft, AutoMerge  bool
}

// PullRequest is a pull request from a branch of the repository itself.
type PullRequest struct {
	ID          int
	URL         string // of the page for people
	Head, Base  string
	Title, Body string

	node      string              // the ID for GitHub's GraphQL API
	version   int                 // which Bitbucket Data Center wants to hear again with each change
	reviewers []bitbucketReviewer // likewise
}

// with returns the request with another title and description.
func (r PullRequest) with(title, body string) PullRequest {
	r.Title, r.Body = title, body
	return r
}

// Forge is a repository on a server.
type Forge interface {
	// List returns the requests into a branch from branches of the repository itself.
	List(ctx context.Context, s Search) ([]PullRequest, error)
	// Create opens a request, and sets everything that the call can set.
	Create(ctx context.Context, p Proposal) (PullRequest, error)
	// Adorn sets of a new request what Create cannot set.
	Adorn(ctx context.Context, r PullRequest, p Proposal) error
	// Update replaces title and description, and returns the request as it is now.
	Update(ctx context.Context, r PullRequest, title, body string) (PullRequest, error)
	// Close closes the request without merging it.
	Close(ctx context.Context, r PullRequest) error
	// Comment writes a comment.
	Comment(ctx context.Context, r PullRequest, text string) error
	// Limits returns how many bytes a title and a description may have.
	Limits() (title, body int)
}

// Search says which requests are listed: the open ones into Base, or those that were closed and not merged, from some
// heads into Base, the newest first.
type Search struct {
	Base     string
	Heads    []string // empty: from all
	Declined bool
}

// state returns the provider's word for the state of the requests.
func (s Search) state(open, declined string) []string {
	if s.Declined {
		return []string{declined}
	}
	return []string{open}
}

// wants reports whether the request is one of those, for providers that cannot choose by the branches.
func (s Search) wants(r PullRequest) bool {
	return r.Base == s.Base && (len(s.Heads) == 0 || slices.Contains(s.Heads, r.Head))
}

// each calls list for each head, or once for all if no heads are wanted, for providers that can choose by one head.
func (s Search) each(list func(head string) error) error {
	if len(s.Heads) == 0 {
		return list("")
	}
	for _, head := range s.Heads {
		if err := list(head); err != nil && !errors.Is(err, artifact.ErrLimit) { // the newest ones are there
			return err
		}
	}
	return nil
}

// Config is how a server is reached.
type Config struct {
	Provider   string
	Repository *url.URL // of the Git repository: http, https or ssh
	API        *url.URL // the address of the API; nil: APIOf knows it
	Username   string   // empty for a token that is enough by itself
	Token      string
	Client     *http.Client // carries out the requests, by the rules for sources; see source.Request.HTTP
}

// New returns the repository of a Config. The error is source.ErrRequest if the URL is not one of the provider's.
func New(c Config) (Forge, error) {
	at, err := locate(c.Provider, c.Repository)
	if err != nil {
		return nil, err
	}
	if c.API != nil {
		at.api = c.API
	}
	server := rest{clientFor(c.Client, at.api), at.api, c.authorization()}
	switch c.Provider {
	case GitHub:
		return newGitHub(server, at), nil
	case GitLab:
		return gitlab{server.below("projects/" + url.PathEscape(at.owner+"/"+at.name)), server}, nil
	case Gitea:
		return gitea{server.below("repos", at.owner, at.name), at}, nil
	case Bitbucket:
		return bitbucket{server.below("repositories", at.owner, at.name), at}, nil
	case BitbucketServer:
		return bitbucketServer{server.below("projects", at.owner, "repos", at.name), at}, nil
	default: // locate knows no other
		return azure{server.below(url.PathEscape(at.owner), "_apis", "git", "repositories", at.name), at}, nil
	}
}

// authorization returns the header of requests.
func (c Config) authorization() string {
	isBitbucket := c.Provider == Bitbucket || c.Provider == BitbucketServer
	switch {
	case c.Token == "":
		return ""
	case c.Provider == AzureDevOps:
		return basic("", c.Token)
	case c.Provider == Gitea:
		return "token " + c.Token
	case isBitbucket && c.Username != "" && c.Username != "x-token-auth":
		return basic(c.Username, c.Token)
	}
	return "Bearer " + c.Token
}

// clientFor returns a client that asks only the server of the API, and waits only so long for each answer.
func clientFor(client *http.Client, api *url.URL) *http.Client {
	own, check := *client, client.CheckRedirect
	own.Timeout = callTime
	own.CheckRedirect = func(r *http.Request, via []*http.Request) error {
		if !source.SameOrigin(api, r.URL) {
			return source.RefuseRedirect(r.URL, "another server than that of the API")
		}
		if check == nil {
			return nil
		}
		return check(r, via)
	}
	return &own
}

// APIOf returns the address of a provider's API for the URL of a repository. The error is source.ErrRequest.
func APIOf(provider string, repository *url.URL) (*url.URL, error) {
	at, err := locate(provider, repository)
	return at.api, err
}

// unknown returns the error for a provider that does not exist.
func unknown(provider string) error {
	return fmt.Errorf("%w: there is no provider %q of pull requests; want one of %s", source.ErrRequest, provider,
		strings.Join(api.PullRequestProviders, ", "))
}
