package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"regexp"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/Masterminds/semver/v3"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/spf13/cobra"

	"github.com/navefleet/nave/hub/internal/artifact"
)

// listing has the flags of "nave list artifacts".
type listing struct {
	registryFlags
	versions, pattern string
}

func newListArtifactsCommand(s *session) *cobra.Command {
	var l listing
	cmd := &cobra.Command{
		Use:     "artifacts oci://HOST/PATH",
		Aliases: []string{"artifact"},
		Short:   "List the tags of a repository, with digest, source and revision",
		Example: `  nave list artifacts oci://ghcr.io/org/fleet --filter-semver='>=1.0.0'`,
		Args:    cobra.ExactArgs(1),
		RunE: s.limited(func(ctx context.Context, out io.Writer, args []string) error {
			return l.run(ctx, out, args[0])
		}),
	}
	l.add(cmd.Flags())
	cmd.Flags().StringVar(&l.versions, "filter-semver", "", "only tags that are versions in this range")
	cmd.Flags().StringVar(&l.pattern, "filter-regex", "", "only tags that match this regular expression")
	return cmd
}

func (l *listing) run(ctx context.Context, out io.Writer, address string) error {
	repository, err := name.NewRepository(strings.TrimPrefix(address, "oci://"), l.names()...)
	if err != nil || !strings.HasPrefix(address, "oci://") {
		return errors.Join(fmt.Errorf("%q is not the address of a repository: want oci://host/path", address), err)
	}
	options, err := l.options(ctx)
	if err != nil {
		return err
	}
	tags, err := remote.List(repository, options...)
	if err != nil {
		return fmt.Errorf("list %s: %w", address, err)
	}
	if tags, err = l.filter(tags); err != nil {
		return err
	}
	w := tabwriter.NewWriter(out, 0, 0, 3, ' ', 0)
	fmt.Fprintln(w, "ARTIFACT\tDIGEST\tSOURCE\tREVISION")
	for _, tag := range tags {
		d, err := remote.Get(repository.Tag(tag), options...)
		if err != nil {
			return fmt.Errorf("list %s:%s: %w", address, tag, err)
		}
		fmt.Fprintf(w, "%s:%s\t%s\t%s\t%s\n", repository, said(tag), d.Digest,
			said(d.Annotations[artifact.SourceAnnotation]), said(d.Annotations[artifact.RevisionAnnotation]))
	}
	return w.Flush()
}

// filter returns the tags that match the flags: versions with the newest first, others by name.
func (l *listing) filter(tags []string) ([]string, error) {
	pattern, err := regexp.Compile(l.pattern)
	if err != nil {
		return nil, fmt.Errorf("--filter-regex: %w", err)
	}
	slices.Sort(tags)
	tags = slices.DeleteFunc(tags, func(tag string) bool { return !pattern.MatchString(tag) })
	if l.versions == "" {
		return tags, nil
	}
	constraint, err := semver.NewConstraint(l.versions)
	if err != nil {
		return nil, fmt.Errorf("--filter-semver: %w", err)
	}
	versions := map[string]*semver.Version{}
	for _, tag := range tags {
		if v, err := semver.NewVersion(tag); err == nil && constraint.Check(v) {
			versions[tag] = v
		}
	}
	return slices.SortedFunc(maps.Keys(versions), func(a, b string) int { return versions[b].Compare(versions[a]) }), nil
}
