package helm_test

import (
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/artifact"
	"github.com/navefleet/nave/hub/internal/source"
	"github.com/navefleet/nave/shared/manifest"
)

func parse(t *testing.T, text []byte) *manifest.Object {
	t.Helper()
	objects, err := manifest.Parse(text)
	if err != nil || len(objects) != 1 {
		t.Fatal(len(objects), err)
	}
	return objects[0]
}

// TestIndex fetches an index, and again: unchanged, with and without an ETag, and changed.
func TestIndex(t *testing.T) {
	w := newWorld(t)
	w.charts("podinfo 6.5.0", "podinfo 6.5.1", "other 1.0.0")
	etag, sent := "", 0
	w.wrap = func(out http.ResponseWriter, r *http.Request) bool {
		if etag == "" {
			return false
		}
		out.Header().Set("ETag", etag)
		if r.Header.Get("If-None-Match") == etag {
			out.WriteHeader(http.StatusNotModified)
			return true
		}
		sent++
		return false
	}
	repo := w.repository(nil)
	first, err := w.index(repo, nil, nil)
	if err != nil || !strings.HasPrefix(first.Revision, "sha256:") {
		t.Fatal(first, err)
	}
	w.expect(first, "other.json", "podinfo.json")
	if again, err := w.index(repo, nil, &first); err != nil || again != first {
		t.Error("again:", again, err)
	}
	etag = `"one"`
	for range 2 {
		if again, err := w.index(repo, nil, &first); err != nil || again != first {
			t.Error("with an ETag:", again, err)
		}
	}
	if sent != 1 {
		t.Errorf("the index was sent %d times", sent)
	}
	etag = `"two"`
	w.charts("podinfo 7.0.0")
	if next, err := w.index(repo, nil, &first); err != nil || next.Revision == first.Revision {
		t.Error("changed:", next, err)
	}
}

// TestIndex_misplaced has other things in the places of the cache and of its state. They are removed.
func TestIndex_misplaced(t *testing.T) {
	for name, spoil := range map[string]func(cache string) error{
		"state": func(cache string) error {
			return errors.Join(os.RemoveAll(cache), os.MkdirAll(filepath.Join(cache, "state", "below"), 0o700))
		},
		"cache": func(cache string) error { return errors.Join(os.RemoveAll(cache), os.WriteFile(cache, nil, 0o600)) },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			index := func(version string) {
				w.write(w.dir, map[string]string{"index.yaml": "apiVersion: v1\nentries: {a: [{apiVersion: v2, name: a, version: " +
					version + ", urls: [a.tgz]}]}\n"})
			}
			index("1.0.0")
			repo := w.repository(nil)
			last, err := w.index(repo, nil, nil)
			if err != nil {
				t.Fatal(err)
			}
			caches, err := filepath.Glob(w.store.Path(artifact.Artifact{Dir: "cache/*"}))
			if err != nil || len(caches) != 1 {
				t.Fatalf("caches: %v, %v", caches, err)
			}
			if err := spoil(caches[0]); err != nil {
				t.Fatal(err)
			}
			index("1.0.1")
			if next, err := w.index(repo, nil, &last); err != nil || next.Revision == last.Revision {
				t.Errorf("got %+v, %v", next, err)
			}
		})
	}
}

// TestChart fetches a chart, which is not downloaded again while its version is the one that is wanted.
func TestChart(t *testing.T) {
	w := newWorld(t)
	w.charts("podinfo 6.5.0", "podinfo 6.5.1")
	repo := w.repository(nil)
	a, err := w.fetch(repo, spec{"chart": "podinfo", "version": "6.5.0"}, nil, nil)
	if err != nil || a.Revision != "6.5.0" {
		t.Fatal(a, err)
	}
	w.expect(a, "podinfo/Chart.yaml", "podinfo/templates/cm.yaml", "podinfo/values.yaml")
	if err := os.Remove(filepath.Join(w.dir, "podinfo-6.5.0.tgz")); err != nil {
		t.Fatal(err)
	}
	if again, err := w.fetch(repo, spec{"chart": "podinfo", "version": "6.5.0"}, nil, &a); err != nil || again != a {
		t.Error("again:", again, err)
	}
	next, err := w.fetch(repo, spec{"chart": "podinfo"}, nil, &a)
	if err != nil || next.Revision != "6.5.1" || w.files(next)["podinfo/templates/cm.yaml"] != "# 6.5.1\n" {
		t.Error("next:", next, err)
	}
}

// TestChart_versions chooses versions as the real helm does.
func TestChart_versions(t *testing.T) {
	w := newWorld(t)
	w.charts("app 1.0.0", "app 1.2.0", "app 1.10.0", "app 2.0.0-rc.1", "app 2.0.0-rc.2", "app 1.2.1+build.7",
		"pre 0.1.0-alpha", "pre 0.1.0-beta")
	repo := w.repository(nil)
	index, err := w.index(repo, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, chart := range []string{"app", "pre"} {
		for _, version := range []string{"*", "1.x", "~1.2", "^1", "1.2.0", ">=1.0.0-0", ">1.10.0", "<2.0.0-rc.2",
			"2.0.0-rc.1", ">=2.0.0-0 <3", "1.2.1+build.7", "1.2.1", "0.1.x-0", "1.2 - 1.9", "<1.2 || >=1.10"} {
			t.Run(chart+"/"+strings.ReplaceAll(version, "/", "_"), func(t *testing.T) {
				w := w.in(t)
				a, err := w.chartOf(repo, index, spec{"chart": chart, "version": version}, nil, nil)
				want := w.tryHelm("show", "chart", chart, "--repo", w.URL, "--version", version)
				switch {
				case want == "":
					if own, ok := api.ReasonOf(err); !ok || own.Name != api.InvalidChartReference {
						t.Errorf("got %s, %v; helm finds none", a.Revision, err)
					}
				case err != nil || !strings.Contains(want, "\nversion: "+a.Revision+"\n"):
					t.Errorf("got %q, %v; helm finds %s", a.Revision, err, want)
				}
			})
		}
	}
}

// TestChart_missing names what there is in place of a chart or a version.
func TestChart_missing(t *testing.T) {
	w := newWorld(t)
	w.charts("podinfo 6.5.0", "podinfo 6.6.0-rc.1", "alpha 1.0.0-a")
	for name, c := range map[string]struct {
		chart, version string
		words          []string
	}{
		"chart":      {"podinfos", "*", []string{"no such chart", "podinfo, alpha"}},
		"version":    {"podinfo", "7.x", []string{`"7.x"`, "6.6.0-rc.1, 6.5.0"}},
		"prerelease": {"alpha", "*", []string{"pre-releases", ">=0.0.0-0", "1.0.0-a"}},
	} {
		t.Run(name, func(t *testing.T) {
			w := w.in(t)
			_, err := w.fetch(w.repository(nil), spec{"chart": c.chart, "version": c.version}, nil, nil)
			if own, ok := api.ReasonOf(err); !ok || own.Name != api.InvalidChartReference {
				t.Fatal(err)
			}
			for _, word := range c.words {
				if !strings.Contains(err.Error(), word) {
					t.Errorf("%v does not say %q", err, word)
				}
			}
		})
	}
}

// TestChart_digest refuses an archive that is not the one of the index.
func TestChart_digest(t *testing.T) {
	w := newWorld(t)
	w.charts("podinfo 1.0.0", "other 1.0.0")
	if err := os.Rename(filepath.Join(w.dir, "other-1.0.0.tgz"), filepath.Join(w.dir, "podinfo-1.0.0.tgz")); err != nil {
		t.Fatal(err)
	}
	_, err := w.fetch(w.repository(nil), spec{"chart": "podinfo"}, nil, nil)
	if !errors.Is(err, source.ErrProtocol) || !strings.Contains(err.Error(), "replaced or damaged") {
		t.Error(err)
	}
}

// TestRepository_oci asks no server.
func TestRepository_oci(t *testing.T) {
	w := newWorld(t)
	repo := w.object(api.HelmRepositoryKind, spec{"type": "oci", "url": "oci://registry.example.com/charts"})
	a, err := w.index(repo, nil, nil)
	if err != nil || a.Revision != "oci" {
		t.Fatal(a, err)
	}
	if again, err := w.index(repo, nil, &a); err != nil || again != a {
		t.Error(again, err)
	}
}

// TestChart_unverifiable refuses to verify what has no signatures.
func TestChart_unverifiable(t *testing.T) {
	w := newWorld(t)
	w.charts("podinfo 1.0.0")
	_, err := w.fetch(w.repository(nil), spec{"chart": "podinfo", "verify": spec{"secretRef": spec{"name": "keys"}}},
		nil, nil)
	if !errors.Is(err, source.ErrRequest) || !strings.Contains(err.Error(), "type: oci") {
		t.Error(err)
	}
}
