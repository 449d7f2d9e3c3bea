package oci_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/navefleet/nave/e2e/ocitest"
	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/artifact"
	"github.com/navefleet/nave/hub/internal/dial"
	"github.com/navefleet/nave/hub/internal/source"
	"github.com/navefleet/nave/hub/internal/source/oci"
)

// told is what the registry of FuzzManifest has: a manifest at the tag latest, one that the first may name, and one
// layer, whatever its digest is.
type told struct {
	first, second []byte
	mediaType     string
}

// registry answers as a registry that has what is told now.
func registry(now *atomic.Pointer[told], layer []byte) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		t, name := now.Load(), r.URL.Path[strings.LastIndex(r.URL.Path, "/")+1:]
		body := t.first
		switch {
		case strings.Contains(r.URL.Path, "/blobs/"):
			body = layer
		case strings.Contains(r.URL.Path, "/manifests/"):
			if name == digestOf(t.second) {
				body = t.second
			}
			w.Header().Set("Content-Type", t.mediaType)
			w.Header().Set("Docker-Content-Digest", digestOf(body))
		case strings.HasSuffix(r.URL.Path, "/tags/list"):
			w.Header().Set("Content-Type", "application/json")
		default:
			body = nil
		}
		w.Header().Set("Content-Length", strconv.Itoa(len(body)))
		if r.Method != http.MethodHead {
			_, _ = w.Write(body)
		}
	}
}

func digestOf(text []byte) string {
	sum := sha256.Sum256(text)
	return "sha256:" + hex.EncodeToString(sum[:])
}

// FuzzManifest has registries with any manifest, index and list of tags: a fetch ends with one of the errors of
// fetches, or with the files of the layer.
func FuzzManifest(f *testing.F) {
	layer := ocitest.Archive(map[string]string{"a.yaml": "a: 1\n"})
	manifest := fmt.Appendf(nil, `{"schemaVersion":2,"mediaType":%q,"config":{"mediaType":"application/json","size":2,`+
		`"digest":"sha256:%064d"},"layers":[{"mediaType":%q,"size":%d,"digest":%q}],"annotations":{%q:"main"}}`,
		types.OCIManifestSchema1, 1, ocitest.ContentType, len(layer), digestOf(layer), artifact.RevisionAnnotation)
	index := fmt.Appendf(nil, `{"schemaVersion":2,"mediaType":%q,"manifests":[{"mediaType":%q,"size":%d,"digest":"DIGEST",`+
		`"platform":{"os":"linux","architecture":"amd64"}}]}`, types.OCIImageIndex, types.OCIManifestSchema1, len(manifest))
	f.Add(manifest, []byte("{}"), string(types.OCIManifestSchema1), false)
	f.Add(index, manifest, string(types.OCIImageIndex), false)
	f.Add([]byte(`{"name":"x","tags":["1.0.0","latest","2.0.0-rc.1"]}`), manifest, string(types.DockerManifestSchema2), true)
	f.Add([]byte("{"), []byte(""), "text/html", false)
	now := &atomic.Pointer[told]{}
	now.Store(&told{})
	server := httptest.NewServer(registry(now, layer))
	f.Cleanup(server.Close)
	f.Fuzz(func(t *testing.T, first, second []byte, mediaType string, semver bool) {
		first = bytes.ReplaceAll(first, []byte("DIGEST"), []byte(digestOf(second)))
		now.Store(&told{first, second, mediaType})
		ref := `{"tag":"latest"}`
		if semver {
			ref = `{"semver":">=1.0.0-0"}`
		}
		o := fmt.Appendf(nil, `{"spec":{"url":"oci://%s/x","insecure":true,"ref":%s}}`,
			strings.TrimPrefix(server.URL, "http://"), ref)
		r := source.Request{
			Object: api.StoredObject(api.Key{Kind: api.OCIRepositoryKind}, o), Timeout: 10 * time.Second,
			Network: dial.Policy{Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}},
		}
		store := artifact.New(t.TempDir())
		a, err := store.Make(t.Context(), nil, func(w artifact.Workspace, _ *artifact.Artifact) (artifact.Artifact, error) {
			r.Workspace = w
			return source.Limited{Fetcher: &oci.Fetcher{}}.Fetch(t.Context(), r)
		})
		known := func(k error) bool { return errors.Is(err, k) }
		switch _, own := api.ReasonOf(err); {
		case err == nil && strings.ContainsFunc(a.Revision+a.Origin.Revision, func(r rune) bool { return r < ' ' }):
			t.Errorf("control characters in %q", a)
		case err != nil && !own && !slices.ContainsFunc(source.Errors(), known):
			t.Errorf("an error of another kind: %v", err)
		}
	})
}
