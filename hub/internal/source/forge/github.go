package forge

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/navefleet/nave/hub/internal/source"
)

// github is a repository on GitHub, by version 3 of its REST API.
type github struct {
	rest
	location
	graph rest // the API that can let a request merge by itself
}

func newGitHub(server rest, at location) github {
	graph := server
	graph.base = &url.URL{Scheme: server.base.Scheme, Host: server.base.Host,
		Path: strings.TrimSuffix(strings.TrimSuffix(server.base.Path, "/"), "/v3")}
	return github{server.below("repos", at.owner, at.name), at, graph}
}

type githubPull struct {
	Number int    `json:"number"`
	Node   string `json:"node_id"`
	URL    string `json:"html_url"`
	Title  string `json:"title"`
	Body   string `json:"body"`
	Merged string `json:"merged_at"`
	Head   struct {
		Ref        string `json:"ref"`
		Repository struct {
			Name string `json:"full_name"` // empty if it was deleted
		} `json:"repo"`
	} `json:"head"`
	Base struct {
		Ref        string `json:"ref"`
		Repository struct {
			Name string `json:"full_name"`
		} `json:"repo"`
	} `json:"base"`
}

// isFork reports whether the request is from another repository. The names are those that the repository has now: a
// server still knows it by an older one.
func (p githubPull) isFork() bool { return !isSame(p.Head.Repository.Name, p.Base.Repository.Name) }

func (p githubPull) request() PullRequest {
	return PullRequest{ID: p.Number, node: p.Node, URL: p.URL, Head: p.Head.Ref, Base: p.Base.Ref, Title: p.Title,
		Body: p.Body}
}

// List implements Forge.
func (g github) List(ctx context.Context, s Search) (all []PullRequest, err error) {
	query := url.Values{"state": s.state("open", "closed"), "base": {s.Base}}
	owner := ""
	if len(s.Heads) > 0 {
		if owner, err = g.ownerNow(ctx); err != nil {
			return nil, err
		}
	}
	err = s.each(func(head string) error {
		if head != "" {
			query.Set("head", owner+":"+head)
		}
		found, err := listGitHubLike(ctx, g.rest, s, "per_page", query)
		all = append(all, found...)
		return err
	})
	return all, err
}

// ownerNow returns the owner that the repository has now: after a transfer, a server still knows it by an older one,
// but not its branches.
func (g github) ownerNow(ctx context.Context) (string, error) {
	var found struct {
		Owner struct {
			Login string `json:"login"`
		} `json:"owner"`
	}
	if err := g.get(ctx, "", nil, &found); err != nil {
		return "", err
	}
	if found.Owner.Login == "" {
		return "", fmt.Errorf("%w: GET %s: the answer does not name the owner of the repository", source.ErrProtocol,
			source.Redact(g.base.String()))
	}
	return found.Owner.Login, nil
}

// listGitHubLike returns requests from GitHub or Gitea.
func listGitHubLike(ctx context.Context, r rest, s Search, size string, query url.Values) (all []PullRequest,
	err error) {
	err = r.numbered(ctx, "pulls", size, query, func(text json.RawMessage) (int, error) {
		var found []githubPull
		err := json.Unmarshal(text, &found)
		for _, p := range found {
			if !p.isFork() && s.wants(p.request()) && p.Merged == "" {
				all = append(all, p.request())
			}
		}
		return len(found), err
	})
	return all, err
}

// Create implements Forge.
func (g github) Create(ctx context.Context, p Proposal) (PullRequest, error) {
	var made githubPull
	err := g.post(ctx, "pulls", fields{"title": p.Title, "body": p.Body, "head": p.Head, "base": p.Base,
		"draft": p.Draft}, &made)
	return made.request(), err
}

// Adorn implements Forge.
func (g github) Adorn(ctx context.Context, r PullRequest, p Proposal) error {
	var errs []error
	if len(p.Labels) > 0 {
		errs = append(errs, g.post(ctx, fmt.Sprintf("issues/%d/labels", r.ID), fields{"labels": p.Labels}, nil))
	}
	if len(p.Reviewers) > 0 {
		people, teams := githubReviewers(p.Reviewers)
		errs = append(errs, g.post(ctx, fmt.Sprintf("pulls/%d/requested_reviewers", r.ID),
			fields{"reviewers": people, "team_reviewers": teams}, nil))
	}
	if p.AutoMerge {
		errs = append(errs, g.mergeItself(ctx, r))
	}
	return errors.Join(errs...)
}

// githubReviewers tells people from teams, whose names are organization/team.
func githubReviewers(names []string) (people, teams []string) {
	people, teams = []string{}, []string{}
	for _, name := range names {
		if _, team, ok := strings.Cut(name, "/"); ok {
			teams = append(teams, team)
		} else {
			people = append(people, name)
		}
	}
	return people, teams
}

// mergeItself lets the server merge the request as soon as its rules allow that.
func (g github) mergeItself(ctx context.Context, r PullRequest) error {
	var answer struct {
		Errors []struct {
			Message string `json:"message"`
		} `json:"errors"`
	}
	err := g.graph.post(ctx, "graphql", fields{
		"query":     "mutation($id: ID!) { enablePullRequestAutoMerge(input: {pullRequestId: $id}) { clientMutationId } }",
		"variables": fields{"id": r.node},
	}, &answer)
	if err == nil && len(answer.Errors) > 0 {
		err = fmt.Errorf("%w: enablePullRequestAutoMerge: %s", source.ErrDeclined, source.Quote(answer.Errors[0].Message))
	}
	return err
}

// Update implements Forge.
func (g github) Update(ctx context.Context, r PullRequest, title, body string) (PullRequest, error) {
	err := g.patch(ctx, fmt.Sprintf("pulls/%d", r.ID), fields{"title": title, "body": body})
	return r.with(title, body), err
}

// Close implements Forge.
func (g github) Close(ctx context.Context, r PullRequest) error {
	return g.patch(ctx, fmt.Sprintf("pulls/%d", r.ID), fields{"state": "closed"})
}

// Comment implements Forge.
func (g github) Comment(ctx context.Context, r PullRequest, text string) error {
	return g.post(ctx, fmt.Sprintf("issues/%d/comments", r.ID), fields{"body": text}, nil)
}

// Limits implements Forge.
func (github) Limits() (title, body int) { return 255, 65_536 }
