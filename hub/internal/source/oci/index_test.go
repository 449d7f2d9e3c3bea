package oci_test

import (
	"fmt"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/navefleet/nave/e2e/ocitest"
	"github.com/navefleet/nave/hub/internal/artifact"
	"github.com/navefleet/nave/hub/internal/source"
)

// TestFetch_index has indexes of images and of other indexes. They are followed to the image for linux/amd64, or as
// far as the limit.
func TestFetch_index(t *testing.T) {
	w := newWorld(t, ocitest.Options{})
	image := func(text string) v1.Image {
		layer := ocitest.Layer(ocitest.Archive(map[string]string{"a": text}), ocitest.ContentType)
		image, err := ocitest.Image(nil, layer)
		if err != nil {
			t.Fatal(err)
		}
		return image
	}
	of := func(child mutate.Appendable, platform *v1.Platform) mutate.IndexAddendum {
		return mutate.IndexAddendum{Add: child, Descriptor: v1.Descriptor{Platform: platform}}
	}
	arm, amd := &v1.Platform{OS: "linux", Architecture: "arm64"}, &v1.Platform{OS: "linux", Architecture: "amd64"}
	nested := func(depth int) v1.ImageIndex {
		index := mutate.AppendManifests(empty.Index, of(image("arm"), arm), of(image("amd"), amd))
		for range depth - 1 {
			index = mutate.AppendManifests(empty.Index, of(index, nil))
		}
		return index
	}
	for name, c := range map[string]struct {
		index v1.ImageIndex
		kind  error // nil: fetched
		word  string
	}{
		"platforms": {nested(1), nil, ""},
		"nested":    {nested(7), nil, ""},
		"deep":      {nested(8), artifact.ErrLimit, "an index of indexes, more than 8 deep"},
		"other_platform": {mutate.AppendManifests(empty.Index, of(image("arm"), arm)), source.ErrReferenceNotFound,
			"linux/amd64"},
		"empty": {empty.Index, source.ErrReferenceNotFound, "linux/amd64"},
	} {
		t.Run(name, func(t *testing.T) {
			w := w.in(t)
			ref, err := w.Reference("fleet:" + name)
			if err != nil {
				t.Fatal(err)
			}
			if err := remote.WriteIndex(ref, c.index, w.Options()...); err != nil {
				t.Fatal(err)
			}
			at := spec{"ref": map[string]any{"tag": name}}
			if c.kind != nil {
				w.refused(at, nil, c.kind, c.word)
				return
			}
			w.expect(w.must(at, nil, nil), "a=amd")
		})
	}
}

// TestFetch_sizes has manifests that do not say how large their layer is.
func TestFetch_sizes(t *testing.T) {
	w := newWorld(t, ocitest.Options{})
	layer := ocitest.Archive(map[string]string{"a": "1"})
	for name, c := range map[string]struct {
		size int
		kind error
		word string
	}{
		"less": {len(layer) - 1, artifact.ErrLimit, "layer sha256:"},
		"more": {len(layer) + 1, source.ErrProtocol, "its manifest says"},
	} {
		t.Run(name, func(t *testing.T) {
			now := &atomic.Pointer[told]{}
			now.Store(&told{mediaType: string(types.OCIManifestSchema1), first: fmt.Appendf(nil,
				`{"schemaVersion":2,"mediaType":%q,"config":{"mediaType":"application/json","size":2,"digest":"sha256:%064d"},`+
					`"layers":[{"mediaType":%q,"size":%d,"digest":%q}]}`, types.OCIManifestSchema1, 1, ocitest.ContentType, c.size,
				digestOf(layer))})
			server := httptest.NewServer(registry(now, layer))
			defer server.Close()
			at := "oci://" + strings.TrimPrefix(server.URL, "http://") + "/x"
			w.in(t).refused(spec{"url": at}, nil, c.kind, c.word)
		})
	}
}
