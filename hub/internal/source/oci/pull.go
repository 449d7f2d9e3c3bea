package oci

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/navefleet/nave/hub/internal/artifact"
	"github.com/navefleet/nave/hub/internal/source"
	"github.com/navefleet/nave/shared/wording"
)

// manifest returns the manifest of an image; of an index, that of the image for linux/amd64.
func (f *fetching) manifest(ctx context.Context, image name.Reference) (*v1.Manifest, error) {
	d, err := f.describe(ctx, image)
	if err != nil {
		return nil, err
	}
	if !d.MediaType.IsImage() {
		return nil, fmt.Errorf("%w: its manifest is of type %s; want that of an OCI image", source.ErrProtocol,
			source.Quote(string(d.MediaType)))
	}
	found, err := d.Image()
	if err != nil {
		return nil, err
	}
	return found.Manifest()
}

// describe returns what a reference stands for. It follows indexes, which may name other indexes.
func (f *fetching) describe(ctx context.Context, ref name.Reference) (*remote.Descriptor, error) {
	for range maxIndexes {
		d, err := f.Puller.Get(ctx, ref)
		if err != nil || !d.MediaType.IsIndex() {
			return d, err
		}
		index, err := v1.ParseIndexManifest(bytes.NewReader(d.Manifest))
		if err != nil {
			return nil, fmt.Errorf("%w: its index is malformed: %w", source.ErrProtocol, err)
		}
		i := slices.IndexFunc(index.Manifests, isForPlatform)
		if i < 0 {
			return nil, fmt.Errorf("%w: its index has no image for %s", source.ErrReferenceNotFound, platform)
		}
		ref = f.Repository.Digest(index.Manifests[i].Digest.String())
	}
	return nil, fmt.Errorf("%w: it is an index of indexes, more than %d deep", artifact.ErrLimit, maxIndexes)
}

// platform is that of the image which an index stands for.
var platform = v1.Platform{OS: "linux", Architecture: "amd64"}

// isForPlatform reports whether an entry of an index is for the platform, or for none.
func isForPlatform(d v1.Descriptor) bool { return d.Platform == nil || d.Platform.Satisfies(platform) }

// choose returns the layer that the selector means: the first one, or the first one of a type.
func (f *fetching) choose(m *v1.Manifest) (v1.Descriptor, error) {
	var types []string
	for _, layer := range m.Layers {
		if wanted := f.spec.Layer.MediaType; wanted != "" && wanted != string(layer.MediaType) {
			types = append(types, string(layer.MediaType))
			continue
		}
		if layer.Size > f.limits.Layer || layer.Size < 0 {
			return layer, fmt.Errorf("%w: layer %s has %s, the limit is %s", artifact.ErrLimit, layer.Digest,
				artifact.FormatSize(layer.Size), artifact.FormatSize(f.limits.Layer))
		}
		return layer, nil
	}
	if len(m.Layers) == 0 {
		return v1.Descriptor{}, fmt.Errorf("%w: the artifact has no layers", artifact.ErrTree)
	}
	return v1.Descriptor{}, fmt.Errorf("%w: no layer is of the type %q (spec.layerSelector); the artifact has: %s",
		source.ErrReferenceNotFound, f.spec.Layer.MediaType, wording.List(types, len(types), 10))
}

// download writes a layer to disk and verifies its digest.
func (f *fetching) download(ctx context.Context, d v1.Descriptor) (*os.File, error) {
	layer, err := f.Puller.Layer(ctx, f.Repository.Digest(d.Digest.String()))
	if err != nil {
		return nil, err
	}
	body, err := layer.Compressed() // verifies the digest when it is read to its end
	if err != nil {
		return nil, err
	}
	defer body.Close()
	file, err := os.CreateTemp(f.Workspace.Tmp, "layer-")
	if err != nil {
		return nil, artifact.StorageError(err)
	}
	_ = os.Remove(file.Name())
	what := "layer " + d.Digest.String()
	n, err := io.Copy(file, artifact.Bound(body, d.Size, what))
	if err == nil && n != d.Size {
		err = fmt.Errorf("%w: it has %d bytes, and its manifest says %d", source.ErrProtocol, n, d.Size)
	}
	if err == nil {
		_, err = file.Seek(0, io.SeekStart)
	}
	if err != nil {
		return nil, errors.Join(readError(what, err), file.Close())
	}
	return file, nil
}

// readError explains the error of a download.
func readError(what string, err error) error {
	if strings.Contains(err.Error(), "error verifying") { // package verify of go-containerregistry is internal
		return fmt.Errorf("%w: the content of %s does not match its digest", source.ErrProtocol, what)
	}
	return fmt.Errorf("%s: %w", what, err)
}
