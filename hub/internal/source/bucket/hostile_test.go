package bucket_test

import (
	"encoding/xml"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/navefleet/nave/hub/internal/artifact"
	"github.com/navefleet/nave/hub/internal/source"
)

// TestKeys_hostile has a server that lists keys which lead out of the artifact, are there twice or have no end.
func TestKeys_hostile(t *testing.T) {
	for name, keys := range map[string][]string{
		"sibling":         {"../sibling"},
		"sibling_inside":  {"a/../../sibling"},
		"absolute":        {"/etc/passwd"},
		"git":             {".GIT/config"},
		"backslash":       {`..\sibling`, `a\.git\config`},
		"file_and_folder": {"a", "a/b"},
		"empty_part":      {"a//b"},
		"deep":            {strings.Repeat("d/", artifact.MaxDepth+1) + "f"},
		"long":            {strings.Repeat("a", 256)},
	} {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewServer(listing(keys))
			defer server.Close()
			above := t.TempDir()
			r := &rig{T: t, address: strings.TrimPrefix(server.URL, "http://"),
				store: artifact.New(filepath.Join(above, "store"))}
			a, err := r.fetch("", nil)
			if !errors.Is(err, artifact.ErrTree) && !errors.Is(err, artifact.ErrLimit) {
				t.Errorf("got %+v, %v", a, err)
			}
			if found, err := os.ReadDir(above); err != nil || len(found) > 1 {
				t.Errorf("written beside the store: %v, %v", found, err)
			}
		})
	}
}

// TestFetch_slow has a server that sends a byte of its list of keys, or of an object, now and then, for ever.
func TestFetch_slow(t *testing.T) {
	const list = `<ListBucketResult><Name>fleet</Name><IsTruncated>false</IsTruncated><Contents><Key>a.yaml</Key>` +
		`<Size>1000000</Size><ETag>"e"</ETag><LastModified>2026-01-01T00:00:00Z</LastModified></Contents></ListBucketResult>`
	for _, name := range []string{"list", "object"} {
		t.Run(name, func(t *testing.T) {
			ended := make(chan struct{})
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				q := r.URL.Query()
				switch {
				case q.Has("location"):
					fmt.Fprint(w, `<LocationConstraint>us-east-1</LocationConstraint>`)
					return
				case q.Has("list-type") && name == "object":
					fmt.Fprint(w, list)
					return
				}
				defer close(ended)
				w.Header().Set("Content-Length", "1000000")
				w.Header().Set("ETag", `"e"`)
				w.Header().Set("Last-Modified", "Thu, 01 Jan 2026 00:00:00 GMT")
				for next := time.NewTicker(5 * time.Millisecond); ; {
					select {
					case <-next.C:
						_, _ = w.Write([]byte(" "))
						_ = http.NewResponseController(w).Flush()
					case <-r.Context().Done():
						return
					}
				}
			}))
			defer server.Close()
			r := &rig{T: t, address: strings.TrimPrefix(server.URL, "http://"), store: artifact.New(t.TempDir()),
				timeout: 300 * time.Millisecond}
			if a, err := r.fetch("", nil); !errors.Is(err, source.ErrTimeout) {
				t.Errorf("got %+v, %v", a, err)
			}
			<-ended // the connection goes with the fetch
		})
	}
}

// TestConnections fetches again and again from a server that never ends a connection: none is left open.
func TestConnections(t *testing.T) {
	var open atomic.Int64
	server := httptest.NewUnstartedServer(listing([]string{"a.yaml"}))
	ended := make(chan struct{}, 100)
	server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		switch state {
		case http.StateNew:
			open.Add(1)
		case http.StateClosed:
			open.Add(-1)
			ended <- struct{}{}
		}
	}
	server.Start()
	defer server.Close()
	r := &rig{T: t, address: strings.TrimPrefix(server.URL, "http://"), store: artifact.New(t.TempDir())}
	for range 3 {
		if _, err := r.fetch("", nil); err != nil {
			t.Fatal(err)
		}
	}
	for open.Load() > 0 {
		select {
		case <-ended:
		case <-time.After(10 * time.Second):
			t.Fatalf("%d connections are open", open.Load())
		}
	}
}

// listing answers as an S3 server whose bucket has these keys.
func listing(keys []string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		switch q := r.URL.Query(); {
		case q.Has("location"):
			fmt.Fprint(w, `<LocationConstraint>us-east-1</LocationConstraint>`)
		case q.Has("list-type"):
			fmt.Fprint(w, `<ListBucketResult><Name>fleet</Name><IsTruncated>false</IsTruncated>`)
			for _, key := range keys {
				fmt.Fprint(w, "<Contents><Key>")
				_ = xml.EscapeText(w, []byte(key))
				fmt.Fprint(w, `</Key><Size>1</Size><ETag>"e"</ETag><LastModified>2026-01-01T00:00:00Z</LastModified></Contents>`)
			}
			fmt.Fprint(w, `</ListBucketResult>`)
		default:
			w.Header().Set("ETag", `"e"`)
			w.Header().Set("Last-Modified", "Thu, 01 Jan 2026 00:00:00 GMT")
			fmt.Fprint(w, "x")
		}
	}
}
