// Package file fetches RemoteBases that are single files: a file that a server gives by HTTP becomes the only file of
// an artifact, whose revision is the digest of its content.
package file

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/artifact"
	"github.com/navefleet/nave/hub/internal/source"
	"github.com/navefleet/nave/shared/manifest"
)

// defaultLimit is the default of Fetcher.Limit.
const defaultLimit = 16 << 20

// Fetcher fetches single files of at most Limit bytes. Zero stands for the defaultLimit.
type Fetcher struct{ Limit int64 }

var _ source.Fetcher = Fetcher{}

// Fetch implements source.Fetcher.
func (f Fetcher) Fetch(ctx context.Context, r source.Request) (artifact.Artifact, error) {
	a, err := f.fetch(ctx, r)
	if err != nil {
		return artifact.Artifact{}, source.Classify(err, func(error) error { return nil })
	}
	return a, nil
}

func (f Fetcher) fetch(ctx context.Context, r source.Request) (a artifact.Artifact, err error) {
	b, err := api.Decode[api.RemoteBase](r.Object)
	if err != nil {
		return a, fmt.Errorf("%w: %w", source.ErrRequest, err)
	}
	text, err := f.download(ctx, r, b.Spec.URL)
	if err != nil {
		return a, err
	}
	revision := manifest.DigestOf(text).String()
	if r.Last != nil && r.Last.Revision == revision {
		return *r.Last, nil
	}
	only := artifact.File{Path: api.RemoteFile, Mode: artifact.Regular, Content: artifact.IdentifyContent(text)}
	return r.Workspace.Put(ctx, r.CacheID(b.Spec.URL), artifact.Tree{
		Revision: revision, Files: []artifact.File{only}, Contents: content(text), NoIgnoreFiles: true,
	}, r.Last)
}

// download returns the content of the file.
func (f Fetcher) download(ctx context.Context, r source.Request, address string) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, fmt.Errorf("%w: the URL cannot be read", source.ErrRequest)
	}
	client, err := r.HTTP(request.URL)
	if err != nil {
		return nil, err
	}
	defer client.CloseIdleConnections()
	answer, err := client.Do(request)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	err = source.CheckStatus(answer, "the file")
	if errors.Is(err, source.ErrAuthentication) {
		err = fmt.Errorf("%w; remote files are fetched without credentials: commit a copy of it", err)
	}
	if err != nil {
		return nil, err
	}
	return io.ReadAll(artifact.Bound(answer.Body, cmp.Or(f.Limit, defaultLimit), "the file"))
}

// content is the content of the only file. It implements artifact.Contents.
type content []byte

// Size implements artifact.Contents.
func (c content) Size(artifact.File) (int64, error) { return int64(len(c)), nil }

// Read implements artifact.Contents.
func (c content) Read(context.Context, artifact.File, int64) ([]byte, error) { return c, nil }
