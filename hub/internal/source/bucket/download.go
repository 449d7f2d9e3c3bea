package bucket

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"

	"github.com/minio/minio-go/v7"
	"golang.org/x/sync/errgroup"

	"github.com/navefleet/nave/hub/internal/artifact"
	"github.com/navefleet/nave/hub/internal/source"
)

// downloads is how many objects are downloaded at a time.
const downloads = 4

// object is an object of a bucket.
type object struct {
	etag string
	size int64
}

// listing has the objects of a bucket by key. It implements artifact.OnDisk for the downloaded ones.
type listing struct {
	*fetching
	objects map[string]object

	mu    sync.Mutex
	names map[string]string // files of the workspace, by key
}

// files returns the objects as files, whose contents are not known yet.
func (l *listing) files() (files []artifact.File) {
	for key, o := range l.objects {
		files = append(files, artifact.File{Path: key, Mode: artifact.Regular, Size: o.size})
	}
	return files
}

// Size implements artifact.Contents.
func (l *listing) Size(f artifact.File) (int64, error) { return l.objects[f.Path].size, nil }

// Name implements artifact.OnDisk.
func (l *listing) Name(f artifact.File) string { return l.names[f.Path] }

// Read implements artifact.Contents.
func (l *listing) Read(ctx context.Context, f artifact.File, limit int64) ([]byte, error) {
	if name := l.names[f.Path]; name != "" {
		text, err := os.ReadFile(name)
		return text, artifact.StorageError(err)
	}
	in, err := l.client.GetObject(ctx, l.spec.BucketName, f.Path, minio.GetObjectOptions{})
	if err != nil {
		return nil, err
	}
	defer in.Close()
	return io.ReadAll(artifact.Bound(in, limit, f.Path))
}

// download brings objects into the workspace and returns the files with their contents.
func (l *listing) download(ctx context.Context, files []artifact.File) ([]artifact.File, error) {
	if err := l.measure(files); err != nil {
		return nil, err
	}
	l.names = map[string]string{}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(downloads)
	for i := range files {
		group.Go(func() error {
			name, id, err := l.get(ctx, files[i].Path)
			if err != nil {
				return fmt.Errorf("object %s: %w", source.Quote(files[i].Path), err)
			}
			l.mu.Lock()
			defer l.mu.Unlock()
			files[i].Content, l.names[files[i].Path] = id, name
			return nil
		})
	}
	return files, group.Wait()
}

// measure checks the limits before the first download.
func (l *listing) measure(files []artifact.File) error {
	var total int64
	for _, f := range files {
		size := l.objects[f.Path].size
		if total += size; size > l.limits.File || total > l.limits.Total || len(files) > l.limits.Files {
			return fmt.Errorf("%w: object %s exceeds %s in total, %d objects or %s for one object; exclude some in spec.ignore",
				artifact.ErrLimit, source.Quote(f.Path), artifact.FormatSize(l.limits.Total), l.limits.Files,
				artifact.FormatSize(l.limits.File))
		}
	}
	return nil
}

// get downloads one object, in the version that was listed.
func (l *listing) get(ctx context.Context, key string) (name string, id artifact.ContentID, err error) {
	o := l.objects[key]
	options := minio.GetObjectOptions{}
	if err := options.SetMatchETag(o.etag); err != nil {
		return "", "", err
	}
	in, err := l.client.GetObject(ctx, l.spec.BucketName, key, options)
	if err != nil {
		return "", "", err
	}
	defer in.Close()
	out, err := os.CreateTemp(l.Workspace.Tmp, "object-")
	if err != nil {
		return "", "", artifact.StorageError(err)
	}
	hash := sha256.New()
	n, err := io.Copy(io.MultiWriter(out, hash), artifact.Bound(in, o.size, key))
	closed := errors.Join(out.Close(), os.Chmod(out.Name(), artifact.Regular.Permissions()))
	switch {
	case err != nil:
		return "", "", err
	case closed != nil:
		return "", "", artifact.StorageError(closed)
	case n != o.size:
		return "", "", fmt.Errorf("%w: the download has %d bytes, the list says %d", source.ErrProtocol, n, o.size)
	}
	return out.Name(), artifact.ContentID(hex.EncodeToString(hash.Sum(nil))), nil
}
