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

	"github.com/Masterminds/semver/v3"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/spf13/cobra"

	"github.com/navefleet/nave/hub/internal/artifact"
)

// listing has the flags of "nave list artifacts".
type listing struct {
	registryFlags
	outputFlags
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
		RunE: func(cmd *cobra.Command, args []string) error {
			p, err := l.printer(cmd)
			if err != nil {
				return err
			}
			return s.limited(func(ctx context.Context, _ io.Writer, args []string) error {
				return l.run(ctx, p, args[0])
			})(cmd, args)
		},
	}
	l.registryFlags.add(cmd.Flags())
	l.outputFlags.add(cmd)
	cmd.Flags().StringVar(&l.versions, "filter-semver", "", "only tags that are versions in this range")
	cmd.Flags().StringVar(&l.pattern, "filter-regex", "", "only tags that match this regular expression")
	return cmd
}

func (l *listing) run(ctx context.Context, p *printer, address string) error {
	repository, err := name.NewRepository(strings.TrimPrefix(address, "oci://"), l.names()...)
	if err != nil || !strings.HasPrefix(address, "oci://") {
		return errors.Join(usageError("%q is not the address of a repository: want oci://host/path", address), err)
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
	all := printout{items: []any{}, names: []string{},
		table: table{headings: []string{"ARTIFACT", "DIGEST", "SOURCE", "REVISION"}}}
	for _, tag := range tags {
		d, err := remote.Get(repository.Tag(tag), options...)
		if err != nil {
			return fmt.Errorf("list %s:%s: %w", address, tag, err)
		}
		source, revision := d.Annotations[artifact.SourceAnnotation], d.Annotations[artifact.RevisionAnnotation]
		named := fmt.Sprintf("%s:%s", repository, tag)
		all.items = append(all.items, listedArtifact{named, d.Digest.String(), source, revision})
		all.names = append(all.names, named)
		all.table.rows = append(all.table.rows, []string{said(named), d.Digest.String(), said(source), said(revision)})
	}
	all.value = all.items
	return p.print(all)
}

// listedArtifact is an artifact as it is printed as JSON or YAML. Its field names are stable.
type listedArtifact struct {
	Artifact string `json:"artifact"`
	Digest   string `json:"digest"`
	Source   string `json:"source,omitempty"`
	Revision string `json:"revision,omitempty"`
}

// filter returns the tags that match the flags: versions with the newest first, others by name.
func (l *listing) filter(tags []string) ([]string, error) {
	pattern, err := regexp.Compile(l.pattern)
	if err != nil {
		return nil, usageError("--filter-regex: %w", err)
	}
	slices.Sort(tags)
	tags = slices.DeleteFunc(tags, func(tag string) bool { return !pattern.MatchString(tag) })
	if l.versions == "" {
		return tags, nil
	}
	constraint, err := semver.NewConstraint(l.versions)
	if err != nil {
		return nil, usageError("--filter-semver: %w", err)
	}
	versions := map[string]*semver.Version{}
	for _, tag := range tags {
		if v, err := semver.NewVersion(tag); err == nil && constraint.Check(v) {
			versions[tag] = v
		}
	}
	return slices.SortedFunc(maps.Keys(versions), func(a, b string) int { return versions[b].Compare(versions[a]) }), nil
}
