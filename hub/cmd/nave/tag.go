package main

import (
	"context"
	"fmt"
	"io"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/spf13/cobra"
)

func newTagArtifactCommand(s *session) *cobra.Command {
	var r registryFlags
	var tags []string
	cmd := &cobra.Command{
		Use:     "artifact oci://HOST/PATH:TAG --tag TAG",
		Short:   "Give an artifact further tags",
		Example: `  nave tag artifact oci://ghcr.io/org/fleet:v1.0.0 --tag latest`,
		Args:    cobra.ExactArgs(1),
		RunE: s.limited(func(ctx context.Context, out io.Writer, args []string) error {
			ref, err := r.reference(args[0])
			if err != nil {
				return err
			}
			options, err := r.options(ctx)
			if err != nil {
				return err
			}
			known, err := remote.Get(ref, options...)
			if err != nil {
				return fmt.Errorf("tag %s: %w", args[0], err)
			}
			for _, tag := range tags {
				to, err := name.NewTag(ref.Context().String()+":"+tag, r.names()...)
				if err != nil {
					return fmt.Errorf("--tag=%s: %w", tag, err)
				}
				if err := remote.Tag(to, known, options...); err != nil {
					return fmt.Errorf("tag %s as %s: %w", args[0], tag, err)
				}
				fmt.Fprintf(out, "%s is %s\n", to, known.Digest)
			}
			return nil
		}),
	}
	r.add(cmd.Flags())
	cmd.Flags().StringSliceVar(&tags, "tag", nil, "a tag to give; may be repeated")
	_ = cmd.MarkFlagRequired("tag")
	return cmd
}
