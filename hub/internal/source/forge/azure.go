package forge

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"unicode/utf8"
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

// azureShown is how many characters of a description lists have.
const azureShown = 400

// List implements Forge.
func (a azure) List(ctx context.Context, s Search) (all []PullRequest, err error) {
	query := url.Values{"searchCriteria.status": s.state("active", "abandoned"),
		"searchCriteria.targetRefName": {heads + s.Base}, "$top": {strconv.Itoa(pageSize)}}
	err = s.each(func(head string) error {
		if head != "" {
			query.Set("searchCriteria.sourceRefName", heads+head)
		}
		found, err := a.list(ctx, query)
		all = append(all, found...)
		return err
	})
	return all, err
}

// list returns the requests of all pages. The server does not say whether there is a further one.
func (a azure) list(ctx context.Context, query url.Values) (all []PullRequest, err error) {
	skip := 0
	err = pages(func(int) (bool, error) {
		var found struct {
			Value []azurePull `json:"value"`
		}
		query.Set("$skip", strconv.Itoa(skip))
		if err := a.ask(ctx, http.MethodGet, "pullrequests", query, nil, &found); err != nil {
			return false, err
		}
		if found.Value == nil {
			return false, errNoList("pullrequests", "value")
		}
		for _, p := range found.Value {
			if p.Fork != nil {
				continue
			}
			if p, err = a.whole(ctx, p); err != nil {
				return false, err
			}
			all = append(all, a.request(p))
		}
		skip += len(found.Value)
		return len(found.Value) > 0, nil
	})
	return all, err
}

// whole returns a request of a list with all of its description.
func (a azure) whole(ctx context.Context, p azurePull) (azurePull, error) {
	if utf8.RuneCountInString(p.Body) < azureShown {
		return p, nil
	}
	err := a.ask(ctx, http.MethodGet, fmt.Sprintf("pullrequests/%d", p.ID), nil, nil, &p)
	return p, err
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
func (a azure) Update(ctx context.Context, r PullRequest, title, body string) (PullRequest, error) {
	return r.with(title, body), a.change(ctx, r, fields{"title": title, "description": body})
}

// Close implements Forge.
func (a azure) Close(ctx context.Context, r PullRequest) error {
	return a.change(ctx, r, fields{"status": "abandoned"})
}

// Comment implements Forge.
func (a azure) Comment(ctx context.Context, r PullRequest, text string) error {
	comment := fields{"parentCommentId": 0, "content": text, "commentType": 1}
	return a.ask(ctx, http.MethodPost, fmt.Sprintf("pullrequests/%d/threads", r.ID), nil,
		fields{"comments": []fields{comment}, "status": "closed"}, nil)
}

// Limits implements Forge.
func (azure) Limits() (title, body int) { return 400, 4000 }
