package oci

import (
	"cmp"
	"context"
	"fmt"
	"os"

	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/navefleet/nave/hub/internal/artifact"
	"github.com/navefleet/nave/hub/internal/source"
	"github.com/navefleet/nave/hub/internal/source/registry"
)

// Fetcher fetches OCIRepositories. Zero Limits are the DefaultLimits.
type Fetcher struct {
	Limits Limits
	// PlusInVersions: an underscore in a tag stands for the + of a version, which no tag can have, as in tags of charts.
	PlusInVersions bool

	connections registry.Connections
}

var _ source.Fetcher = (*Fetcher)(nil)

// Fetch implements source.Fetcher. Its errors name the reference, the cause and the way out.
func (f *Fetcher) Fetch(ctx context.Context, r source.Request) (artifact.Artifact, error) {
	g := &fetching{Request: r, limits: cmp.Or(f.Limits, DefaultLimits), plus: f.PlusInVersions}
	a, err := g.run(ctx, &f.connections)
	if err != nil {
		f.connections.Drop(g.ID) // the next fetch logs in again
		return artifact.Artifact{}, fmt.Errorf("%s: %w", g.spec.reference(), source.Classify(err, g.Classify))
	}
	return a, nil
}

// fetching is one fetch.
type fetching struct {
	source.Request
	registry.Access
	spec   spec
	limits Limits
	plus   bool // see Fetcher.PlusInVersions
}

// run resolves the reference, verifies its signatures and makes the artifact.
func (f *fetching) run(ctx context.Context, kept *registry.Connections) (artifact.Artifact, error) {
	if err := f.decode(); err != nil {
		return artifact.Artifact{}, err
	}
	if d := f.spec.Ref.Digest; d != "" && f.IsLast(d, f.verified()) {
		return *f.Last, nil
	}
	if err := f.Connect(ctx, f.Request, kept); err != nil {
		return artifact.Artifact{}, err
	}
	defer f.Close()
	revision, digest, err := f.resolve(ctx)
	if err != nil {
		return artifact.Artifact{}, err
	}
	if f.IsLast(revision, f.verified()) {
		return *f.Last, nil
	}
	verification, err := f.verify(ctx, digest)
	if err != nil {
		return artifact.Artifact{}, err
	}
	var a artifact.Artifact
	if f.Last != nil && f.Last.Revision == revision { // only the keys changed
		a = *f.Last
	} else if a, err = f.pull(ctx, revision, digest); err != nil {
		return artifact.Artifact{}, err
	}
	a.Verification = verification
	return a, nil
}

// pull makes an artifact of a layer of the image with a digest.
func (f *fetching) pull(ctx context.Context, revision string, digest v1.Hash) (artifact.Artifact, error) {
	manifest, err := f.manifest(ctx, f.Repository.Digest(digest.String()))
	if err != nil {
		return artifact.Artifact{}, err
	}
	layer, err := f.choose(manifest)
	if err != nil {
		return artifact.Artifact{}, err
	}
	unlock, err := f.Workspace.Lock(ctx, f.ID)
	if err != nil {
		return artifact.Artifact{}, err
	}
	defer unlock()
	blob, err := f.download(ctx, layer)
	if err != nil {
		return artifact.Artifact{}, err
	}
	defer blob.Close()
	a, err := f.put(ctx, revision, layer, blob)
	a.Origin = artifact.Origin{
		Revision: manifest.Annotations[artifact.RevisionAnnotation], Source: manifest.Annotations[artifact.SourceAnnotation],
	}
	return a, err
}

// put makes an artifact of a layer that was downloaded.
func (f *fetching) put(ctx context.Context, revision string, layer v1.Descriptor, blob *os.File) (artifact.Artifact,
	error) {
	tree := artifact.Tree{Revision: revision, Ignore: f.spec.Ignore, Limits: f.limits.Limits}
	var contents *spool
	var err error
	if f.spec.Layer.Operation == sourcev1.OCILayerCopy {
		none := ""
		tree.Ignore = &none
		contents, err = copied(blob)
	} else {
		contents, err = unpack(ctx, blob, f.Workspace.Tmp, f.limits)
	}
	if err != nil {
		return artifact.Artifact{}, fmt.Errorf("layer %s: %w", layer.Digest, err)
	}
	defer contents.close()
	tree.Files, tree.Contents = contents.list, contents
	return f.Workspace.Put(ctx, f.ID, tree, f.Last)
}
