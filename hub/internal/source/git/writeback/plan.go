package writeback

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	sourcev1 "github.com/fluxcd/source-controller/api/v1"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/image"
	"github.com/navefleet/nave/hub/internal/source"
)

const branches = "refs/heads/"

// plan is what to check out, and the references that become the commit.
type plan struct {
	checkout sourcev1.GitRepositoryRef
	targets  []string // full names
	read     string   // the branch that the GitRepository reads; empty: it reads something else
	base     string   // the branch that pull requests are merged into; empty: there are none
}

// newPlan returns the plan of an automation. Errors are source.ErrRequest.
func newPlan(spec api.ImageUpdateAutomationSpec, repository *sourcev1.GitRepository) (plan, error) {
	p := plan{checkout: spec.Ref(repository), read: branchOf(api.ImageUpdateAutomationSpec{
		GitSpec: &api.GitSpec{}}.Ref(repository))}
	from := branchOf(p.checkout)
	push := spec.GitSpec.Push
	switch {
	case push != nil && push.Branch != "":
		p.targets = append(p.targets, branches+push.Branch)
	case push != nil && push.Refspec != "":
	case from == "":
		return p, fmt.Errorf("%w: the checkout is no branch: set spec.git.push.branch to the branch that gets the commits",
			source.ErrRequest)
	default:
		p.targets = append(p.targets, branches+from)
	}
	if push != nil && push.Refspec != "" {
		target, err := targetOf(push.Refspec, append(p.targets, branches+from))
		if err != nil {
			return p, err
		}
		p.targets = append(p.targets, target)
	}
	slices.Sort(p.targets)
	p.targets = slices.Compact(p.targets)
	if push == nil || push.PullRequest == nil {
		return p, nil
	}
	return p.proposed(push, from)
}

// proposed returns the plan with the branch that its commits are proposed to. from is that of the checkout.
func (p plan) proposed(push *api.PushSpec, from string) (plan, error) {
	p.base = cmp.Or(push.PullRequest.BaseBranch, from)
	switch push.Branch {
	case "", from, p.base:
		return p, fmt.Errorf("%w: spec.git.push.branch %q: a pull request is made of another branch than the checkout and "+
			"spec.git.push.pullRequest.baseBranch", source.ErrRequest, push.Branch)
	}
	if p.base == "" {
		return p, fmt.Errorf("%w: the checkout is no branch: set spec.git.push.pullRequest.baseBranch to the branch that "+
			"gets the changes", source.ErrRequest)
	}
	return p, nil
}

// perPolicy returns the plan with the branches for the images of policies in place of one branch. Those that git does
// not allow are left out.
func (p plan) perPolicy(push api.PushSpec, policies image.Policies) plan {
	p.targets = nil
	for name, policy := range policies.ByName {
		if branch, err := push.BranchFor(name, policy.Image.Tag); err == nil && policy.Image.Name != "" {
			p.targets = append(p.targets, branches+branch)
		}
	}
	return p
}

// kept returns the branches that are never deleted.
func (p plan) kept() []string { return []string{branches + p.base, branches + branchOf(p.checkout)} }

// references returns the full names of what a run reads beside the checkout.
func (p plan) references() []string {
	if p.base == "" {
		return p.targets
	}
	return append(slices.Clone(p.targets), branches+p.base)
}

// replaces reports whether a reference that is not the checkout becomes the commit, and later the next one in its
// place.
func (p plan) replaces() bool {
	from := branches + branchOf(p.checkout)
	return slices.ContainsFunc(p.targets, func(t string) bool { return t != from })
}

// branchOf returns the branch that a reference is; empty if it is something else.
func branchOf(ref sourcev1.GitRepositoryRef) string {
	switch {
	case ref.Commit != "":
		return ""
	case ref.Name != "":
		branch, _ := strings.CutPrefix(ref.Name, branches)
		if branch == ref.Name {
			return ""
		}
		return branch
	case ref.SemVer != "" || ref.Tag != "":
		return ""
	}
	return cmp.Or(ref.Branch, api.DefaultBranch)
}

// targetOf returns the reference that a refspec names, such as HEAD:refs/for/main. The commit of the run is HEAD, and
// the head of the branches that it is pushed to.
func targetOf(refspec string, heads []string) (string, error) {
	from, to, isPair := strings.Cut(refspec, ":")
	if !isPair {
		to = from
	}
	full := func(name string) string {
		if strings.HasPrefix(name, "refs/") {
			return name
		}
		return branches + name
	}
	if from != "HEAD" && !slices.Contains(heads, full(from)) {
		return "", fmt.Errorf("%w: spec.git.push.refspec %q does not begin with the commit of the run: write HEAD:%s",
			source.ErrRequest, refspec, to)
	}
	return full(to), nil
}
