package main

import (
	"context"
	"fmt"
	"io"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/spf13/cobra"
)

// tagging has the flags of "nave tag artifact".
type tagging struct {
	registryFlags
	tags []string
}

func newTagArtifactCommand(s *session) *cobra.Command {
	var t tagging
	cmd := &cobra.Command{
		Use:     "artifact oci://HOST/PATH:TAG --tag TAG",
		Short:   "Give an artifact further tags",
		Example: `  nave tag artifact oci://ghcr.io/org/fleet:v1.0.0 --tag latest`,
		Args:    cobra.ExactArgs(1),
		RunE: s.limited(func(ctx context.Context, out io.Writer, args []string) error {
			return t.run(ctx, out, args[0])
		}),
	}
	t.add(cmd.Flags())
	cmd.Flags().StringSliceVar(&t.tags, "tag", nil, "a tag to give; may be repeated")
	_ = cmd.MarkFlagRequired("tag")
	return cmd
}

func (t *tagging) run(ctx context.Context, out io.Writer, address string) error {
	ref, err := t.reference(address)
	if err != nil {
		return err
	}
	options, err := t.options(ctx)
	if err != nil {
		return err
	}
	known, err := remote.Get(ref, options...)
	if err != nil {
		return fmt.Errorf("tag %s: %w", address, err)
	}
	for _, tag := range t.tags {
		to, err := name.NewTag(ref.Context().String()+":"+tag, t.names()...)
		if err != nil {
			return fmt.Errorf("--tag=%s: %w", tag, err)
		}
		if err := remote.Tag(to, known, options...); err != nil {
			return fmt.Errorf("tag %s as %s: %w", address, tag, err)
		}
		fmt.Fprintf(out, "%s is %s\n", to, known.Digest)
	}
	return nil
}
