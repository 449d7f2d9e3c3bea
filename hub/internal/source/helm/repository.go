package helm

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	sourcev1 "github.com/fluxcd/source-controller/api/v1"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/artifact"
	"github.com/navefleet/nave/hub/internal/source"
)

// Repositories fetches HelmRepositories. Zero Limits are the DefaultLimits.
type Repositories struct{ Limits Limits }

var _ source.Fetcher = Repositories{}

// Fetch implements source.Fetcher.
func (f Repositories) Fetch(ctx context.Context, r source.Request) (artifact.Artifact, error) {
	repo, err := api.Decode[sourcev1.HelmRepository](r.Object)
	if err != nil {
		return artifact.Artifact{}, fmt.Errorf("%w: %w", source.ErrRequest, err)
	}
	var a artifact.Artifact
	if repo.Spec.Type == sourcev1.HelmRepositoryTypeOCI {
		a, err = static(ctx, r)
	} else {
		i := indexing{Request: r, limits: cmp.Or(f.Limits, DefaultLimits)}
		a, err = i.fetch(ctx, repo.Spec.URL)
	}
	if err != nil {
		return artifact.Artifact{}, source.Classify(err, noProtocol)
	}
	return a, nil
}

// noProtocol wraps the errors of a protocol with errors of its own: HTTP has none.
func noProtocol(error) error { return nil }

// static returns the artifact of a HelmRepository that is not fetched.
func static(ctx context.Context, r source.Request) (artifact.Artifact, error) {
	const revision = "oci"
	if r.Last != nil && r.Last.Revision == revision {
		return *r.Last, nil
	}
	a, err := r.PutFiles(ctx, r.CacheID(revision), revision, nil)
	a.Notice = "its HelmCharts ask the registry"
	return a, err
}

// indexing is one fetch of an index.
type indexing struct {
	source.Request
	limits Limits
	only   string // the chart whose versions are read; empty: all
}

// cached is what is kept of an index for the next fetch: the file state of the cache.
type cached struct {
	Disk     int64  `json:"disk"`
	ETag     string `json:"etag"`
	Revision string `json:"revision"`
}

// maxETag limits the bytes of an ETag that is kept.
const maxETag = 1 << 10

// fetch downloads the index and makes an artifact of it. If the server says that the index did not change, or its
// content is that of the last artifact, the last artifact is the result.
func (f *indexing) fetch(ctx context.Context, address string) (a artifact.Artifact, err error) {
	u, err := indexURL(address)
	if err != nil {
		return a, err
	}
	id := f.CacheID(address)
	unlock, err := f.Workspace.Lock(ctx, id)
	if err != nil {
		return a, err
	}
	defer unlock()
	state := filepath.Join(f.Workspace.CacheDir(id), "state")
	file, next, err := f.download(ctx, u, readCached(state))
	if err != nil {
		return a, err
	}
	if file == nil {
		return *f.Last, nil
	}
	defer file.Close()
	if f.Last != nil && f.Last.Revision == next.Revision {
		return *f.Last, next.write(state)
	}
	charts, err := f.read(file)
	if err != nil {
		return a, fmt.Errorf("index.yaml: %w", err)
	}
	files, err := charts.files()
	if err != nil {
		return a, err
	}
	if a, err = f.PutFiles(ctx, id, next.Revision, files); err != nil {
		return a, err
	}
	return a, next.write(state)
}

// indexURL returns the address of the index of a repository.
func indexURL(address string) (*url.URL, error) {
	u, err := url.Parse(address)
	if err != nil {
		return nil, fmt.Errorf("%w: spec.url cannot be read", source.ErrRequest)
	}
	u.Path, u.RawPath = strings.TrimSuffix(u.Path, "/")+"/index.yaml", ""
	return u, nil
}

// download writes the index to a file of the workspace. If the server says that the index is still the last one, the
// file is nil.
func (f *indexing) download(ctx context.Context, u *url.URL, last cached) (*os.File, cached, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return nil, cached{}, fmt.Errorf("%w: the URL cannot be read", source.ErrRequest)
	}
	isLast := f.Last != nil && last.ETag != "" && last.Revision == f.Last.Revision
	if isLast {
		request.Header.Set("If-None-Match", last.ETag)
	}
	client, err := f.HTTP(u)
	if err != nil {
		return nil, cached{}, err
	}
	defer client.CloseIdleConnections()
	answer, err := client.Do(request)
	if err != nil {
		return nil, cached{}, err
	}
	defer answer.Body.Close()
	if isLast && answer.StatusCode == http.StatusNotModified {
		return nil, last, nil
	}
	if err := source.CheckStatus(answer, "index.yaml"); err != nil {
		return nil, cached{}, err
	}
	file, revision, err := f.save(answer.Body)
	next := cached{Revision: revision}
	if tag := answer.Header.Get("ETag"); len(tag) <= maxETag {
		next.ETag = tag
	}
	return file, next, err
}

// save writes the index to a file of the workspace and returns its digest.
func (f *indexing) save(body io.Reader) (*os.File, string, error) {
	file, err := os.CreateTemp(f.Workspace.Tmp, "index-")
	if err != nil {
		return nil, "", artifact.StorageError(err)
	}
	_ = os.Remove(file.Name())
	hash := sha256.New()
	_, err = io.Copy(io.MultiWriter(file, hash), artifact.Bound(body, f.limits.Index, "index.yaml"))
	if err == nil {
		_, err = file.Seek(0, io.SeekStart)
	}
	if err != nil {
		return nil, "", errors.Join(err, file.Close())
	}
	return file, "sha256:" + hex.EncodeToString(hash.Sum(nil)), nil
}

// readCached reads what the last fetch kept. If that cannot be read, nothing was kept.
func readCached(name string) (c cached) {
	text, err := os.ReadFile(name)
	if err != nil || json.Unmarshal(text, &c) != nil {
		return cached{}
	}
	now := time.Now()
	_ = os.Chtimes(filepath.Dir(name), now, now) // for artifact.Store.Sweep; a wrong time costs a download
	return c
}

// write writes what the next fetch needs. If something else is in the place of the cache, write removes it.
func (c cached) write(name string) error {
	text, err := json.Marshal(c)
	if err != nil {
		return artifact.StorageError(err)
	}
	dir, next := filepath.Dir(name), name+".next"
	save := func() error {
		return errors.Join(os.MkdirAll(dir, 0o700), os.WriteFile(next, text, 0o600), os.Rename(next, name))
	}
	if save() == nil {
		return nil
	}
	return artifact.StorageError(errors.Join(os.RemoveAll(dir), save()))
}
