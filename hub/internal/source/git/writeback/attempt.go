package writeback

import (
	"fmt"
	"slices"
	"strings"

	"github.com/navefleet/nave/hub/internal/source/forge"
	"github.com/navefleet/nave/hub/internal/source/git"
)

// attempt is what a run has found and done on one checkout, besides what attempts before have pushed.
type attempt struct {
	Run
	proposals []forge.Proposal
	failed    error    // of some policies, while the others are carried out
	kept      []string // policies whose requests stay as they are
	unasked   []string // branches of which the server has to tell what people declined, before the run goes on
	held      []string // branches that are not made before it has told
	unpushed  []string // where changes are that need no push
}

// again returns a new attempt, on another checkout.
func (a *attempt) again(e *git.Editor) *attempt {
	return &attempt{Run: Run{Checkout: revisionOf(e.Label, e.Head.ID), Pushes: a.Pushes}}
}

// fail notes why one policy is not carried out, while the others are.
func (a *attempt) fail(policy string, err error) {
	a.kept = append(a.kept, policy)
	err = fmt.Errorf("policy %s: %w", policy, err)
	if a.failed != nil {
		err = fmt.Errorf("%w; %w", a.failed, err)
	}
	a.failed = err
}

// failure returns why a run fails, with what it has pushed all the same: for one reason, or because some policies are
// not carried out, or both.
func (a *attempt) failure(err error) error {
	switch {
	case err == nil:
		err = a.failed
	case a.failed != nil:
		err = fmt.Errorf("%w; besides, %w", err, a.failed)
	}
	switch {
	case err == nil:
	case len(a.Pushes) > 0:
		err = fmt.Errorf("%s; but %w", a.pushed(), err)
	case len(a.proposals) > 0 && len(a.unpushed) > 0:
		err = fmt.Errorf("%s; but %w", strings.Join(a.unpushed, "; "), err)
	}
	return err
}

// with returns the run with one push more, which may replace what an attempt before has pushed.
func (r Run) with(pushed Push) Run {
	isReplaced := func(p Push) bool { return slices.Equal(p.Targets, pushed.Targets) }
	r.Pushes = append(slices.DeleteFunc(slices.Clone(r.Pushes), isReplaced), pushed)
	return r
}
