package bucket_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/artifact"
	"github.com/navefleet/nave/hub/internal/dial"
	"github.com/navefleet/nave/hub/internal/source"
	"github.com/navefleet/nave/hub/internal/source/bucket"
)

// FuzzListing has servers that answer any list of objects, and any object: a fetch ends with one of the errors of
// fetches, or with files in the store.
func FuzzListing(f *testing.F) {
	const one = "<Contents><Key>a.yaml</Key><Size>1</Size><ETag>\"e\"</ETag>" +
		"<LastModified>2026-01-01T00:00:00Z</LastModified></Contents>"
	list := func(more string) []byte {
		return []byte("<ListBucketResult><Name>fleet</Name>" + more + one + "</ListBucketResult>")
	}
	f.Add(list("<IsTruncated>false</IsTruncated>"), "x", "\"e\"")
	f.Add(list("<IsTruncated>true</IsTruncated><NextContinuationToken>t</NextContinuationToken>"), "x", "e")
	f.Add(list("<EncodingType>url</EncodingType><CommonPrefixes><Prefix>p/</Prefix></CommonPrefixes>"), "xx", "")
	f.Add([]byte("<Error><Code>NoSuchBucket</Code><Message>\x1b</Message></Error>"), "", "")
	f.Add([]byte("<"), "", "")
	var text atomic.Pointer[[3]string]
	text.Store(&[3]string{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		t := text.Load()
		switch q := r.URL.Query(); {
		case q.Has("location"):
			_, _ = fmt.Fprint(w, `<LocationConstraint>us-east-1</LocationConstraint>`)
		case q.Has("list-type"):
			_, _ = fmt.Fprint(w, t[0])
		default:
			w.Header().Set("ETag", t[2])
			w.Header().Set("Last-Modified", "Thu, 01 Jan 2026 00:00:00 GMT")
			_, _ = fmt.Fprint(w, t[1])
		}
	}))
	f.Cleanup(server.Close)
	o := fmt.Appendf(nil, `{"spec":{"endpoint":%q,"bucketName":"fleet","insecure":true}}`,
		strings.TrimPrefix(server.URL, "http://"))
	f.Fuzz(func(t *testing.T, listing []byte, content, etag string) {
		text.Store(&[3]string{string(listing), content, etag})
		above := t.TempDir()
		store := artifact.New(filepath.Join(above, "store"))
		r := source.Request{
			Object: api.StoredObject(api.Key{Kind: api.BucketKind}, o), Timeout: 2 * time.Second,
			Network: dial.Policy{Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}},
		}
		_, err := store.Make(t.Context(), nil, func(w artifact.Workspace, _ *artifact.Artifact) (artifact.Artifact, error) {
			r.Workspace = w
			limits := artifact.Limits{Total: 1 << 16, Files: 20, File: 1 << 10}
			return source.Limited{Fetcher: bucket.Fetcher{Limits: limits}}.Fetch(t.Context(), r)
		})
		known := func(k error) bool { return errors.Is(err, k) }
		if err != nil && !slices.ContainsFunc(source.Errors(), known) {
			t.Errorf("an error of another kind: %v", err)
		}
		if found, err := os.ReadDir(above); err != nil || len(found) > 1 {
			t.Errorf("written beside the store: %v, %v", found, err)
		}
	})
}
