package forge

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
)

// bitbucketServer is a repository on Bitbucket Data Center (Server), by version 1.0 of its REST API.
type bitbucketServer struct {
	rest
	location
}

type bitbucketRef struct {
	ID         string `json:"id"` // refs/heads/main
	Repository struct {
		Slug    string `json:"slug"`
		Project struct {
			Key string `json:"key"`
		} `json:"project"`
	} `json:"repository"`
}

type bitbucketReviewer struct {
	User struct {
		Name string `json:"name"`
	} `json:"user"`
}

type bitbucketServerPull struct {
	ID          int                 `json:"id"`
	Version     int                 `json:"version"`
	Title       string              `json:"title"`
	Description string              `json:"description"`
	From        bitbucketRef        `json:"fromRef"`
	To          bitbucketRef        `json:"toRef"`
	Reviewers   []bitbucketReviewer `json:"reviewers"`
	Links       struct {
		Self []struct {
			Address string `json:"href"`
		} `json:"self"`
	} `json:"links"`
}

const heads = "refs/heads/"

func (p bitbucketServerPull) request() PullRequest {
	r := PullRequest{ID: p.ID, version: p.Version, reviewers: p.Reviewers, Head: strings.TrimPrefix(p.From.ID, heads),
		Base: strings.TrimPrefix(p.To.ID, heads), Title: p.Title, Body: p.Description}
	if len(p.Links.Self) > 0 {
		r.URL = p.Links.Self[0].Address
	}
	return r
}

// List implements Forge.
func (b bitbucketServer) List(ctx context.Context, s Search) (all []PullRequest, err error) {
	query := url.Values{"state": s.state("OPEN", "DECLINED"), "direction": {"INCOMING"}, "at": {heads + s.Base},
		"limit": {strconv.Itoa(pageSize)}}
	start := 0
	err = pages(func(int) (bool, error) {
		var found struct {
			Values []bitbucketServerPull `json:"values"`
			IsLast bool                  `json:"isLastPage"`
			Next   int                   `json:"nextPageStart"`
		}
		query.Set("start", strconv.Itoa(start))
		err := b.get(ctx, "pull-requests", query, &found)
		if err == nil && found.Values == nil {
			err = errNoList("pull-requests", "values")
		}
		for _, p := range found.Values {
			from := p.From.Repository
			if isSame(from.Slug, b.name) && isSame(from.Project.Key, b.owner) && s.wants(p.request()) {
				all = append(all, p.request())
			}
		}
		isNext := !found.IsLast && found.Next > start
		start = found.Next
		return isNext, err
	})
	return all, err
}

// Create implements Forge.
func (b bitbucketServer) Create(ctx context.Context, p Proposal) (PullRequest, error) {
	ref := func(branch string) fields {
		return fields{"id": heads + branch, "repository": fields{"slug": b.name, "project": fields{"key": b.owner}}}
	}
	reviewers := make([]bitbucketReviewer, len(p.Reviewers))
	for i, name := range p.Reviewers {
		reviewers[i].User.Name = name
	}
	var made bitbucketServerPull
	err := b.post(ctx, "pull-requests", fields{"title": p.Title, "description": p.Body, "fromRef": ref(p.Head),
		"toRef": ref(p.Base), "reviewers": reviewers, "draft": p.Draft}, &made)
	return made.request(), err
}

// Adorn implements Forge.
func (bitbucketServer) Adorn(_ context.Context, _ PullRequest, p Proposal) error {
	return bitbucketLacks(p)
}

// Update implements Forge. Reviewers that the call does not name would be removed.
func (b bitbucketServer) Update(ctx context.Context, r PullRequest, title, body string) (PullRequest, error) {
	var now bitbucketServerPull
	err := b.put(ctx, fmt.Sprintf("pull-requests/%d", r.ID), fields{"version": r.version, "title": title,
		"description": body, "reviewers": r.reviewers}, &now)
	r.version = now.Version
	return r.with(title, body), err
}

// Close implements Forge.
func (b bitbucketServer) Close(ctx context.Context, r PullRequest) error {
	return b.call(ctx, http.MethodPost, fmt.Sprintf("pull-requests/%d/decline", r.ID),
		url.Values{"version": {strconv.Itoa(r.version)}}, nil, nil)
}

// Comment implements Forge.
func (b bitbucketServer) Comment(ctx context.Context, r PullRequest, text string) error {
	return b.post(ctx, fmt.Sprintf("pull-requests/%d/comments", r.ID), fields{"text": text}, nil)
}

// Limits implements Forge.
func (bitbucketServer) Limits() (title, body int) { return 255, 32_768 }
