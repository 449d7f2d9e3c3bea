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
	a *attempt) error {
	policies, err := f.missing(ctx, j, e, dir, files)
	if err != nil {
		return err
	}
	if len(policies) == 0 {
		a.unpushed = append(a.unpushed, fmt.Sprintf("branch %s has the images already", j.plan.base))
		return nil
	}
	changes := []change{{branch: j.automation.Spec.GitSpec.Push.Branch, targets: j.plan.targets, files: files}}
	if j.isPerPolicy() {
		changes = j.changesOf(policies, files, a)
	}
	if a.unasked = j.review.unasked(changes); len(a.unasked) > 0 {
		return nil // ask without the lock of the cache, and begin again
	}
	for _, c := range changes {
		err := f.push(ctx, j, e, c, a)
		switch {
		case err != nil && (c.policy == "" || errors.Is(err, source.ErrMoved) || ctx.Err() != nil):
			return err
		case err != nil:
			a.fail(c.policy, err)
		}
	}
	return nil
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
	inBase, err := f.plain.update(ctx, e, base, dir, j.policies)
	return policiesOf(inBase.changed), err
}

// changesOf returns the change of files for each of some policies. Those that cannot be made fail.
func (j *job) changesOf(policies []string, files []changedFile, a *attempt) (changes []change) {
	owners := map[string]string{} // of branches
	for _, name := range policies {
		c, err := j.only(name, files)
		if other, taken := owners[c.branch]; err == nil && taken {
			err = fmt.Errorf("%w: spec.git.push.branch makes %q for the policy %s, too", source.ErrRequest, c.branch, other)
		}
		if err != nil {
			a.fail(name, err)
		} else if len(c.files) > 0 {
			owners[c.branch] = name
			changes = append(changes, c)
		}
	}
	return changes
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
