package forge

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strconv"

	"github.com/navefleet/nave/hub/internal/source"
)

// bitbucket is a repository on Bitbucket Cloud, by version 2.0 of its REST API.
type bitbucket struct {
	rest
	location
}

type bitbucketBranch struct {
	Branch struct {
		Name string `json:"name"`
	} `json:"branch"`
	Repository struct {
		Name string `json:"full_name"`
	} `json:"repository"`
}

type bitbucketPull struct {
	ID          int             `json:"id"`
	Title       string          `json:"title"`
	Description string          `json:"description"`
	Source      bitbucketBranch `json:"source"`
	Destination bitbucketBranch `json:"destination"`
	Links       struct {
		HTML struct {
			Address string `json:"href"`
		} `json:"html"`
	} `json:"links"`
}

func (p bitbucketPull) request() PullRequest {
	return PullRequest{ID: p.ID, URL: p.Links.HTML.Address, Head: p.Source.Branch.Name, Base: p.Destination.Branch.Name,
		Title: p.Title, Body: p.Description}
}

// List implements Forge.
func (b bitbucket) List(ctx context.Context, s Search) (all []PullRequest, err error) {
	query := url.Values{"state": s.state("OPEN", "DECLINED"), "pagelen": {strconv.Itoa(pageSize)}}
	read := func(page int) (bool, error) {
		var found struct {
			Values []bitbucketPull `json:"values"`
			Next   string          `json:"next"`
		}
		query.Set("page", strconv.Itoa(page))
		err := b.get(ctx, "pullrequests", query, &found)
		if err == nil && found.Values == nil {
			err = errNoList("pullrequests", "values")
		}
		for _, p := range found.Values {
			if s.wants(p.request()) && isSame(p.Source.Repository.Name, p.Destination.Repository.Name) {
				all = append(all, p.request())
			}
		}
		return found.Next != "", err
	}
	err = s.each(func(head string) error {
		if head != "" {
			query.Set("q", "source.branch.name = "+strconv.Quote(head))
		}
		return pages(read)
	})
	return all, err
}

// Create implements Forge.
func (b bitbucket) Create(ctx context.Context, p Proposal) (PullRequest, error) {
	branch := func(name string) fields { return fields{"branch": fields{"name": name}} }
	body := fields{"title": p.Title, "description": p.Body, "source": branch(p.Head), "destination": branch(p.Base),
		"close_source_branch": true, "draft": p.Draft}
	if len(p.Reviewers) > 0 {
		var reviewers []fields
		for _, r := range p.Reviewers {
			reviewers = append(reviewers, fields{"uuid": r})
		}
		body["reviewers"] = reviewers
	}
	var made bitbucketPull
	err := b.post(ctx, "pullrequests", body, &made)
	return made.request(), err
}

// Adorn implements Forge. Bitbucket has no labels, and lets no request merge by itself.
func (bitbucket) Adorn(_ context.Context, _ PullRequest, p Proposal) error { return bitbucketLacks(p) }

// bitbucketLacks returns the error of what Bitbucket does not have.
func bitbucketLacks(p Proposal) error {
	var errs []error
	if len(p.Labels) > 0 {
		errs = append(errs, fmt.Errorf("%w: Bitbucket has no labels", source.ErrDeclined))
	}
	if p.AutoMerge {
		errs = append(errs, fmt.Errorf("%w: the API of Bitbucket lets no request merge by itself", source.ErrDeclined))
	}
	return errors.Join(errs...)
}

// Update implements Forge.
func (b bitbucket) Update(ctx context.Context, r PullRequest, title, body string) (PullRequest, error) {
	err := b.put(ctx, fmt.Sprintf("pullrequests/%d", r.ID), fields{"title": title, "description": body}, nil)
	return r.with(title, body), err
}

// Close implements Forge.
func (b bitbucket) Close(ctx context.Context, r PullRequest) error {
	return b.post(ctx, fmt.Sprintf("pullrequests/%d/decline", r.ID), nil, nil)
}

// Comment implements Forge.
func (b bitbucket) Comment(ctx context.Context, r PullRequest, text string) error {
	return b.post(ctx, fmt.Sprintf("pullrequests/%d/comments", r.ID), fields{"content": fields{"raw": text}}, nil)
}

// Limits implements Forge.
func (bitbucket) Limits() (title, body int) { return 255, 32_768 }
