package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/spf13/cobra"

	"github.com/navefleet/nave/hub/internal/artifact"
)

const createdAnnotation = "org.opencontainers.image.created"

// push has the flags of "nave push artifact".
type push struct {
	registryFlags
	path, source, revision, output string
	annotations, ignore            []string
	reproducible                   bool
}

func newPushArtifactCommand(s *session) *cobra.Command {
	var p push
	cmd := &cobra.Command{
		Use:   "artifact oci://HOST/PATH:TAG --path PATH --source URL --revision REVISION",
		Short: "Pack a folder or a file and push it",
		Example: `  nave push artifact oci://ghcr.io/org/fleet:$(git rev-parse --short HEAD) --path ./deploy \
    --source "$(git config --get remote.origin.url)" --revision "main@sha1:$(git rev-parse HEAD)"`,
		Args: cobra.ExactArgs(1),
	}
	cmd.RunE = s.limited(func(ctx context.Context, out io.Writer, args []string) error {
		var archive bytes.Buffer
		if err := packPath(&archive, p.path, p.ignore, cmd.InOrStdin()); err != nil {
			return err
		}
		return p.run(ctx, out, args[0], archive.Bytes())
	})
	p.add(cmd.Flags())
	f := cmd.Flags()
	f.StringVarP(&p.path, "path", "f", "", "folder, or single file, to push; - is standard input")
	f.StringVar(&p.source, "source", "", "where the files come from, such as the URL of a Git repository")
	f.StringVar(&p.revision, "revision", "", "the revision of the source, as BRANCH@sha1:COMMIT")
	f.StringSliceVarP(&p.annotations, "annotations", "a", nil, "further annotations of the manifest, as KEY=VALUE")
	f.StringSliceVar(&p.ignore, "ignore-paths", defaultIgnore, "paths to leave out, as in .gitignore")
	f.StringVarP(&p.output, "output", "o", "", "print url, repository, tag and digest as json or yaml")
	f.BoolVar(&p.reproducible, "reproducible", false, "equal files make equal digests: the time of creation is 1970")
	for _, name := range []string{"path", "source", "revision"} {
		_ = cmd.MarkFlagRequired(name)
	}
	return cmd
}

func (p *push) run(ctx context.Context, out io.Writer, address string, archive []byte) error {
	tag, err := p.tag(address)
	if err != nil {
		return err
	}
	if p.output != "" && p.output != "json" && p.output != "yaml" {
		return usageError("--output=%s is unknown: want json or yaml", p.output)
	}
	image, err := p.image(archive)
	if err != nil {
		return err
	}
	options, err := p.options(ctx)
	if err != nil {
		return err
	}
	if err := remote.Write(tag, image, options...); err != nil {
		return fmt.Errorf("push %s: %w", address, err)
	}
	digest, err := image.Digest()
	if err != nil {
		return err
	}
	return p.print(out, tag, digest)
}

// print prints what was pushed.
func (p *push) print(out io.Writer, tag name.Tag, digest v1.Hash) error {
	repository := tag.Repository.String()
	pushed := fmt.Sprintf("%s@%s", repository, digest)
	if p.output == "" {
		fmt.Fprintf(out, "pushed %s:%s as %s\n", repository, tag.TagStr(), pushed)
		return nil
	}
	return printIn(out, p.output, map[string]any{
		"url": "oci://" + pushed, "repository": repository, "tag": tag.TagStr(), "digest": digest.String(),
	})
}

// image returns an artifact in Flux's format.
func (p *push) image(archive []byte) (v1.Image, error) {
	created := time.Now().UTC()
	if p.reproducible {
		created = time.Unix(0, 0).UTC()
	}
	annotations := map[string]string{
		createdAnnotation: created.Format(time.RFC3339), artifact.SourceAnnotation: p.source,
		artifact.RevisionAnnotation: p.revision,
	}
	for _, a := range p.annotations {
		key, value, ok := strings.Cut(a, "=")
		if !ok || key == "" {
			return nil, usageError("--annotations=%s: want KEY=VALUE", a)
		}
		annotations[key] = value
	}
	open := func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(archive)), nil }
	layer, err := tarball.LayerFromOpener(open, tarball.WithMediaType(contentType))
	if err != nil {
		return nil, err
	}
	image := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), configType)
	if image, err = mutate.CreatedAt(image, v1.Time{Time: created}); err != nil {
		return nil, err
	}
	if image, err = mutate.Append(image, mutate.Addendum{Layer: layer}); err != nil {
		return nil, err
	}
	return mutate.Annotations(image, annotations).(v1.Image), nil
}
