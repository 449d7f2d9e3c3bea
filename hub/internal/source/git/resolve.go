package git

import (
	"fmt"
	"slices"
	"strings"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp/capability"

	"github.com/navefleet/nave/hub/internal/source"
)

// candidate is a commit that a reference may mean.
type candidate struct {
	// label stands before the @ of the revision; if it is empty, there is no @.
	label string
	// want is the object to ask the server for: the commit, or the tag object that leads to it.
	want plumbing.Hash
	// commit is the commit that want leads to. For a tag that the server did not peel it is found after the transfer.
	commit plumbing.Hash
}

// named returns an error of the candidate with its label.
func (c candidate) named(err error) error {
	if c.label == "" {
		return err
	}
	return fmt.Errorf("%q: %w", c.label, err)
}

// revision returns the name of the commit as Flux writes it.
func revision(label string, commit plumbing.Hash) string {
	if label == "" {
		return "sha1:" + commit.String()
	}
	return label + "@sha1:" + commit.String()
}

// choice is the meaning of a reference, given the references that the server advertises.
type choice struct {
	// candidates are one, or several versions of equal precedence of which the newest commit counts.
	candidates []candidate
	// history says that the commit must be searched in the history of the candidates.
	history bool
	// onBranch says that the commit must be in the history of the first candidate.
	onBranch bool
}

// resolve returns the commits that a reference may mean. Errors are source.ErrReferenceNotFound and source.ErrRequest.
func resolve(ref reference, refs *packp.AdvRefs) (choice, error) {
	switch {
	case ref.Any != "":
		return resolveAny(ref.Any, refs)
	case ref.Commit != "":
		return resolveCommit(ref, refs)
	case ref.Name != "":
		return one(refs, "reference", "", ref.Name)
	case ref.SemVer != "":
		return resolveVersion(ref.SemVer, refs)
	case ref.Tag != "":
		return one(refs, "tag", tags, ref.Tag)
	default:
		return one(refs, "branch", branches, ref.branch())
	}
}

// resolveAny returns the commit of that name, else the reference that git fetch would take for the name: the full name,
// the tag, the branch.
func resolveAny(name string, refs *packp.AdvRefs) (choice, error) {
	if plumbing.IsHash(name) {
		return resolveCommit(reference{Commit: name}, refs)
	}
	for _, prefix := range []string{"", tags, branches} {
		if _, ok := lookup(refs, prefix+name); ok {
			return one(refs, "reference", prefix, name)
		}
	}
	return choice{}, missing(refs, "tag or branch", branches, name)
}

// Prefixes of references.
const (
	branches = "refs/heads/"
	tags     = "refs/tags/"
)

// one returns the choice of one reference, which has the prefix of its kind.
func one(refs *packp.AdvRefs, kind, prefix, name string) (choice, error) {
	c, ok := lookup(refs, prefix+name)
	if !ok {
		return choice{}, missing(refs, kind, prefix, name)
	}
	c.label = name
	return choice{candidates: []candidate{c}}, nil
}

// lookup returns the candidate for an advertised reference.
func lookup(refs *packp.AdvRefs, name string) (candidate, bool) {
	if name == "HEAD" && refs.Head != nil {
		return candidate{want: *refs.Head, commit: *refs.Head}, true
	}
	hash, ok := refs.References[name]
	if !ok {
		return candidate{}, false
	}
	commit, peeled := refs.Peeled[name]
	if !peeled {
		commit = hash
	}
	return candidate{want: hash, commit: commit}, true
}

// resolveCommit chooses how to get a commit: by a reference to it, by its hash if the server allows that, or else by
// searching the history.
func resolveCommit(ref reference, refs *packp.AdvRefs) (choice, error) {
	commit := plumbing.NewHash(ref.Commit)
	if ref.Branch != "" {
		tip, ok := lookup(refs, branches+ref.Branch)
		if !ok {
			return choice{}, missing(refs, "branch", branches, ref.Branch)
		}
		c := candidate{label: ref.Branch, want: tip.want, commit: commit}
		return choice{candidates: []candidate{c}, history: tip.commit != commit, onBranch: true}, nil
	}
	for name := range refs.References {
		if c, _ := lookup(refs, name); c.commit == commit {
			return choice{candidates: []candidate{{want: c.want, commit: commit}}}, nil
		}
	}
	if refs.Capabilities.Supports(capability.AllowReachableSHA1InWant) {
		return choice{candidates: []candidate{{want: commit, commit: commit}}}, nil
	}
	return everywhere(commit, refs)
}

// everywhere returns the choice that searches a commit in the history of all branches and tags.
func everywhere(commit plumbing.Hash, refs *packp.AdvRefs) (choice, error) {
	found := choice{history: true}
	for name, hash := range refs.References {
		if strings.HasPrefix(name, branches) || strings.HasPrefix(name, tags) {
			found.candidates = append(found.candidates, candidate{want: hash, commit: commit})
		}
	}
	if len(found.candidates) == 0 {
		return choice{}, errEmpty
	}
	return found, nil
}

// resolveVersion returns the choice of the tags with the highest version in a range.
func resolveVersion(versions string, refs *packp.AdvRefs) (choice, error) {
	newest, err := source.Newest(names(refs, tags), versions)
	var found choice
	for _, tag := range newest {
		c, _ := lookup(refs, tags+tag)
		c.label = tag
		found.candidates = append(found.candidates, c)
	}
	return found, err
}

// names returns the advertised references with a prefix, without it, sorted.
func names(refs *packp.AdvRefs, prefix string) []string {
	var found []string
	for name := range refs.References {
		if short, ok := strings.CutPrefix(name, prefix); ok && name != "HEAD" {
			found = append(found, short)
		}
	}
	slices.Sort(found)
	return found
}

var errEmpty = fmt.Errorf("%w: the repository is empty", source.ErrReferenceNotFound)

// missing returns the error for a reference that does not exist.
func missing(refs *packp.AdvRefs, kind, prefix, name string) error {
	if len(refs.References) == 0 {
		return errEmpty
	}
	return source.NotFound(kind, name, names(refs, prefix))
}
