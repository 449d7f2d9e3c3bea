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
	"github.com/navefleet/nave/hub/internal/source/git"
)

const (
	signingField = "spec.git.commit.signingKey.secretRef"
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
	if err != nil {
		return artifact.Artifact{}, err
	}
	if r.Preview {
		return job.preview(ctx, run)
	}
	return job.artifact(ctx, run)
}

// job is one run with its settings.
type job struct {
	source.Request // of the automation
	automation     *api.ImageUpdateAutomation
	plan           plan
	policies       image.Policies
	last           Push // the last one
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
	j.last = lastPush(r.Last)
	return j, nil
}

// request returns the request for the repository, as its GitRepository makes it, so that both use one cache.
func (j *job) request() source.Request {
	r := j.Request
	r.Object, r.Upstream, r.Inputs, r.Selected, r.Unselected, r.Last = j.Upstream, nil, nil, nil, nil, nil
	r.Secrets = maps.Clone(j.Secrets)
	delete(r.Secrets, signingField)
	return r
}

// run changes and pushes the files, and begins again if somebody else has pushed meanwhile.
func (f *Fetcher) run(ctx context.Context, j *job) (run Run, err error) {
	at := git.Checkout{Ref: &j.plan.checkout, References: j.plan.targets}
	for range maxAttempts {
		err = f.Git.Edit(ctx, j.request(), at, func(ctx context.Context, e *git.Editor) (err error) {
			run, err = f.attempt(ctx, j, e)
			return err
		})
		if !errors.Is(err, source.ErrMoved) {
			break
		}
	}
	if left := notice(run.Problems); left != "" && err != nil {
		err = fmt.Errorf("%w; besides, %s", err, left)
	}
	if signing, ok := j.Secrets[signingField]; ok && err != nil {
		err = source.Conceal(err, map[string]source.Secret{signingField: signing})
	}
	return run, err
}

// attempt carries out a run on one checkout.
func (f *Fetcher) attempt(ctx context.Context, j *job, e *git.Editor) (run Run, err error) {
	run.Checkout = revisionOf(e.Label, e.Head.ID)
	dir := ""
	if u := j.automation.Spec.Update; u != nil {
		dir = u.Path
	}
	files, problems, err := f.plain.update(ctx, e, dir, j.policies)
	run.Problems = problems
	if err != nil || len(files) == 0 {
		j.last.Changes = "" // merged or withdrawn: they may be proposed again
		return run, err
	}
	made, text, err := j.commit(ctx, e, files)
	if err != nil {
		return run, err
	}
	moves, err := decide(j.plan.targets, e.References, e.Head, made, digestOf(files), j.last)
	if err != nil || len(moves) == 0 {
		return run, err
	}
	push := git.Push{Commit: made, Targets: moves}
	if p := j.automation.Spec.GitSpec.Push; p != nil {
		push.Options = p.Options
	}
	run.Changes = changesOf(files)
	run.Pushed = &Push{Commit: made.ID, Changes: digestOf(files), Policies: policiesOf(files), Message: text,
		Time: time.Now().UTC().Truncate(time.Second)}
	for _, m := range moves {
		run.Pushed.Targets = append(run.Pushed.Targets, m.Reference)
	}
	if _, err := j.statusText(run); err != nil { // afterwards each further run would push again
		return run, err
	}
	run.diff, err = j.push(ctx, e, push, files)
	return run, err
}

// push pushes a commit. Of a preview it returns the diff instead.
func (j *job) push(ctx context.Context, e *git.Editor, p git.Push, files []changedFile) (diff string, err error) {
	if j.Preview {
		return diffOf(files), e.Check(p)
	}
	return "", e.Push(ctx, p)
}

// commit makes the commit of changed files, and returns its message.
func (j *job) commit(ctx context.Context, e *git.Editor, files []changedFile) (made git.Commit, text string,
	err error) {
	spec := j.automation.Spec.GitSpec.Commit
	c := git.NewCommit{Author: git.Identity{Name: spec.Author.Name, Email: spec.Author.Email}, Time: time.Now()}
	if c.Sign, err = j.signer(spec.SigningKey); err != nil {
		return made, "", err
	}
	data := Data{Changed: newChanged(files), Values: spec.MessageTemplateValues}
	data.AutomationObject.Namespace, data.AutomationObject.Name = j.Object.Key.Namespace, j.Object.Key.Name
	if c.Message, err = message(spec.MessageTemplate, data); err != nil {
		return made, "", err
	}
	text = c.Message
	if j.plan.replaces() {
		c.Message = withTrailer(text, data.AutomationObject.String(), revisionOf(e.Label, e.Head.ID))
	}
	contents := map[string][]byte{}
	for _, f := range files {
		contents[f.path] = f.content
	}
	made, err = e.Commit(ctx, contents, c)
	return made, text, err
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
