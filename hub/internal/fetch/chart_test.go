package fetch_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/artifact"
	"github.com/navefleet/nave/hub/internal/dial"
	"github.com/navefleet/nave/hub/internal/fetch"
	"github.com/navefleet/nave/hub/internal/source"
	"github.com/navefleet/nave/hub/internal/source/worker"
	"github.com/navefleet/nave/hub/internal/store"
	"github.com/navefleet/nave/shared/manifest"
)

// charts is a repository of charts, a store, and a loop that fetches from it.
type charts struct {
	*testing.T
	store *store.Store
	vault *store.Vault

	mu    sync.Mutex
	files map[string][]byte // what the server has, by path
	asked map[string]int    // requests by path
	auth  string            // that every request needs
}

// ServeHTTP implements http.Handler.
func (c *charts) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.asked[r.URL.Path]++
	text, ok := c.files[r.URL.Path]
	_, password, _ := r.BasicAuth()
	switch {
	case password != c.auth:
		http.Error(w, "no", http.StatusUnauthorized)
	case !ok:
		http.NotFound(w, r)
	default:
		_, _ = w.Write(text)
	}
}

// take returns the requests by path since the last call.
func (c *charts) take() map[string]int {
	c.mu.Lock()
	defer c.mu.Unlock()
	defer func() { c.asked = map[string]int{} }()
	return c.asked
}

// publish sets the versions of the chart app.
func (c *charts) publish(versions ...string) {
	c.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	index := "apiVersion: v1\nentries:\n  app:\n"
	for _, version := range versions {
		var b bytes.Buffer
		z := gzip.NewWriter(&b)
		archive := tar.NewWriter(z)
		text := "apiVersion: v2\nname: app\nversion: " + version + "\n"
		_ = archive.WriteHeader(&tar.Header{Name: "app/Chart.yaml", Mode: 0o644, Size: int64(len(text))})
		_, _ = archive.Write([]byte(text))
		_, _ = archive.Close(), z.Close()
		c.files["/app-"+version+".tgz"] = b.Bytes()
		index += "  - name: app\n    version: " + version + "\n    urls:\n    - app-" + version + ".tgz\n"
	}
	c.files["/index.yaml"] = []byte(index)
}

func startCharts(t *testing.T, changes ...func(*fetch.Config)) (*charts, *httptest.Server) {
	t.Helper()
	rows, err := store.Open(filepath.Join(t.TempDir(), "store.db"))
	if err != nil {
		t.Fatal(err)
	}
	vault, err := store.NewVault(filepath.Join(t.TempDir(), "vault.key"))
	if err != nil {
		t.Fatal(err)
	}
	c := &charts{T: t, store: rows, vault: vault, files: map[string][]byte{}, asked: map[string]int{}}
	server := httptest.NewServer(c)
	config := fetch.Config{
		Store: rows, Vault: vault, Artifacts: artifact.New(t.TempDir()), Fetcher: worker.All(),
		Log: slog.New(slog.DiscardHandler), Network: dial.Policy{Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}},
	}
	for _, change := range changes {
		change(&config)
	}
	loop := fetch.New(config)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- loop.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		server.Close()
		if err := rows.Close(); err != nil {
			t.Error(err)
		}
	})
	return c, server
}

// put writes objects of clusters at once; requested is a request to reconcile the last one.
func (c *charts) put(clusters, requested string, objects ...string) {
	c.Helper()
	err := c.store.Update(c.Context(), func(tx *store.Tx) error {
		for cluster := range strings.FieldsSeq(clusters) {
			if err := putObjects(tx, cluster, requested, objects); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		c.Fatal(err)
	}
}

func putObjects(tx *store.Tx, cluster, requested string, objects []string) error {
	for i, text := range objects {
		parsed, err := manifest.Parse([]byte(text))
		if err != nil {
			return err
		}
		o, err := api.Admit(parsed[0], api.ClusterGraph)
		if err != nil {
			return err
		}
		row := store.Resource{Key: o.Key.In(cluster), Object: o, Generation: 1}
		if i == len(objects)-1 {
			row.RequestedAt = requested
		}
		if err := store.Resources.Put(tx, row.Key.Path(), row); err != nil {
			return err
		}
	}
	return nil
}

// bind gives the hub the Secret login with a password, bound to hosts.
func (c *charts) bind(password string, hosts ...string) {
	c.Helper()
	sealed, err := c.vault.Seal("apps/login", map[string][]byte{"username": []byte("me"), "password": []byte(password)})
	if err != nil {
		c.Fatal(err)
	}
	row := store.Secret{Sealed: sealed, Binding: api.Binding{Hosts: hosts, Namespaces: []string{"apps"}}}
	err = c.store.Update(c.Context(), func(tx *store.Tx) error { return store.Secrets.Put(tx, "apps/login", row) })
	if err != nil {
		c.Fatal(err)
	}
}

// await waits until the Condition of an object is as wanted.
func (c *charts) await(key api.Key, wanted func(store.Condition) bool) store.Condition {
	c.Helper()
	w := c.store.Watch(c.Context(), store.Conditions.Name())
	defer w.Close()
	for {
		var o store.Condition
		err := c.store.View(c.Context(), func(tx *store.Tx) (err error) {
			o, _, err = store.Conditions.Get(tx, key.Path())
			return err
		})
		if err != nil {
			c.Fatal(err)
		}
		if wanted(o) {
			return o
		}
		select {
		case <-w.C():
			w.Take()
		case <-time.After(time.Minute):
			c.Fatalf("%s is not as wanted within a minute: %+v", key, o)
		}
	}
}

// at reports whether a source is ready at a revision.
func at(revision string) func(store.Condition) bool {
	return func(o store.Condition) bool { return o.Ready == "True" && o.Revision == revision }
}

const (
	repositoryText = "{apiVersion: source.toolkit.fluxcd.io/v1, kind: HelmRepository, metadata: {name: charts, " +
		"namespace: apps}, spec: {interval: 1h, url: '%s'}}"
	chartText = "{apiVersion: source.toolkit.fluxcd.io/v1, kind: HelmChart, metadata: {name: app, " +
		"namespace: apps}, spec: {interval: 1h, chart: app, sourceRef: {kind: HelmRepository, name: charts}}}"
)

var (
	repositoryKey = api.Key{Kind: api.HelmRepositoryKind, Namespace: "apps", Name: "charts"}
	chartKey      = api.Key{Kind: api.HelmChartKind, Namespace: "apps", Name: "app"}
)

// TestChart_shared fetches an index and a chart once for three clusters, and a new version when a chart is reconciled.
func TestChart_shared(t *testing.T) {
	c, server := startCharts(t)
	c.publish("1.0.0")
	clusters := []string{"east", "north", "west"}
	c.put(strings.Join(clusters, " "), "", fmt.Sprintf(repositoryText, server.URL), chartText)
	wait := func(revision string) {
		t.Helper()
		for _, cluster := range clusters {
			c.await(chartKey.In(cluster), at(revision))
			c.await(repositoryKey.In(cluster), func(o store.Condition) bool { return o.Ready == "True" })
		}
	}
	wait("1.0.0")
	if o := c.await(chartKey.In("east"), at("1.0.0")); o.Reason != "ChartPullSucceeded" {
		t.Errorf("got %+v", o)
	}
	if got := c.take(); !maps.Equal(got, map[string]int{"/index.yaml": 1, "/app-1.0.0.tgz": 1}) {
		t.Errorf("asked for %v", got)
	}
	c.publish("1.0.0", "1.1.0")
	c.put("north", "now", chartText)
	wait("1.1.0")
	if got := c.take(); !maps.Equal(got, map[string]int{"/index.yaml": 1, "/app-1.1.0.tgz": 1}) {
		t.Errorf("asked for %v", got)
	}
	c.put("west", "again", chartText)
	c.await(chartKey.In("west"), func(o store.Condition) bool { return o.HandledRequest == "again" })
	if got := c.take(); !maps.Equal(got, map[string]int{"/index.yaml": 1}) {
		t.Errorf("asked for %v", got)
	}
}

// TestChart_secret logs in with the Secret of the HelmRepository, and tries again when the Secret changes.
func TestChart_secret(t *testing.T) {
	c, server := startCharts(t)
	c.publish("1.0.0")
	c.auth = "hunter22"
	host := strings.TrimPrefix(server.URL, "http://")
	c.bind("wrong pass", host)
	repository := strings.Replace(fmt.Sprintf(repositoryText, server.URL), "interval:",
		"secretRef: {name: login}, interval:", 1)
	c.put("east", "", repository, chartText)
	refused := func(reason string) func(o store.Condition) bool {
		return func(o store.Condition) bool { return o.Ready == "False" && o.Reason == reason }
	}
	c.await(repositoryKey.In("east"), refused("AuthenticationFailed"))
	o := c.await(chartKey.In("east"), refused("SourceNotReady"))
	for _, word := range []string{"spec.sourceRef", "HelmRepository apps/charts", "401"} {
		if !strings.Contains(o.Message, word) {
			t.Errorf("%s does not say %q", o.Message, word)
		}
	}
	c.bind("hunter22", host)
	c.await(chartKey.In("east"), at("1.0.0"))
}

// TestChart_passed passes credentials on to another host only if the Secret is bound to that host, too.
func TestChart_passed(t *testing.T) {
	c, server := startCharts(t)
	c.auth = "hunter22"
	other := httptest.NewServer(c)
	t.Cleanup(other.Close)
	c.publish("1.0.0")
	c.mu.Lock()
	c.files["/index.yaml"] = bytes.ReplaceAll(c.files["/index.yaml"], []byte("- app-"), []byte("- "+other.URL+"/app-"))
	c.mu.Unlock()
	host := func(s *httptest.Server) string { return strings.TrimPrefix(s.URL, "http://") }
	c.bind("hunter22", host(server))
	repository := strings.Replace(fmt.Sprintf(repositoryText, server.URL), "interval:",
		"passCredentials: true, secretRef: {name: login}, interval:", 1)
	c.put("east", "", repository, chartText)
	o := c.await(chartKey.In("east"), func(o store.Condition) bool {
		return o.Ready == "False" && o.Reason == "AccessDenied"
	})
	if !strings.Contains(o.Message, host(other)) || strings.Contains(o.Message, "hunter22") {
		t.Errorf("got %s", o.Message)
	}
	if n := c.take()["/app-1.0.0.tgz"]; n > 0 {
		t.Errorf("the other host was asked %d times", n)
	}
	c.bind("hunter22", host(server), host(other))
	c.await(chartKey.In("east"), at("1.0.0"))
}

// asked plays a fetcher of all kinds and keeps the last request for a chart.
type asked struct{ last chan source.Request }

// Fetch implements source.Fetcher.
func (a asked) Fetch(ctx context.Context, r source.Request) (artifact.Artifact, error) {
	if r.Upstream != nil {
		a.last <- r
	}
	return r.Workspace.Put(ctx, "00", artifact.Tree{Revision: "one"}, r.Last)
}

// TestChart_plugin has a plugin of the hub give the credentials for the registry of a HelmRepository, to sources of the
// operators only.
func TestChart_plugin(t *testing.T) {
	fetcher := asked{make(chan source.Request, 9)}
	c, _ := startCharts(t, func(f *fetch.Config) {
		f.Fetcher = fetcher
		f.Plugins = func(_ context.Context, url string, _ bool) (source.Secret, error) {
			return source.Secret{"for": []byte(url)}, nil
		}
	})
	repository := strings.Replace(fmt.Sprintf(repositoryText, "oci://registry.example.com/charts"), "interval:",
		"type: oci, provider: aws, timeout: 7s, interval:", 1)
	c.put("east", "", repository, chartText)
	refused := func(o store.Condition) bool { return o.Reason == "AccessDenied" }
	c.await(repositoryKey.In("east"), refused)
	c.await(chartKey.In("east"), refused)
	if n := len(fetcher.last); n > 0 {
		t.Errorf("%d charts were fetched", n)
	}
	err := c.store.Update(t.Context(), func(tx *store.Tx) error {
		return putObjects(tx, "", "", []string{repository, chartText})
	})
	if err != nil {
		t.Fatal(err)
	}
	c.await(chartKey, at("one"))
	r := <-fetcher.last
	if r.Timeout != 7*time.Second {
		t.Errorf("the chart has %s", r.Timeout)
	}
	if got := string(r.Secrets["spec.secretRef"]["for"]); r.Upstream.Key != repositoryKey ||
		got != "oci://registry.example.com/charts" {
		t.Errorf("got %s for %s", got, r.Upstream.Key)
	}
}

// TestChart_requested asks the registry for each request to reconcile a chart, whose HelmRepository is reconciled
// first.
func TestChart_requested(t *testing.T) {
	fetcher := asked{make(chan source.Request, 9)}
	c, _ := startCharts(t, func(f *fetch.Config) { f.Fetcher = fetcher })
	repository := strings.Replace(fmt.Sprintf(repositoryText, "oci://registry.example.com/charts"), "interval:",
		"type: oci, interval:", 1)
	c.put("east", "", repository, chartText)
	c.await(chartKey.In("east"), at("one"))
	for len(fetcher.last) > 0 {
		<-fetcher.last
	}
	for _, request := range []string{"now", "again"} {
		c.put("east", request, chartText)
		c.await(chartKey.In("east"), func(o store.Condition) bool { return o.HandledRequest == request })
		if len(fetcher.last) == 0 {
			t.Errorf("the registry was not asked for the request %q", request)
		}
		for len(fetcher.last) > 0 {
			<-fetcher.last
		}
	}
}

// TestChart_broken keeps the last chart when the server fails, and says so.
func TestChart_broken(t *testing.T) {
	c, server := startCharts(t)
	c.publish("1.0.0")
	c.put("east", "", fmt.Sprintf(repositoryText, server.URL), chartText)
	c.await(chartKey.In("east"), at("1.0.0"))
	c.publish("1.0.0", "2.0.0")
	c.mu.Lock()
	delete(c.files, "/app-2.0.0.tgz")
	c.mu.Unlock()
	c.put("east", "now", chartText)
	o := c.await(chartKey.In("east"), func(o store.Condition) bool { return o.Ready == "False" })
	if o.Revision != "1.0.0" || o.Reason != "ChartPullError" || !strings.Contains(o.Message, "404") {
		t.Errorf("got %+v", o)
	}
	c.publish("1.0.0", "2.0.0")
	c.await(chartKey.In("east"), at("2.0.0")) // tried again without being asked
	paths := slices.Sorted(maps.Keys(c.take()))
	if !slices.Contains(paths, "/app-2.0.0.tgz") {
		t.Errorf("asked for %s", paths)
	}
}
