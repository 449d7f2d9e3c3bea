// Package tags fetches ImageRepositories and ImagePolicies. The artifact of an ImageRepository is the sorted list of
// the tags that its image has (registry.TagFile), without those that spec.exclusionList matches. An ImagePolicy
// chooses one of them: its artifact is the name of an image.
package tags

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	imagev1 "github.com/fluxcd/image-reflector-controller/api/v1"
	"github.com/google/go-containerregistry/pkg/name"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/artifact"
	"github.com/navefleet/nave/hub/internal/source"
	"github.com/navefleet/nave/hub/internal/source/registry"
	"github.com/navefleet/nave/shared/pattern"
	"github.com/navefleet/nave/shared/wording"
)

// Limits bound one fetch. The defaults are beside the fields.
type Limits struct {
	Read int // tags that a registry may list: 1,000,000
	Kept int // tags that an artifact has: 100,000
}

// DefaultLimits are those of Limits' doc comment.
var DefaultLimits = Limits{Read: 1_000_000, Kept: 100_000}

const (
	latest = 10 // tags that the status has
	named  = 3  // invalid tags that a notice names
)

// Fetcher fetches ImageRepositories. Zero Limits are the DefaultLimits.
type Fetcher struct {
	Limits Limits

	connections registry.Connections
}

var _ source.Fetcher = (*Fetcher)(nil)

// Fetch implements source.Fetcher.
func (f *Fetcher) Fetch(ctx context.Context, r source.Request) (artifact.Artifact, error) {
	s := &scan{Request: r, limits: cmp.Or(f.Limits, DefaultLimits)}
	a, err := s.run(ctx, &f.connections)
	if err != nil {
		f.connections.Drop(s.ID) // the next fetch logs in again
		return artifact.Artifact{}, s.explain(source.Classify(err, s.Classify))
	}
	return a, nil
}

// scan is one fetch.
type scan struct {
	source.Request
	registry.Access
	exclude []*regexp.Regexp
	limits  Limits
}

// explain returns an error of the registry, which has a list of tags if it has the repository.
func (s *scan) explain(err error) error {
	if errors.Is(err, source.ErrReferenceNotFound) {
		return fmt.Errorf("%w, or these credentials may not see it: %w", source.ErrRepositoryNotFound, err)
	}
	return err
}

// run lists the tags and makes the artifact.
func (s *scan) run(ctx context.Context, kept *registry.Connections) (artifact.Artifact, error) {
	if err := s.decode(); err != nil {
		return artifact.Artifact{}, err
	}
	if err := s.Connect(ctx, s.Request, kept); err != nil {
		return artifact.Artifact{}, err
	}
	defer s.Close()
	found, err := s.Tags(ctx, s.limits.Read)
	if err != nil {
		return artifact.Artifact{}, err
	}
	return s.put(ctx, s.choose(found))
}

// decode reads the object.
func (s *scan) decode() error {
	r, err := api.Decode[imagev1.ImageRepository](s.Object)
	if err != nil {
		return fmt.Errorf("%w: %w", source.ErrRequest, err)
	}
	s.ID, s.Insecure = s.CacheID(api.ImageURL(r.Spec.Image, r.Spec.Insecure)), r.Spec.Insecure
	var options []name.Option
	if s.Insecure {
		options = append(options, name.Insecure)
	}
	if s.Repository, err = name.NewRepository(r.Spec.Image, options...); err != nil {
		return fmt.Errorf("%w: spec.image: %w", source.ErrRequest, err)
	}
	for _, text := range r.GetExclusionList() {
		compiled, err := pattern.Compile(text)
		if err != nil {
			return fmt.Errorf("%w: spec.exclusionList: %w", source.ErrRequest, err)
		}
		s.exclude = append(s.exclude, compiled)
	}
	return nil
}

// list is the tags of an artifact, sorted, and what the user should know of the others.
type list struct {
	tags   []string
	notice string
}

// choose returns the tags that an artifact has. Of too many the first in the order of bytes are left out, as newer
// versions and dates are mostly behind older ones.
func (s *scan) choose(found registry.Tags) (l list) {
	l.tags = slices.DeleteFunc(found.Valid, func(tag string) bool {
		return slices.ContainsFunc(s.exclude, func(e *regexp.Regexp) bool { return e.MatchString(tag) })
	})
	slices.Sort(l.tags)
	if more := len(l.tags) - s.limits.Kept; more > 0 {
		l.tags = l.tags[more:]
		l.notice = fmt.Sprintf("without %d more, all that come before %q in the order of bytes: an ImageRepository has at "+
			"most %d tags, and spec.exclusionList leaves out those that nobody needs", more, l.tags[0], s.limits.Kept)
	}
	if n := len(found.Invalid); n > 0 {
		some := make([]string, min(n, named))
		for i := range some {
			some[i] = source.Quote(found.Invalid[i])
		}
		invalid := fmt.Sprintf("without what can be no tag: %s", wording.List(some, n, named))
		l.notice = strings.TrimPrefix(l.notice+"; "+invalid, "; ")
	}
	return l
}

// put makes the artifact of a list.
func (s *scan) put(ctx context.Context, l list) (a artifact.Artifact, err error) {
	content := registry.FormatTags(l.tags)
	revision := fmt.Sprintf("sha256:%x", sha256.Sum256(content))
	if s.IsLast(revision, artifact.Verification{}) {
		a = *s.Last
	} else {
		a, err = s.PutFiles(ctx, s.ID, revision, map[string][]byte{registry.TagFile: content})
		if err != nil {
			return artifact.Artifact{}, err
		}
	}
	a.Summary = fmt.Sprintf("successful scan: found %s", wording.Count(len(l.tags), "tag"))
	a.Notice = l.notice
	a.Status, err = s.status(l.tags, revision)
	return a, err
}

// status returns the fields of Flux's ImageRepositoryStatus, as the JSON of an object. The hub adds the time.
func (s *scan) status(tags []string, revision string) (string, error) {
	newest := append([]string{}, tags[max(0, len(tags)-latest):]...)
	slices.Reverse(newest)
	text, err := json.Marshal(map[string]any{
		"canonicalImageName": s.Repository.Name(),
		"lastScanResult":     map[string]any{"tagCount": len(tags), "latestTags": newest, "revision": revision},
	})
	return string(text), err
}
