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

// gitea is a repository on Gitea or Forgejo, by version 1 of their API.
type gitea struct {
	rest
	location
}

// workPrefix is how Gitea tells a draft.
const workPrefix = "WIP: "

// List implements Forge. The server cannot choose by the branches, and its fields are named after GitHub's.
func (g gitea) List(ctx context.Context, s Search) (all []PullRequest, err error) {
	return listGitHubLike(ctx, g.rest, s, "limit", url.Values{"state": s.state("open", "closed")})
}

// Create implements Forge.
func (g gitea) Create(ctx context.Context, p Proposal) (PullRequest, error) {
	title := p.Title
	if p.Draft {
		title = workPrefix + title
	}
	var made githubPull
	err := g.post(ctx, "pulls", fields{"title": title, "body": p.Body, "head": p.Head, "base": p.Base}, &made)
	return made.request(), err
}

// Adorn implements Forge.
func (g gitea) Adorn(ctx context.Context, r PullRequest, p Proposal) error {
	at := fmt.Sprintf("pulls/%d", r.ID)
	var errs []error
	if len(p.Labels) > 0 {
		errs = append(errs, g.label(ctx, r, p.Labels))
	}
	if len(p.Reviewers) > 0 {
		people, teams := githubReviewers(p.Reviewers)
		errs = append(errs, g.post(ctx, at+"/requested_reviewers", fields{"reviewers": people, "team_reviewers": teams}, nil))
	}
	if p.AutoMerge {
		errs = append(errs, g.post(ctx, at+"/merge", fields{"Do": "merge", "merge_when_checks_succeed": true}, nil))
	}
	return errors.Join(errs...)
}

// label sets labels, which the API knows by their numbers.
func (g gitea) label(ctx context.Context, r PullRequest, names []string) error {
	ids := []int{}
	numbers := map[string]int{}
	err := g.numbered(ctx, "labels", "limit", url.Values{}, func(text json.RawMessage) (int, error) {
		var found []struct {
			ID   int    `json:"id"`
			Name string `json:"name"`
		}
		err := json.Unmarshal(text, &found)
		for _, l := range found {
			numbers[strings.ToLower(l.Name)] = l.ID
		}
		return len(found), err
	})
	if err != nil {
		return err
	}
	for _, name := range names {
		id, ok := numbers[strings.ToLower(name)]
		if !ok {
			err = errors.Join(err, fmt.Errorf("%w: the repository has no label %q: make it", source.ErrDeclined, name))
			continue
		}
		ids = append(ids, id)
	}
	return errors.Join(err, g.post(ctx, fmt.Sprintf("issues/%d/labels", r.ID), fields{"labels": ids}, nil))
}

// Update implements Forge. It keeps the request a draft if people made it one.
func (g gitea) Update(ctx context.Context, r PullRequest, title, body string) (PullRequest, error) {
	if strings.HasPrefix(r.Title, workPrefix) {
		title = workPrefix + strings.TrimPrefix(title, workPrefix)
	}
	err := g.patch(ctx, fmt.Sprintf("pulls/%d", r.ID), fields{"title": title, "body": body})
	return r.with(title, body), err
}

// Close implements Forge.
func (g gitea) Close(ctx context.Context, r PullRequest) error {
	return g.patch(ctx, fmt.Sprintf("pulls/%d", r.ID), fields{"state": "closed"})
}

// Comment implements Forge.
func (g gitea) Comment(ctx context.Context, r PullRequest, text string) error {
	return g.post(ctx, fmt.Sprintf("issues/%d/comments", r.ID), fields{"body": text}, nil)
}

// Limits implements Forge.
func (gitea) Limits() (title, body int) { return 255 - len(workPrefix), 65_535 }
