package git

import (
	"fmt"
	"slices"
	"strings"

	"github.com/Masterminds/semver/v3"
	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp/capability"

	"github.com/navefleet/nave/hub/internal/source"
	"github.com/navefleet/nave/shared/wording"
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
	case ref.Commit != "":
		return resolveCommit(ref, refs)
	case ref.Name != "":
		return one(refs, ref.Name, ref.Name, func() error { return missing(refs, "reference", ref.Name, "") })
	case ref.SemVer != "":
		return resolveVersion(ref.SemVer, refs)
	case ref.Tag != "":
		return one(refs, "refs/tags/"+ref.Tag, ref.Tag, func() error { return missing(refs, "tag", ref.Tag, "refs/tags/") })
	default:
		name := ref.branch()
		return one(refs, "refs/heads/"+name, name, func() error { return missing(refs, "branch", name, "refs/heads/") })
	}
}

// one returns the choice for the full name of a reference.
func one(refs *packp.AdvRefs, name, label string, missing func() error) (choice, error) {
	c, ok := lookup(refs, name)
	if !ok {
		return choice{}, missing()
	}
	c.label = label
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
	commit := plumbing.NewHash(strings.ToLower(ref.Commit))
	if ref.Branch != "" {
		tip, ok := lookup(refs, "refs/heads/"+ref.Branch)
		if !ok {
			return choice{}, missing(refs, "branch", ref.Branch, "refs/heads/")
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
		if strings.HasPrefix(name, "refs/heads/") || strings.HasPrefix(name, "refs/tags/") {
			found.candidates = append(found.candidates, candidate{want: hash, commit: commit})
		}
	}
	if len(found.candidates) == 0 {
		return choice{}, fmt.Errorf("%w: the repository is empty", source.ErrReferenceNotFound)
	}
	return found, nil
}

// resolveVersion returns the choice of the tags with the highest version in a range.
func resolveVersion(text string, refs *packp.AdvRefs) (choice, error) {
	constraint, err := semver.NewConstraint(text)
	if err != nil {
		return choice{}, fmt.Errorf("%w: spec.ref.semver %q is not a version range: %w", source.ErrRequest, text, err)
	}
	var best *semver.Version
	var found choice
	for _, tag := range names(refs, "refs/tags/") {
		v, ok := version(tag)
		if !ok || !constraint.Check(v) || best != nil && v.LessThan(best) {
			continue
		}
		if best == nil || v.GreaterThan(best) {
			best, found.candidates = v, nil
		}
		c, _ := lookup(refs, "refs/tags/"+tag)
		c.label = tag
		found.candidates = append(found.candidates, c)
	}
	if best == nil {
		tags := names(refs, "refs/tags/")
		return choice{}, fmt.Errorf("%w: no tag is a version in the range %q; the repository has: %s",
			source.ErrReferenceNotFound, text, listed(tags, len(tags), "tags"))
	}
	return found, nil
}

// version parses a tag as Flux does: a strict semantic version, with or without a v before it.
func version(tag string) (*semver.Version, bool) {
	if _, err := semver.StrictNewVersion(strings.TrimPrefix(tag, "v")); err != nil {
		return nil, false
	}
	v, err := semver.NewVersion(tag)
	return v, err == nil
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

// maxCompared is how many names are compared to find a similar one.
const maxCompared = 5000

// missing returns the error for a reference that does not exist. It lists those that do, the most similar first.
func missing(refs *packp.AdvRefs, kind, name, prefix string) error {
	if len(refs.References) == 0 {
		return fmt.Errorf("%w: the repository is empty", source.ErrReferenceNotFound)
	}
	has := names(refs, prefix)
	total := len(has)
	has = has[:min(total, maxCompared)]
	slices.SortStableFunc(has, func(a, b string) int { return wording.Distance(a, name) - wording.Distance(b, name) })
	plural := map[string]string{"branch": "branches", "tag": "tags", "reference": "references"}[kind]
	return fmt.Errorf("%w: %s %q not found; the repository has: %s", source.ErrReferenceNotFound, kind, name,
		listed(has, total, plural))
}

// listed returns the first of total names; "no tags" if there are none.
func listed(names []string, total int, plural string) string {
	if len(names) == 0 {
		return "no " + plural
	}
	return wording.List(names, total, 10)
}
