package writeback

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/image"
	"github.com/navefleet/nave/hub/internal/source"
	"github.com/navefleet/nave/hub/internal/source/git"
)

// isPerPolicy reports whether each policy has a pull request of its own.
func (j *job) isPerPolicy() bool {
	return j.review != nil && j.review.spec.Mode == api.PullRequestPerPolicy
}

// pushProposals pushes the changes of files below a folder that the branch lacks which pull requests are merged into:
// all together, or those of each policy.
func (f *Fetcher) pushProposals(ctx context.Context, j *job, e *git.Editor, dir string, files []changedFile,
	run *Run) error {
	policies, err := f.missing(ctx, j, e, dir, files)
	switch {
	case err != nil || len(policies) == 0:
		return err
	case j.isPerPolicy():
		return f.pushEach(ctx, j, e, files, policies, run)
	}
	all := change{branch: j.automation.Spec.GitSpec.Push.Branch, targets: j.plan.targets, files: files}
	return f.push(ctx, j, e, all, run)
}

// missing returns the policies whose images the branch lacks that pull requests are merged into.
func (f *Fetcher) missing(ctx context.Context, j *job, e *git.Editor, dir string, files []changedFile) ([]string,
	error) {
	base, exists := e.References[branches+j.plan.base]
	if !exists {
		return nil, fmt.Errorf("%w: spec.git.push.pullRequest.baseBranch: the server has no branch %s",
			source.ErrReferenceNotFound, j.plan.base)
	}
	if base.ID == e.Head.ID {
		return policiesOf(files), nil
	}
	inBase, _, err := f.plain.update(ctx, e, base, dir, j.policies)
	return policiesOf(inBase), err
}

// pushEach makes and pushes a commit for each of some policies. If one fails, the others are still carried out.
func (f *Fetcher) pushEach(ctx context.Context, j *job, e *git.Editor, files []changedFile, policies []string,
	run *Run) error {
	owners := map[string]string{} // of branches
	for _, name := range policies {
		c, err := j.only(name, files)
		if other, taken := owners[c.branch]; err == nil && taken {
			err = fmt.Errorf("%w: spec.git.push.branch makes %q for the policy %s, too", source.ErrRequest, c.branch, other)
		}
		if err == nil && len(c.files) > 0 {
			owners[c.branch] = name
			err = f.push(ctx, j, e, c, run)
		}
		switch {
		case errors.Is(err, source.ErrMoved) || ctx.Err() != nil:
			return err
		case err != nil:
			run.kept = append(run.kept, name)
			err = fmt.Errorf("policy %s: %w", name, err)
			if run.failed != nil {
				err = fmt.Errorf("%w; %w", run.failed, err)
			}
			run.failed = err
		}
	}
	return nil
}

// only returns the change of files with the image of one policy. Errors are source.ErrRequest.
func (j *job) only(name string, files []changedFile) (c change, err error) {
	c.policy = name
	branch, err := j.automation.Spec.GitSpec.Push.BranchFor(name, j.policies.ByName[name].Image.Tag)
	if err != nil {
		return c, fmt.Errorf("%w: %w", source.ErrRequest, err)
	}
	if slices.Contains(j.plan.kept(), branches+branch) {
		return c, fmt.Errorf("%w: spec.git.push.branch makes %q, which is the branch of the checkout or of the base",
			source.ErrRequest, branch)
	}
	c.branch, c.targets = branch, []string{branches + branch}
	one := image.Policies{Namespace: j.policies.Namespace, ByName: map[string]image.Policy{}}
	for other := range j.policies.ByName {
		one.ByName[other] = image.Policy{Ignored: true}
	}
	one.ByName[name] = j.policies.ByName[name]
	for _, f := range files {
		if !slices.Contains(policiesOf([]changedFile{f}), name) {
			continue
		}
		updated := image.Update(f.old, one)
		if len(updated.Changes) > 0 {
			c.files = append(c.files, changedFile{f.path, f.old, updated.Content, updated.Changes})
		}
	}
	return c, nil
}
