package oci

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"

	"github.com/navefleet/nave/hub/internal/source"
	"github.com/navefleet/nave/shared/pattern"
)

// resolve returns the revision that the reference means now, and the digest in it.
func (f *fetching) resolve(ctx context.Context) (revision string, digest v1.Hash, err error) {
	if d := f.spec.Ref.Digest; d != "" {
		digest, err = v1.NewHash(d)
		if err != nil {
			err = fmt.Errorf("%w: spec.ref.digest: %w", source.ErrRequest, err)
		}
		return d, digest, err
	}
	tag := f.spec.Ref.Tag
	if tag == "" {
		tag = defaultTag
	}
	if f.spec.Ref.SemVer != "" {
		if tag, err = f.newest(ctx); err != nil {
			return "", digest, err
		}
	}
	digest, err = f.digestOf(ctx, tag)
	return tag + "@" + digest.String(), digest, err
}

// newest returns the tag with the highest version in the range, among those that the filter lets through.
func (f *fetching) newest(ctx context.Context) (string, error) {
	filter, err := pattern.Compile(f.spec.Ref.SemverFilter)
	if err != nil {
		return "", fmt.Errorf("%w: spec.ref.semverFilter: %w", source.ErrRequest, err)
	}
	tags, err := f.tags(ctx)
	if err != nil {
		return "", err
	}
	matching := slices.DeleteFunc(slices.Clone(tags), func(tag string) bool { return !filter.MatchString(tag) })
	if len(matching) == 0 && len(tags) > 0 {
		return "", fmt.Errorf("%w: spec.ref.semverFilter matches none of the %d tags", source.ErrReferenceNotFound,
			len(tags))
	}
	underscore := "_" // what an underscore of a tag stands for
	if f.plus {
		underscore = "+"
	}
	for i, tag := range matching {
		matching[i] = strings.ReplaceAll(tag, "_", underscore)
	}
	newest, err := source.Newest(matching, f.spec.Ref.SemVer)
	if err != nil {
		return "", err
	}
	return strings.ReplaceAll(slices.Max(newest), underscore, "_"), nil
}

// tags returns the tags of the repository.
func (f *fetching) tags(ctx context.Context) ([]string, error) {
	found, err := f.Tags(ctx, maxTags)
	return found.Valid, err
}

// digestOf returns the digest of a tag. Registries that do not answer HEAD with it are asked for the manifest.
func (f *fetching) digestOf(ctx context.Context, tag string) (v1.Hash, error) {
	ref := f.Repository.Tag(tag)
	head, err := f.Puller.Head(ctx, ref)
	if err == nil {
		return head.Digest, nil
	}
	var answer *transport.Error
	if errors.As(err, &answer) && answer.StatusCode == http.StatusNotFound {
		return v1.Hash{}, f.missing(ctx, tag, err)
	}
	if !errors.As(err, &answer) && isSystem(err) {
		return v1.Hash{}, err
	}
	whole, again := f.Puller.Get(ctx, ref)
	if again != nil {
		return v1.Hash{}, again
	}
	return whole.Digest, nil
}

// missing returns the error of a tag that does not exist: it lists those that do.
func (f *fetching) missing(ctx context.Context, tag string, cause error) error {
	tags, err := f.tags(ctx)
	var answer *transport.Error
	switch {
	case errors.As(err, &answer) && answer.StatusCode == http.StatusNotFound:
		return fmt.Errorf("%w, or these credentials may not see it: the registry answers %w", source.ErrRepositoryNotFound,
			answer)
	case err != nil:
		return fmt.Errorf("%w: %w", source.ErrReferenceNotFound, cause)
	}
	return source.NotFound("tag", tag, tags)
}

// isSystem reports whether an error is one of the connection, and not of what a registry answered.
func isSystem(err error) bool {
	var transport *url.Error
	return errors.As(err, &transport)
}
