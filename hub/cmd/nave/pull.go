package main

import (
	"context"
	"fmt"
	"io"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/spf13/cobra"

	"github.com/navefleet/nave/hub/internal/artifact"
	"github.com/navefleet/nave/shared/wording"
)

func newPullArtifactCommand(s *session) *cobra.Command {
	var r registryFlags
	var output string
	cmd := &cobra.Command{
		Use:     "artifact oci://HOST/PATH:TAG --output DIR",
		Short:   "Pull an artifact and unpack it",
		Example: `  nave pull artifact oci://ghcr.io/org/fleet:v1.0.0 --output ./fleet`,
		Args:    cobra.ExactArgs(1),
		RunE: s.limited(func(ctx context.Context, out io.Writer, args []string) error {
			digest, m, content, err := r.open(ctx, args[0])
			if err != nil {
				return err
			}
			defer content.Close()
			files, err := unpackArchive(ctx, content, output)
			if err != nil {
				return fmt.Errorf("pull %s: %w", args[0], err)
			}
			fmt.Fprintf(out, "source %s\nrevision %s\ndigest %s\n%s in %s\n",
				said(m.Annotations[artifact.SourceAnnotation]), said(m.Annotations[artifact.RevisionAnnotation]), digest,
				wording.Count(files, "file"), output)
			return nil
		}),
	}
	r.add(cmd.Flags())
	cmd.Flags().StringVarP(&output, "output", "o", "", "folder to unpack into")
	_ = cmd.MarkFlagRequired("output")
	return cmd
}

// open returns the digest, the manifest and the first layer of an artifact.
func (r *registryFlags) open(ctx context.Context, address string) (digest v1.Hash, m *v1.Manifest,
	content io.ReadCloser, err error) {
	ref, err := r.reference(address)
	if err != nil {
		return digest, nil, nil, err
	}
	options, err := r.options(ctx)
	if err != nil {
		return digest, nil, nil, err
	}
	image, err := remote.Image(ref, options...)
	if err != nil {
		return digest, nil, nil, fmt.Errorf("pull %s: %w", address, err)
	}
	if m, err = image.Manifest(); err != nil {
		return digest, nil, nil, fmt.Errorf("pull %s: %w", address, err)
	}
	if len(m.Layers) == 0 {
		return digest, nil, nil, fmt.Errorf("pull %s: the artifact has no layers", address)
	}
	if digest, err = image.Digest(); err != nil {
		return digest, nil, nil, err
	}
	layer, err := image.LayerByDigest(m.Layers[0].Digest)
	if err != nil {
		return digest, nil, nil, err
	}
	content, err = layer.Compressed()
	return digest, m, content, err
}
