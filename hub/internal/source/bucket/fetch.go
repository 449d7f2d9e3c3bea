// Package bucket fetches Buckets: the objects of a bucket of an S3-compatible server become the files of an artifact.
//
// The revision is a digest over the keys and ETags of the objects that are not ignored, so a poll that finds nothing
// new downloads nothing.
package bucket

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/artifact"
	"github.com/navefleet/nave/hub/internal/source"
	"github.com/navefleet/nave/shared/manifest"
)

// Fetcher fetches Buckets. Zero Limits are the DefaultLimits.
type Fetcher struct{ Limits artifact.Limits }

var _ source.Fetcher = Fetcher{}

// Fetch implements source.Fetcher. Its errors name the bucket.
func (f Fetcher) Fetch(ctx context.Context, r source.Request) (artifact.Artifact, error) {
	b, err := api.Decode[sourcev1.Bucket](r.Object)
	if err != nil {
		return artifact.Artifact{}, fmt.Errorf("%w: %w", source.ErrRequest, err)
	}
	s := &fetching{Request: r, spec: b.Spec, limits: cmp.Or(f.Limits, artifact.DefaultLimits)}
	if err = s.connect(b); err == nil {
		defer s.web.CloseIdleConnections()
		var a artifact.Artifact
		if a, err = s.fetch(ctx); err == nil {
			return a, nil
		}
	}
	return artifact.Artifact{}, fmt.Errorf("bucket %s: %w", b.Spec.BucketName, source.Classify(err, classify))
}

// fetching is one fetch.
type fetching struct {
	source.Request
	spec   sourcev1.BucketSpec
	limits artifact.Limits
	web    *http.Client // below client
	client *minio.Client
}

// connect makes a client with the credentials of the Secret. Without a Secret the client is anonymous.
func (f *fetching) connect(b *sourcev1.Bucket) (err error) {
	u := api.BucketURL(b)
	if f.web, err = f.HTTP(u); err != nil {
		return err
	}
	access := credentials.NewStaticV4("", "", "")
	if secret, ok := f.Secrets["spec.secretRef"]; ok {
		key, password := string(secret["accesskey"]), string(secret["secretkey"])
		if key == "" || password == "" {
			return source.SecretError(errors.New("want the keys accesskey and secretkey"))
		}
		access = credentials.NewStaticV4(key, password, "")
	}
	f.client, err = minio.New(u.Host, &minio.Options{
		Creds: access, Secure: u.Scheme == "https", Region: f.spec.Region, Transport: f.web.Transport, MaxRetries: 1,
	})
	return err
}

// fetch lists the objects, downloads those that changed, and makes the artifact.
func (f *fetching) fetch(ctx context.Context) (artifact.Artifact, error) {
	t, err := f.list(ctx)
	if err != nil {
		return artifact.Artifact{}, err
	}
	id := f.CacheID(f.spec.Endpoint + "/" + f.spec.BucketName)
	tree := artifact.Tree{Files: t.files(), Contents: t, Ignore: f.spec.Ignore, Limits: f.limits}
	kept, err := tree.Filter(ctx)
	if err != nil {
		return artifact.Artifact{}, err
	}
	tree.Revision = t.revision(kept)
	if f.Last != nil && f.Last.Revision == tree.Revision {
		return *f.Last, nil
	}
	if tree.Files, err = t.download(ctx, kept); err != nil {
		return artifact.Artifact{}, err
	}
	return f.Workspace.Put(ctx, id, tree, f.Last)
}

// list lists the objects below the prefix. Keys that end in a slash stand for folders.
func (f *fetching) list(ctx context.Context) (*listing, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // ends the requests of a list that is not read to its end
	l := &listing{fetching: f, objects: map[string]object{}}
	listed := 0 // a server may list an object again and again
	for o := range f.client.ListObjects(ctx, f.spec.BucketName, minio.ListObjectsOptions{
		Prefix: f.spec.Prefix, Recursive: true,
	}) {
		switch {
		case o.Err != nil:
			return nil, o.Err
		case strings.HasSuffix(o.Key, "/"):
			continue
		case listed == listShare*f.limits.Files:
			return nil, fmt.Errorf("%w: the bucket has more than %d objects; name a part of them in spec.prefix",
				artifact.ErrLimit,
				listShare*f.limits.Files)
		}
		listed++
		l.objects[o.Key] = object{etag: strings.Trim(o.ETag, `"`), size: o.Size}
	}
	return l, nil
}

// listShare is how many objects may be listed, as a multiple of the files of an artifact: most may be ignored.
const listShare = 10

// revision names the objects of files as Flux does: a digest over their keys and ETags.
func (l *listing) revision(files []artifact.File) string {
	lines := make([]string, len(files))
	for i, file := range files {
		lines[i] = file.Path + " " + l.objects[file.Path].etag + "\n"
	}
	slices.Sort(lines)
	return manifest.DigestOf([]byte(strings.Join(lines, ""))).String()
}

// classify returns an error of the server, nil for others.
func classify(err error) error {
	var answer minio.ErrorResponse
	if !errors.As(err, &answer) {
		return nil
	}
	kind := source.ErrProtocol
	switch {
	case answer.Code == minio.NoSuchBucket:
		kind = source.ErrRepositoryNotFound
	case answer.StatusCode == http.StatusForbidden || answer.StatusCode == http.StatusUnauthorized:
		kind = source.ErrAuthentication
	case answer.StatusCode >= http.StatusInternalServerError:
		kind = source.ErrUnreachable
	}
	return fmt.Errorf("%w: %s: %s", kind, answer.Code, source.Quote(answer.Message))
}
