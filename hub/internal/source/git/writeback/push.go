package writeback

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/navefleet/nave/hub/internal/source"
	"github.com/navefleet/nave/hub/internal/source/git"
)

// decide returns the references that have to become a new commit, which was made on top of head.
//
// A reference that has the same files already stays. One at head moves forward. Another branch is replaced only if
// nothing but the automation's own commit would be lost (isOwn). A reference that does not exist is made; one that
// takes pushes and keeps none, as refs/for/main of Gerrit, gets the same changes only once, and not again
// with each commit of others.
func decide(targets []string, now map[string]git.Commit, head, made git.Commit, changes string, last Push) (
	[]git.Target, error) {
	var moves []git.Target
	for _, name := range targets {
		at, exists := now[name]
		switch {
		case !exists && last.Changes == changes && last.took(name) && !strings.HasPrefix(name, branches):
		case !exists:
			moves = append(moves, git.Target{Reference: name})
		case at.Tree == made.Tree:
		case at.ID == head.ID || isOwn(at, name, made.Message, made.Committer):
			moves = append(moves, git.Target{Reference: name, Old: at.ID})
		default:
			return nil, fmt.Errorf("%w: %s ends with the commit %.8s of %s (%s), which this automation did not make for the "+
				"branch: the branch's commits would be lost: merge them, or delete the branch, or push to another one",
				source.ErrRejected, name, at.ID, source.Quote(at.Committer), source.Quote(at.Subject))
		}
	}
	return moves, nil
}

// trailer begins the line of a commit message that names the automation, and the revision that the commit was made on.
const trailer = "Nave-Automation: "

// isOwn reports whether the last commit of a branch was made by the automation that has made another commit, with a
// message and a committer, on top of another branch: then that branch has all that is below the commit. A shallow cache
// does not know more of the history. A commit with the trailer that somebody else committed, as forges do that squash
// commits, is not own.
func isOwn(last git.Commit, reference, message, committer string) bool {
	automation, from := trailerOf(last.Message)
	mine, _ := trailerOf(message)
	branch := branches + strings.TrimPrefix(from[:max(0, strings.LastIndex(from, "@"))], branches)
	return from != "" && automation == mine && last.Committer == committer && branch != reference
}

// trailerOf returns the automation and the revision that the last line of a message names; empty if there are none.
func trailerOf(message string) (automation, from string) {
	lines := strings.Split(strings.TrimRight(message, "\n"), "\n")
	text, ok := strings.CutPrefix(lines[len(lines)-1], trailer)
	if !ok {
		return "", ""
	}
	automation, from, _ = strings.Cut(text, " from ")
	return automation, from
}

// isTrailer matches a line of the block of trailers that ends a message.
var isTrailer = regexp.MustCompile(`^[A-Za-z0-9-]+: `)

// withTrailer returns a message that ends with the trailer, in the block of trailers if there is one.
func withTrailer(message, automation, from string) string {
	message = strings.TrimRight(message, "\n")
	blocks := strings.Split(message, "\n\n")
	gap := "\n\n"
	isText := func(line string) bool { return !isTrailer.MatchString(line) }
	if len(blocks) > 1 && !slices.ContainsFunc(strings.Split(blocks[len(blocks)-1], "\n"), isText) {
		gap = "\n"
	}
	return message + gap + trailer + automation + " from " + from
}
