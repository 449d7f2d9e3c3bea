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

// gitlab is a project on GitLab, by version 4 of its REST API. A pull request is a merge request there.
type gitlab struct {
	rest
	server rest
}

type gitlabRequest struct {
	Number        int    `json:"iid"`
	URL           string `json:"web_url"`
	Title         string `json:"title"`
	Body          string `json:"description"`
	Head          string `json:"source_branch"`
	Base          string `json:"target_branch"`
	SourceProject int    `json:"source_project_id"`
	TargetProject int    `json:"target_project_id"`
}

// draftPrefix is how GitLab tells a draft.
const draftPrefix = "Draft: "

func (m gitlabRequest) request() PullRequest {
	return PullRequest{ID: m.Number, URL: m.URL, Head: m.Head, Base: m.Base, Title: m.Title, Body: m.Body}
}

// List implements Forge.
func (g gitlab) List(ctx context.Context, s Search) (all []PullRequest, err error) {
	query := url.Values{"state": s.state("opened", "closed"), "target_branch": {s.Base}}
	read := func(text json.RawMessage) (int, error) {
		var found []gitlabRequest
		err := json.Unmarshal(text, &found)
		for _, m := range found {
			if m.SourceProject == m.TargetProject {
				all = append(all, m.request())
			}
		}
		return len(found), err
	}
	err = s.each(func(head string) error {
		if head != "" {
			query.Set("source_branch", head)
		}
		return g.numbered(ctx, "merge_requests", "per_page", query, read)
	})
	return all, err
}

// Create implements Forge.
func (g gitlab) Create(ctx context.Context, p Proposal) (PullRequest, error) {
	body := fields{"title": p.Title, "description": p.Body, "source_branch": p.Head, "target_branch": p.Base,
		"labels": strings.Join(p.Labels, ",")}
	if p.Draft {
		body["title"] = draftPrefix + p.Title
	}
	var made gitlabRequest
	err := g.post(ctx, "merge_requests", body, &made)
	return made.request(), err
}

// Adorn implements Forge.
func (g gitlab) Adorn(ctx context.Context, r PullRequest, p Proposal) error {
	at := fmt.Sprintf("merge_requests/%d", r.ID)
	ids, err := g.users(ctx, p.Reviewers)
	if len(ids) > 0 {
		err = errors.Join(err, g.put(ctx, at, fields{"reviewer_ids": ids}, nil))
	}
	if p.AutoMerge {
		// Newer servers read the one name, older ones the other.
		err = errors.Join(err, g.put(ctx, at+"/merge", fields{"auto_merge": true, "merge_when_pipeline_succeeds": true},
			nil))
	}
	return err
}

// users returns the IDs of users. Those that do not exist are the error.
func (g gitlab) users(ctx context.Context, names []string) (ids []int, err error) {
	for _, name := range names {
		var found []struct {
			ID int `json:"id"`
		}
		lookErr := g.server.get(ctx, "users", url.Values{"username": {name}}, &found)
		switch {
		case lookErr != nil:
			err = errors.Join(err, lookErr)
		case len(found) != 1:
			err = errors.Join(err, fmt.Errorf("%w: the server has no user %q to review", source.ErrDeclined, name))
		default:
			ids = append(ids, found[0].ID)
		}
	}
	return ids, err
}

// Update implements Forge. It keeps the request a draft if people made it one.
func (g gitlab) Update(ctx context.Context, r PullRequest, title, body string) (PullRequest, error) {
	if strings.HasPrefix(r.Title, draftPrefix) {
		title = draftPrefix + strings.TrimPrefix(title, draftPrefix)
	}
	err := g.put(ctx, fmt.Sprintf("merge_requests/%d", r.ID), fields{"title": title, "description": body}, nil)
	return r.with(title, body), err
}

// Close implements Forge.
func (g gitlab) Close(ctx context.Context, r PullRequest) error {
	return g.put(ctx, fmt.Sprintf("merge_requests/%d", r.ID), fields{"state_event": "close"}, nil)
}

// Comment implements Forge.
func (g gitlab) Comment(ctx context.Context, r PullRequest, text string) error {
	return g.post(ctx, fmt.Sprintf("merge_requests/%d/notes", r.ID), fields{"body": text}, nil)
}

// Limits implements Forge.
func (gitlab) Limits() (title, body int) { return 255 - len(draftPrefix), 1 << 20 }
