package writeback

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"time"

	autov1 "github.com/fluxcd/image-automation-controller/api/v1"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/artifact"
	"github.com/navefleet/nave/hub/internal/image"
	"github.com/navefleet/nave/hub/internal/source"
	"github.com/navefleet/nave/hub/internal/source/forge"
	"github.com/navefleet/nave/hub/internal/source/git"
)

const (
	signingField = "spec.git.commit.signingKey.secretRef"
	messageField = "spec.git.commit.messageTemplate"
	maxAttempts  = 5 // of a run that loses races
)

// Fetcher carries out runs of ImageUpdateAutomations. The zero Fetcher is ready.
type Fetcher struct {
	Git   git.Fetcher
	plain plain
}

var _ source.Fetcher = (*Fetcher)(nil)

// Fetch implements source.Fetcher: it carries out one run.
func (f *Fetcher) Fetch(ctx context.Context, r source.Request) (artifact.Artifact, error) {
	job, err := newJob(r)
	if err != nil {
		return artifact.Artifact{}, err
	}
	run, err := f.run(ctx, job)
	switch {
	case err != nil && (r.Preview || !run.changed()):
		return artifact.Artifact{}, err
	case err != nil:
		return artifact.Artifact{}, job.unfinished(context.WithoutCancel(ctx), run.Run, err)
	case r.Preview:
		return job.preview(ctx, run)
	}
	return job.artifact(ctx, run.Run)
}

// job is one run with its settings.
type job struct {
	source.Request // of the automation
	automation     *api.ImageUpdateAutomation
	plan           plan
	policies       image.Policies
	before         status  // what the earlier runs have done
	last           Push    // the last of them
	review         *review // nil: nothing is proposed
}

// newJob reads a request. Errors are source.ErrRequest.
func newJob(r source.Request) (*job, error) {
	j := &job{Request: r}
	repository := &sourcev1.GitRepository{}
	var err error
	if r.Upstream == nil {
		return nil, fmt.Errorf("%w: the request has no GitRepository", source.ErrRequest)
	}
	if j.automation, err = api.Decode[api.ImageUpdateAutomation](r.Object); err == nil {
		repository, err = api.Decode[sourcev1.GitRepository](r.Upstream)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", source.ErrRequest, err)
	}
	if j.plan, err = newPlan(j.automation.Spec, repository); err != nil {
		return nil, err
	}
	j.policies = image.Policies{Namespace: r.Object.Key.Namespace, ByName: map[string]image.Policy{}}
	for _, key := range r.Unselected {
		j.policies.ByName[key.Name] = image.Policy{Ignored: true}
	}
	for _, p := range r.Selected {
		j.policies.ByName[p.Key.Name] = image.Policy{Image: image.ParseReference(p.Revision)}
	}
	j.before = statusOf(r.Last)
	j.last = j.before.lastPush()
	if j.review, err = j.newReview(repository.Spec.URL); err == nil && j.isPerPolicy() {
		j.plan = j.plan.perPolicy(*j.automation.Spec.GitSpec.Push, j.policies)
	}
	return j, err
}

// request returns the request for the repository, as its GitRepository makes it, so that both use one cache.
func (j *job) request() source.Request {
	r := j.Request
	r.Object, r.Upstream, r.Inputs, r.Selected, r.Unselected, r.Last = j.Upstream, nil, nil, nil, nil, nil
	r.Secrets = maps.Clone(j.Secrets)
	delete(r.Secrets, signingField)
	delete(r.Secrets, api.PullRequestSecret)
	return r
}

// run changes and pushes the files, and proposes the changes. It returns what it has done also with an error.
func (f *Fetcher) run(ctx context.Context, j *job) (done *attempt, err error) {
	if j.review != nil {
		j.review.find(ctx, j.TimeLimit())
	}
	done, err = f.change(ctx, j)
	if err == nil && j.review != nil && !j.Preview { // else what fails afterwards is one of its problems
		err = f.propose(ctx, j, done)
	}
	if err != nil && j.review != nil && len(done.Pushes)+len(done.unpushed) > 0 {
		err = fmt.Errorf("a pull request is missing or as before: %w", err)
	}
	if !j.Preview {
		err = done.failure(err)
	}
	if left := notice(done.Problems); left != "" && err != nil {
		err = fmt.Errorf("%w; besides, %s", err, left)
	}
	if err != nil { // only this process knows the token of a GitHub App
		err = source.Conceal(err, map[string]source.Secret{signingField: j.Secrets[signingField],
			api.PullRequestSecret: j.Secrets[api.PullRequestSecret]})
	}
	return done, err
}

// change changes and pushes the files, and begins again if somebody else has pushed meanwhile.
func (f *Fetcher) change(ctx context.Context, j *job) (last *attempt, err error) {
	at := git.Checkout{Ref: &j.plan.checkout, References: j.plan.references()}
	last = &attempt{}
	for races := 0; races < maxAttempts; {
		err = f.Git.Edit(ctx, j.request(), at, func(ctx context.Context, e *git.Editor) error {
			last = last.again(e)
			return f.carryOut(ctx, j, e, last)
		})
		switch {
		case err == nil && len(last.unasked) > 0:
			j.review.ask(ctx, j.TimeLimit(), last.unasked)
		case errors.Is(err, source.ErrMoved):
			races++
		default:
			return last, err
		}
	}
	return last, err
}

// carryOut makes an attempt.
func (f *Fetcher) carryOut(ctx context.Context, j *job, e *git.Editor, a *attempt) error {
	dir := ""
	if u := j.automation.Spec.Update; u != nil {
		dir = u.Path
	}
	found, err := f.plain.update(ctx, e, e.Head, dir, j.policies)
	files := found.changed
	if a.Problems = found.problems; err == nil {
		a.Lacks = j.lacks(dir, found.markers)
	}
	if err != nil || len(files) == 0 {
		j.last.Changes = "" // merged or withdrawn: they may be proposed again
		return err
	}
	if j.review != nil {
		return f.pushProposals(ctx, j, e, dir, files, a)
	}
	return f.push(ctx, j, e, change{targets: j.plan.targets, files: files}, a)
}

// change is what one commit of a run has.
type change struct {
	policy  string // the only one whose image it has; empty: of all policies
	branch  string // that pull requests are made of
	targets []string
	files   []changedFile
}

// push makes the commit of a change, and pushes it unless that was done before. A change that people have declined is
// not pushed, and as long as that is not known no new branch is made.
func (f *Fetcher) push(ctx context.Context, j *job, e *git.Editor, c change, a *attempt) error {
	made, text, err := j.commit(ctx, e, c)
	if err != nil {
		return err
	}
	var proposal forge.Proposal
	if j.review != nil {
		proposal, err = j.proposal(c, text)
		if err != nil || j.isDeclined(proposal, a) {
			return err
		}
		if _, exists := e.References[branches+c.branch]; !exists && j.review.open == nil {
			a.held = append(a.held, c.branch)
			return nil
		}
	}
	moves, err := decide(c.targets, e.References, e.Head, made, digestOf(c.files), j.last)
	if err == nil && len(moves) > 0 {
		err = j.send(ctx, e, git.Push{Commit: made, Targets: moves}, c, text, a)
	} else if err == nil && j.review == nil {
		a.Awaits = c.targets
	}
	if err != nil {
		return err
	}
	a.noteUnpushed(c.targets, moves)
	if j.review != nil {
		a.proposals = append(a.proposals, proposal)
	}
	return nil
}

// send pushes a commit, and notes that in the a.
func (j *job) send(ctx context.Context, e *git.Editor, p git.Push, c change, text string, a *attempt) error {
	if push := j.automation.Spec.GitSpec.Push; push != nil {
		p.Options = push.Options
	}
	policies := policiesOf(c.files)
	pushed := Push{Commit: p.Commit.ID, Changes: digestOf(c.files), Policies: policies[:min(len(policies), maxPolicies)],
		Message: text, Time: time.Now().UTC().Truncate(time.Second), files: c.files}
	for _, m := range p.Targets {
		pushed.Targets = append(pushed.Targets, m.Reference)
	}
	after := a.with(pushed)
	if _, err := j.statusText(after); err != nil { // afterwards each further run would push again
		return err
	}
	push := e.Push
	if j.Preview {
		push = func(_ context.Context, p git.Push) error { return e.Check(p) }
	}
	if err := push(ctx, p); err != nil {
		return err
	}
	a.Run = after
	return nil
}

// commit makes the commit of changed files, and returns its message.
func (j *job) commit(ctx context.Context, e *git.Editor, of change) (made git.Commit, text string,
	err error) {
	spec := j.automation.Spec.GitSpec.Commit
	c := git.NewCommit{Author: git.Identity{Name: spec.Author.Name, Email: spec.Author.Email}, Time: time.Now()}
	if c.Sign, err = j.signer(spec.SigningKey); err != nil {
		return made, "", err
	}
	if text, err = j.text(messageField, spec.MessageTemplate, defaultMessage, of); err != nil {
		return made, "", err
	}
	if c.Message = text; j.plan.replaces() {
		c.Message = withTrailer(text, j.name(), revisionOf(e.Label, e.Head.ID))
	}
	contents := map[string][]byte{}
	for _, f := range of.files {
		contents[f.path] = f.content
	}
	made, err = e.Commit(ctx, contents, c)
	return made, text, err
}

// name returns the name of the automation in commits and pull requests.
func (j *job) name() string { return j.Object.Key.Namespace + "/" + j.Object.Key.Name }

// text returns what the template of a field makes of a change; unset is the text without a template.
func (j *job) text(field, text, unset string, of change) (string, error) {
	data := Data{Changed: newChanged(of.files), Values: j.automation.Spec.GitSpec.Commit.MessageTemplateValues,
		Policy: of.policy}
	data.AutomationObject.Namespace, data.AutomationObject.Name = j.Object.Key.Namespace, j.Object.Key.Name
	return message(field, text, unset, data)
}

// signer returns what signs the commits; nil if they are not signed.
func (j *job) signer(key *autov1.SigningKey) (git.Signer, error) {
	switch {
	case key == nil:
		return nil, nil
	case key.Type == autov1.SigningKeyTypeSSH:
		return git.ReadSSHSigner(signingField, j.Secrets[signingField])
	}
	return git.ReadPGPSigner(signingField, j.Secrets[signingField])
}
