package writeback

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/source"
	"github.com/navefleet/nave/hub/internal/source/forge"
	"github.com/navefleet/nave/hub/internal/source/git"
)

const (
	pullRequestField = "spec.git.push.pullRequest"
	maxListed        = 100 // changes in a description
	shortDigest      = 16  // digits of the digest of changes in a description
)

// States of a PullRequest.
const (
	isOpen     = "open"
	isDeclined = "declined" // people closed it without merging it
	isClosed   = "closed"   // by this run
)

// PullRequest is a request after a run.
type PullRequest struct {
	URL    string       `json:"url"`
	Branch string       `json:"branch"`
	State  string       `json:"state"`
	Action forge.Action `json:"-"` // of this run; empty: none
}

// review is how the changes of a run are proposed.
type review struct {
	spec  *api.PullRequest
	forge forge.Forge
	base  string // the branch that requests are merged into
	owner forge.Owner

	logIn func(context.Context) error // gives forge a token first; nil: it has one
	open  *forge.Requests             // nil: err says why
	err   error                       // of the server
}

// newReview returns how changes are proposed; nil if they are not. Errors are source.ErrRequest and
// source.ErrAuthentication.
func (j *job) newReview(repository string) (*review, error) {
	push := j.automation.Spec.GitSpec.Push
	if push == nil || push.PullRequest == nil {
		return nil, nil
	}
	v := &review{spec: push.PullRequest, base: j.plan.base, owner: j.owner()}
	secret := j.Secrets[api.PullRequestSecret]
	c := forge.Config{Provider: v.spec.Provider, Username: string(secret["username"]),
		Token: strings.TrimSpace(cmp.Or(string(secret["token"]), string(secret["password"])))}
	isApp := c.Provider == forge.GitHub && c.Token == "" && git.IsGitHubApp(secret)
	if c.Token == "" && !isApp || strings.ContainsAny(c.Token, "\r\n") {
		return nil, source.FieldSecretError(api.PullRequestSecret, errors.New("it needs a token of one line in token"))
	}
	var err error
	if c.Repository, err = url.Parse(repository); err != nil {
		return nil, fmt.Errorf("%w: spec.url of the GitRepository cannot be read", source.ErrRequest)
	}
	if v.spec.Address == "" {
		c.API, err = forge.APIOf(c.Provider, c.Repository)
	} else {
		c.API, err = url.Parse(v.spec.Address)
	}
	if err == nil {
		c.Client, err = j.reaching().HTTP(c.API)
	}
	if err == nil {
		v.forge, err = forge.New(c)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", pullRequestField, err)
	}
	if isApp {
		v.logIn = func(ctx context.Context) error { return j.logIn(ctx, c) }
	}
	return v, nil
}

// logIn asks for the token of a GitHub App, which is one of the credentials from now on.
func (j *job) logIn(ctx context.Context, c forge.Config) (err error) {
	secret := maps.Clone(j.Secrets[api.PullRequestSecret])
	if c.Token, err = git.AppToken(ctx, j.reaching(), api.PullRequestSecret, secret, c.API); err != nil {
		return err
	}
	secret["token"] = []byte(c.Token)
	j.Secrets = maps.Clone(j.Secrets)
	j.Secrets[api.PullRequestSecret] = secret
	j.review.forge, err = forge.New(c)
	return err
}

// owner returns whose requests those of the automation are. Automations of several clusters, or hubs, may have one name
// and one repository: none closes what another one proposes.
func (j *job) owner() forge.Owner {
	o := forge.Owner{Name: j.name(), Branch: j.automation.Spec.GitSpec.Push.Branch}
	if j.Cluster != "" {
		o.Name = j.Cluster + "/" + o.Name
	}
	o.Had = func(r forge.PullRequest) bool {
		return slices.ContainsFunc(j.before.PullRequests, func(p PullRequest) bool { return p.URL == j.page(r) })
	}
	return o
}

// waiting returns what the requests are for that nothing is known of, because a policy has no image yet.
func (j *job) waiting() (keep []string) {
	for name, p := range j.policies.ByName {
		switch {
		case p.Ignored || p.Image.Name != "":
		case j.isPerPolicy():
			keep = append(keep, name)
		default:
			return []string{""}
		}
	}
	return keep
}

// reaching returns how the API is reached: with the certificates of its own Secret, else the authorities of the
// GitRepository, and through the proxy of the GitRepository.
func (j *job) reaching() source.Request {
	certificates := source.Secret{}
	for _, key := range []string{"ca.crt", "caFile", "tls.crt", "certFile", "tls.key", "keyFile"} {
		certificates[key] = j.Secrets[api.PullRequestSecret][key]
	}
	for _, field := range []string{"spec.certSecretRef", "spec.secretRef"} {
		if len(certificates.Authority()) == 0 {
			certificates["ca.crt"] = j.Secrets[field].Authority()
		}
	}
	r := source.Request{Network: j.Network, Secrets: map[string]source.Secret{"spec.secretRef": certificates}}
	if proxy, ok := j.Secrets["spec.proxySecretRef"]; ok {
		r.Secrets["spec.proxySecretRef"] = proxy
	}
	return r
}

// find lists the open requests, before a run that may take so long.
func (v *review) find(ctx context.Context, ofRun time.Duration) {
	v.open, v.err = call(ctx, ofRun, func(ctx context.Context) (*forge.Requests, error) {
		if v.logIn != nil {
			if err := v.logIn(ctx); err != nil {
				return nil, err
			}
		}
		return forge.Find(ctx, v.forge, v.owner, v.base)
	})
}

// ask lists what people have closed of some branches, in the middle of a run that may take so long.
func (v *review) ask(ctx context.Context, ofRun time.Duration, heads []string) {
	v.open, v.err = call(ctx, ofRun, func(ctx context.Context) (*forge.Requests, error) {
		if err := v.open.Ask(ctx, heads); err != nil {
			return nil, err
		}
		return v.open, nil
	})
}

// askPart is which part of the time of a run the server has to answer.
const askPart = 3

// call asks the server before something is pushed. An error, or a slow server, does not end the run.
func call(ctx context.Context, ofRun time.Duration, do func(context.Context) (*forge.Requests, error)) (*forge.Requests,
	error) {
	limit := ofRun / askPart
	ctx, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("%w: %s", source.ErrTimeout, limit))
	defer cancel()
	return do(ctx)
}

// unasked returns the branches of changes of which it is not known yet what people have declined, if the server tells.
func (v *review) unasked(changes []change) []string {
	if v.open == nil {
		return nil
	}
	var heads []string
	for _, c := range changes {
		heads = append(heads, c.branch)
	}
	return v.open.Unasked(heads)
}

// proposal returns the request for a change. text is the message of its commit.
func (j *job) proposal(c change, text string) (forge.Proposal, error) {
	spec := j.review.spec
	title, body, _ := strings.Cut(strings.TrimSpace(text), "\n")
	if c.policy != "" && text == defaultMessage {
		title = fmt.Sprintf("Update %s to %s", c.policy, j.policies.ByName[c.policy].Image.Tag)
	}
	p := forge.Proposal{Head: c.branch, Base: j.plan.base, For: c.policy, Labels: spec.Labels, Reviewers: spec.Reviewers,
		Draft: spec.Draft, AutoMerge: spec.AutoMerge}
	_, digest, _ := strings.Cut(digestOf(c.files), ":")
	p.Changes = digest[:shortDigest]
	var err error
	if p.Title, err = j.text(pullRequestField+".titleTemplate", spec.TitleTemplate, title, c); err != nil {
		return p, err
	}
	unset := strings.TrimSpace(strings.TrimSpace(body) + "\n\n" + listOf(c.files))
	p.Body, err = j.text(pullRequestField+".bodyTemplate", spec.BodyTemplate, unset, c)
	p.Title = strings.Join(strings.Fields(p.Title), " ")
	return p, err
}

// listOf returns the changes of files as a list.
func listOf(files []changedFile) string {
	var b strings.Builder
	n := 0
	for _, f := range files {
		for _, c := range f.changes {
			if n++; n <= maxListed {
				fmt.Fprintf(&b, "- `%s`: `%s` → `%s`\n", shown(f.path), c.Old, c.New)
			}
		}
	}
	if n > maxListed {
		fmt.Fprintf(&b, "- and %d more\n", n-maxListed)
	}
	return b.String()
}

// isDeclined reports whether people have closed a request for the same changes, and notes that.
func (j *job) isDeclined(p forge.Proposal, a *attempt) bool {
	if j.review.open == nil {
		return false
	}
	closed, declined := j.review.open.Declined(p)
	if declined {
		a.PullRequests = append(a.PullRequests, j.result(closed, isDeclined))
	}
	return declined
}

// page returns the URL of a request as the status has it.
func (j *job) page(r forge.PullRequest) string {
	page := source.ConcealText(source.Redact(r.URL), j.Secrets) // the server may say anything
	if u, err := url.Parse(page); err != nil || u.Scheme != "https" && u.Scheme != "http" || len(page) > maxProblem {
		return fmt.Sprintf("number %d", r.ID)
	}
	return page
}

// result returns a request as the status has it.
func (j *job) result(r forge.PullRequest, state string) PullRequest {
	return PullRequest{URL: j.page(r), Branch: r.Head, State: state}
}

// propose makes the requests what a run has found, and deletes the automation's own branches of those that it closes.
func (f *Fetcher) propose(ctx context.Context, j *job, a *attempt) error {
	v := j.review
	if v.open == nil {
		return v.away(a.held)
	}
	results, err := v.open.Sync(ctx, a.proposals, append(j.waiting(), a.kept...)...)
	var closed []string
	for _, r := range results {
		one := j.result(r.PullRequest, isOpen)
		if one.Action = r.Action; r.Action == forge.Closed {
			one.State = isClosed
			closed = append(closed, branches+r.Head)
		}
		a.PullRequests = append(a.PullRequests, one)
		if r.Warning != "" {
			a.Warnings = append(a.Warnings, one.URL+": "+source.ConcealText(r.Warning, j.Secrets))
		}
	}
	if len(closed) > 0 {
		if err := f.tidy(ctx, j, closed); err != nil {
			a.Warnings = append(a.Warnings, "branches of closed pull requests stay: "+source.ConcealText(err.Error(),
				j.Secrets))
		}
	}
	return err
}

// away returns why the server does not tell what is open, and which branches are not made meanwhile; nil if it does.
func (v *review) away(held []string) error {
	if v.err == nil || len(held) == 0 {
		return v.err
	}
	names := "'" + strings.Join(held[:min(len(held), maxShown)], "', '") + "'"
	if more := len(held) - maxShown; more > 0 {
		names += fmt.Sprintf(" and %d more", more)
	}
	return fmt.Errorf("%w; nothing is pushed to new branches (%s) before the server tells which changes people have "+
		"declined", v.err, names)
}

// tidy deletes branches whose last commit is the automation's own.
func (f *Fetcher) tidy(ctx context.Context, j *job, names []string) error {
	author := j.automation.Spec.GitSpec.Commit.Author
	committer := git.Identity{Name: author.Name, Email: author.Email}.String()
	names = slices.DeleteFunc(names, func(name string) bool { return slices.Contains(j.plan.kept(), name) })
	at := git.Checkout{Ref: &j.plan.checkout, References: names}
	return f.Git.Edit(ctx, j.request(), at, func(ctx context.Context, e *git.Editor) error {
		var errs []error
		for _, name := range names {
			last, exists := e.References[name]
			if exists && isOwn(last, name, trailer+j.name(), committer) {
				errs = append(errs, e.Delete(ctx, git.Target{Reference: name, Old: last.ID}))
			}
		}
		return errors.Join(errs...)
	})
}
