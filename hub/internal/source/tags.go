package source

import (
	"fmt"
	"slices"
	"strings"

	"github.com/Masterminds/semver/v3"

	"github.com/navefleet/nave/shared/wording"
)

// Newest returns the tags with the highest version in a range: one, or several of equal precedence. If the range is not
// valid, the error is ErrRequest; if no tag is in the range, ErrReferenceNotFound.
func Newest(tags []string, versions string) ([]string, error) {
	constraint, err := semver.NewConstraint(versions)
	if err != nil {
		return nil, fmt.Errorf("%w: spec.ref.semver %q is not a version range: %w", ErrRequest, versions, err)
	}
	var best *semver.Version
	var newest []string
	for _, tag := range tags {
		v, ok := version(tag)
		if !ok || !constraint.Check(v) || best != nil && v.LessThan(best) {
			continue
		}
		if best == nil || v.GreaterThan(best) {
			best, newest = v, nil
		}
		newest = append(newest, tag)
	}
	if best == nil {
		return nil, fmt.Errorf("%w: no tag is a version in the range %q; the repository has: %s",
			ErrReferenceNotFound, versions, listed(tags, len(tags), "tag"))
	}
	return newest, nil
}

// version parses a tag as Flux does: a strict semantic version, with or without a v before it.
func version(tag string) (*semver.Version, bool) {
	if _, err := semver.StrictNewVersion(strings.TrimPrefix(tag, "v")); err != nil {
		return nil, false
	}
	v, err := semver.NewVersion(tag)
	return v, err == nil
}

// maxCompared is how many names are compared to find a similar one.
const maxCompared = 5000

// NotFound returns the error for a name of a branch, tag or reference that the repository does not have. It lists the
// names of this kind that the repository has, the most similar first.
func NotFound(kind, name string, has []string) error {
	similar := slices.Clone(has[:min(len(has), maxCompared)])
	slices.SortStableFunc(similar, func(a, b string) int { return wording.Distance(a, name) - wording.Distance(b, name) })
	return fmt.Errorf("%w: %s %q not found; the repository has: %s", ErrReferenceNotFound, kind, name,
		listed(similar, len(has), kind))
}

// listed returns the first of total names of a kind, or that there is none.
func listed(names []string, total int, kind string) string {
	if len(names) == 0 {
		return "no " + kind
	}
	return wording.List(names, total, 10)
}
