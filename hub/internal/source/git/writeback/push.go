package writeback

import (
	"fmt"
	"strings"

	"github.com/navefleet/nave/hub/internal/source"
	"github.com/navefleet/nave/hub/internal/source/git"
)

// decide returns the references that have to become a new commit, which was made on top of head.
//
// A reference that has the same files already stays. One at head moves forward. Another branch is replaced only if its
// last commit is the automation's own: nobody else's work is lost. A reference that does not exist is made; one that
// takes pushes and keeps none, as refs/for/main of Gerrit, gets the same files only once.
func decide(targets []string, now map[string]git.Commit, head, made git.Commit, last Push) ([]git.Target, error) {
	var moves []git.Target
	for _, name := range targets {
		at, exists := now[name]
		switch {
		case !exists && last.Tree == made.Tree && last.took(name) && !strings.HasPrefix(name, branches):
		case !exists:
			moves = append(moves, git.Target{Reference: name})
		case at.Tree == made.Tree:
		case at.ID == head.ID || at.Committer == made.Committer:
			moves = append(moves, git.Target{Reference: name, Old: at.ID})
		default:
			return nil, fmt.Errorf("%w: %s ends with the commit %.8s of %s (%s), which is not in the checkout and would be "+
				"lost: merge it, or delete the branch, or push to another one", source.ErrRejected, name, at.ID,
				source.Quote(at.Committer), source.Quote(at.Subject))
		}
	}
	return moves, nil
}
