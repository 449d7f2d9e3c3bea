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

// Open implements Forge.
func (b bitbucket) Open(ctx context.Context, base string) (all []PullRequest, err error) {
	err = pages(func(page int) (int, error) {
		var found struct {
			Values []bitbucketPull `json:"values"`
		}
		err := b.get(ctx, "pullrequests", url.Values{"state": {"OPEN"}, "pagelen": {strconv.Itoa(pageSize)},
			"page": {strconv.Itoa(page)}}, &found)
		for _, p := range found.Values {
			if p.Destination.Branch.Name == base && isSame(p.Source.Repository.Name, b.owner+"/"+b.name) {
				all = append(all, p.request())
			}
		}
		return len(found.Values), err
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
		errs = append(errs, fmt.Errorf("%w: Bitbucket has no labels", source.ErrRejected))
	}
	if p.AutoMerge {
		errs = append(errs, fmt.Errorf("%w: the API of Bitbucket lets no request merge by itself", source.ErrRejected))
	}
	return errors.Join(errs...)
}

// Update implements Forge.
func (b bitbucket) Update(ctx context.Context, r PullRequest, title, body string) error {
	return b.put(ctx, fmt.Sprintf("pullrequests/%d", r.ID), fields{"title": title, "description": body})
}

// Close implements Forge.
func (b bitbucket) Close(ctx context.Context, r PullRequest, why string) error {
	at := fmt.Sprintf("pullrequests/%d", r.ID)
	if err := b.post(ctx, at+"/comments", fields{"content": fields{"raw": why}}, nil); err != nil {
		return err
	}
	return b.post(ctx, at+"/decline", nil, nil)
}

// Limits implements Forge.
func (bitbucket) Limits() (title, body int) { return 255, 32_768 }
