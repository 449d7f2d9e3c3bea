package helm

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/Masterminds/semver/v3"

	"github.com/navefleet/nave/hub/internal/artifact"
	"github.com/navefleet/nave/hub/internal/source"
	"github.com/navefleet/nave/shared/wording"
)

// listed is how many charts or versions an error lists.
const listed = 10

// versions returns the versions of a chart in the artifact of an index.
func (f *fetching) versions(ctx context.Context, chart string) ([]version, error) {
	files, err := f.Workspace.Files(f.Inputs[0])
	if err != nil {
		return nil, err
	}
	i := slices.IndexFunc(files, func(file artifact.File) bool { return file.Path == fileOf(chart) })
	if i < 0 {
		return nil, f.noChart(chart, files)
	}
	text, err := f.Workspace.ReadFile(ctx, f.Inputs[0], files[i], artifact.DefaultLimits.File)
	if err != nil {
		return nil, err
	}
	var found []version
	if err := json.Unmarshal(text, &found); err != nil {
		return nil, fmt.Errorf("%w: the index of chart %s: %w", artifact.ErrStorage, source.Quote(chart), err)
	}
	return found, nil
}

// noChart returns the error for a chart that the repository does not have.
func (f *fetching) noChart(chart string, files []artifact.File) error {
	names := make([]string, len(files))
	for i, file := range files {
		names[i] = chartOf(file.Path)
	}
	if len(names) == 0 {
		return invalid("the repository has no charts")
	}
	slices.SortStableFunc(names, func(a, b string) int { return wording.Distance(a, chart) - wording.Distance(b, chart) })
	return invalid("the repository has no such chart; it has: %s", wording.List(names, len(names), listed))
}

// choose returns the version that a text means, by the rules of Flux: the one with exactly this text, else the highest
// one in the range. Of versions that differ in build metadata only it is the one that was created last. As in Helm, a
// range without a pre-release has no pre-releases.
func choose(all []version, wanted string) (version, error) {
	if i := slices.IndexFunc(all, func(v version) bool { return v.Version == wanted }); i >= 0 {
		return all[i], nil
	}
	constraint, err := semver.NewConstraint(wanted)
	if err != nil {
		return version{}, fmt.Errorf("%w: spec.version %q is not a version range: %w", source.ErrRequest, wanted, err)
	}
	var best version
	var newest *semver.Version
	for _, v := range all {
		parsed, ok := parse(v.Version)
		if !ok || !constraint.Check(parsed) {
			continue
		}
		order := 1
		if newest != nil {
			order = parsed.Compare(newest)
		}
		if order > 0 || order == 0 && v.created().After(best.created()) {
			best, newest = v, parsed
		}
	}
	if newest == nil {
		return version{}, noVersion(all, wanted)
	}
	return best, nil
}

// parse parses a strict semantic version, with or without a v before it, as Flux does.
func parse(text string) (*semver.Version, bool) {
	v, err := semver.StrictNewVersion(strings.TrimPrefix(text, "v"))
	return v, err == nil
}

// created returns the time at which a version was made; the zero time if that is not known.
func (v version) created() time.Time {
	at, err := time.Parse(time.RFC3339, v.Created)
	if err != nil {
		return time.Time{}
	}
	return at
}

// noVersion returns the error for a version that the chart does not have. It lists the highest ones.
func noVersion(all []version, wanted string) error {
	var known []*semver.Version
	for _, v := range all {
		if parsed, ok := parse(v.Version); ok {
			known = append(known, parsed)
		}
	}
	slices.SortFunc(known, func(a, b *semver.Version) int { return b.Compare(a) })
	names := make([]string, 0, listed)
	hasRelease := false
	for i, v := range known {
		if hasRelease = hasRelease || v.Prerelease() == ""; i < listed {
			names = append(names, v.String())
		}
	}
	switch {
	case len(known) == 0:
		return invalid("none of its %s is a semantic version: name one exactly", wording.Count(len(all), "version"))
	case !hasRelease:
		return invalid("no version is in the range %q; all are pre-releases, which a range has only if one of its own "+
			"versions is one, such as >=0.0.0-0: %s", wanted, wording.List(names, len(known), listed))
	}
	return invalid("no version is in the range %q; the repository has: %s", wanted,
		wording.List(names, len(known), listed))
}
