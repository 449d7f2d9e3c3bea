package helm_test

import (
	"encoding/json"
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

	"github.com/navefleet/nave/e2e/helmtest"
	"github.com/navefleet/nave/e2e/treetest"
	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/artifact"
	"github.com/navefleet/nave/hub/internal/dial"
	"github.com/navefleet/nave/hub/internal/source"
	"github.com/navefleet/nave/hub/internal/source/helm"
	"github.com/navefleet/nave/hub/internal/source/oci"
)

// world is a repository of charts on disk, a server for it, and the fetchers.
type world struct {
	*testing.T
	*httptest.Server
	dir      string // what the server serves
	store    *artifact.Store
	requests atomic.Int64
	wrap     func(w http.ResponseWriter, r *http.Request) bool // answers in place of the files
	limits   helm.Limits
	bindings map[string]api.Binding
	servers  []source.Server // that charts of other sources may ask
	indexes  []artifact.Artifact
	network  dial.Policy
}

var loopback = netip.MustParsePrefix("127.0.0.0/8")

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{T: t, dir: t.TempDir(), store: artifact.New(t.TempDir()), network: dial.Policy{Allow: []netip.Prefix{
		loopback}}}
	w.Server = httptest.NewServer(w)
	t.Cleanup(w.Close)
	return w
}

// in returns the world in a subtest.
func (w *world) in(t *testing.T) *world {
	return &world{T: t, Server: w.Server, dir: w.dir, store: w.store, limits: w.limits, network: w.network}
}

// ServeHTTP serves the files.
func (w *world) ServeHTTP(out http.ResponseWriter, r *http.Request) {
	w.requests.Add(1)
	if w.wrap == nil || !w.wrap(out, r) {
		http.FileServer(http.Dir(w.dir)).ServeHTTP(out, r)
	}
}

// helm runs the real helm.
func (w *world) helm(args ...string) string {
	w.Helper()
	h, err := helmtest.New(w.Context(), 3)
	if err != nil {
		w.Fatal(err)
	}
	out, err := h.Run(w.Context(), "", args...)
	if err != nil {
		w.Fatal(err)
	}
	return out
}

// tryHelm runs the real helm, and returns nothing if helm fails.
func (w *world) tryHelm(args ...string) string {
	w.Helper()
	h, err := helmtest.New(w.Context(), 3)
	if err != nil {
		w.Fatal(err)
	}
	out, err := h.Run(w.Context(), "", args...)
	if err != nil {
		return ""
	}
	return "\n" + out
}

// write writes files below a folder.
func (w *world) write(dir string, files map[string]string) {
	w.Helper()
	for name, text := range files {
		at := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
			w.Fatal(err)
		}
		if err := os.WriteFile(at, []byte(text), 0o600); err != nil {
			w.Fatal(err)
		}
	}
}

// charts packages charts with the real helm, given as name and version, and indexes the repository.
func (w *world) charts(charts ...string) {
	w.Helper()
	for _, chart := range charts {
		name, version, _ := strings.Cut(chart, " ")
		dir := filepath.Join(w.TempDir(), name)
		w.write(dir, map[string]string{
			"Chart.yaml":        fmt.Sprintf("apiVersion: v2\nname: %s\nversion: %s\n", name, version),
			"values.yaml":       "replicas: 1\n",
			"templates/cm.yaml": "# " + version + "\n",
		})
		w.helm("package", dir, "--destination", w.dir)
	}
	w.helm("repo", "index", w.dir)
}

// spec is what the tests say of an object.
type spec map[string]any

// object returns an admitted object.
func (w *world) object(kind string, s spec) *api.Object {
	w.Helper()
	text, err := json.Marshal(map[string]any{
		"apiVersion": "source.toolkit.fluxcd.io/v1", "kind": kind,
		"metadata": map[string]any{"name": "charts", "namespace": "apps"}, "spec": s,
	})
	if err != nil {
		w.Fatal(err)
	}
	o, err := api.Admit(parse(w.T, text), api.ClusterGraph)
	if err != nil {
		w.Fatal(err)
	}
	return o
}

// repository returns a HelmRepository for the server.
func (w *world) repository(more spec) *api.Object {
	full := spec{"url": w.URL}
	for name, value := range more {
		full[name] = value
	}
	return w.object(api.HelmRepositoryKind, full)
}

// secrets are Secrets by field.
type secrets map[string]source.Secret

// run fetches as the hub does.
func (w *world) run(f source.Fetcher, r source.Request, last *artifact.Artifact) (artifact.Artifact, error) {
	w.Helper()
	r.Network, r.Timeout, r.Bindings = w.network, 20*time.Second, w.bindings
	return w.store.Make(w.Context(), last, func(
		ws artifact.Workspace, last *artifact.Artifact,
	) (artifact.Artifact, error) {
		r.Workspace, r.Last = ws, last
		return source.Limited{Fetcher: f}.Fetch(w.Context(), r)
	})
}

// index fetches the index of a repository.
func (w *world) index(repo *api.Object, s secrets, last *artifact.Artifact) (artifact.Artifact, error) {
	w.Helper()
	return w.run(helm.Repositories{Limits: w.limits}, source.Request{Object: repo, Secrets: s}, last)
}

// fetch fetches a chart of a repository, with its index.
func (w *world) fetch(repo *api.Object, chart spec, s secrets, last *artifact.Artifact) (artifact.Artifact, error) {
	w.Helper()
	index, err := w.index(repo, s, nil)
	if err != nil {
		return index, err
	}
	return w.chartOf(repo, index, chart, s, last)
}

// chartOf fetches a chart of a repository whose index was fetched.
func (w *world) chartOf(repo *api.Object, index artifact.Artifact, chart spec, s secrets,
	last *artifact.Artifact) (artifact.Artifact, error) {
	w.Helper()
	full := spec{"interval": "1m", "sourceRef": spec{"kind": api.HelmRepositoryKind, "name": "charts"}}
	for name, value := range chart {
		full[name] = value
	}
	registries := &oci.Fetcher{PlusInVersions: true}
	return w.run(helm.Charts{Registries: registries, Limits: w.limits}, source.Request{
		Object: w.object(api.HelmChartKind, full), Upstream: repo, Inputs: []artifact.Artifact{index}, Secrets: s,
	}, last)
}

// files returns the files of an artifact with their contents.
func (w *world) files(a artifact.Artifact) map[string]string {
	w.Helper()
	root := w.TempDir()
	if err := w.store.Export(w.Context(), a, root); err != nil {
		w.Fatal(err)
	}
	return treetest.Files(w.T, root)
}

// expect compares the names of the files of an artifact.
func (w *world) expect(a artifact.Artifact, want ...string) {
	w.Helper()
	var got []string
	for name := range w.files(a) {
		got = append(got, name)
	}
	slices.Sort(got)
	if !slices.Equal(got, want) {
		w.Errorf("got %s, want %s", got, want)
	}
}
