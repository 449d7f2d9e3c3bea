package forge

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
)

// azure is a repository on Azure DevOps, by version 7.1 of its REST API.
type azure struct {
	rest
	location
}

type azurePull struct {
	ID    int    `json:"pullRequestId"`
	Title string `json:"title"`
	Body  string `json:"description"`
	Head  string `json:"sourceRefName"`
	Base  string `json:"targetRefName"`
	Fork  *struct {
		Name string `json:"name"`
	} `json:"forkSource"`
	CreatedBy struct {
		ID string `json:"id"`
	} `json:"createdBy"`
}

func (a azure) request(p azurePull) PullRequest {
	page := a.web.JoinPath(url.PathEscape(a.owner), "_git", url.PathEscape(a.name), "pullrequest", strconv.Itoa(p.ID))
	return PullRequest{ID: p.ID, node: p.CreatedBy.ID, URL: page.String(), Head: strings.TrimPrefix(p.Head, heads),
		Base: strings.TrimPrefix(p.Base, heads), Title: p.Title, Body: p.Body}
}

// ask is call with the version that Azure wants in each.
func (a azure) ask(ctx context.Context, method, path string, query url.Values, body fields, result any) error {
	if query == nil {
		query = url.Values{}
	}
	query.Set("api-version", "7.1")
	return a.call(ctx, method, path, query, body, result)
}

// Open implements Forge.
func (a azure) Open(ctx context.Context, base string) (all []PullRequest, err error) {
	err = pages(func(page int) (int, error) {
		var found struct {
			Value []azurePull `json:"value"`
		}
		err := a.ask(ctx, http.MethodGet, "pullrequests", url.Values{"searchCriteria.status": {"active"},
			"searchCriteria.targetRefName": {heads + base}, "$top": {strconv.Itoa(pageSize)},
			"$skip": {strconv.Itoa((page - 1) * pageSize)}}, nil, &found)
		for _, p := range found.Value {
			if p.Fork == nil {
				all = append(all, a.request(p))
			}
		}
		return len(found.Value), err
	})
	return all, err
}

// Create implements Forge.
func (a azure) Create(ctx context.Context, p Proposal) (PullRequest, error) {
	labels, reviewers := []fields{}, []fields{}
	for _, name := range p.Labels {
		labels = append(labels, fields{"name": name})
	}
	for _, id := range p.Reviewers {
		reviewers = append(reviewers, fields{"id": id})
	}
	var made azurePull
	err := a.ask(ctx, http.MethodPost, "pullrequests", nil, fields{"title": p.Title, "description": p.Body,
		"sourceRefName": heads + p.Head, "targetRefName": heads + p.Base, "isDraft": p.Draft, "labels": labels,
		"reviewers": reviewers}, &made)
	return a.request(made), err
}

// Adorn implements Forge. The request merges by itself on behalf of whoever opened it.
func (a azure) Adorn(ctx context.Context, r PullRequest, p Proposal) error {
	switch {
	case !p.AutoMerge:
		return nil
	case r.node == "":
		return errors.New("the server does not say who opened the request, so that it cannot merge by itself")
	}
	return a.change(ctx, r, fields{"autoCompleteSetBy": fields{"id": r.node}})
}

func (a azure) change(ctx context.Context, r PullRequest, body fields) error {
	return a.ask(ctx, http.MethodPatch, fmt.Sprintf("pullrequests/%d", r.ID), nil, body, nil)
}

// Update implements Forge.
func (a azure) Update(ctx context.Context, r PullRequest, title, body string) error {
	return a.change(ctx, r, fields{"title": title, "description": body})
}

// Close implements Forge.
func (a azure) Close(ctx context.Context, r PullRequest, why string) error {
	comment := fields{"parentCommentId": 0, "content": why, "commentType": 1}
	err := a.ask(ctx, http.MethodPost, fmt.Sprintf("pullrequests/%d/threads", r.ID), nil,
		fields{"comments": []fields{comment}, "status": "closed"}, nil)
	if err != nil {
		return err
	}
	return a.change(ctx, r, fields{"status": "abandoned"})
}

// Limits implements Forge.
func (azure) Limits() (title, body int) { return 400, 4000 }
