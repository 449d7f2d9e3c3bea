package plan

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/rogpeppe/go-internal/txtar"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/artifact"
	"github.com/navefleet/nave/hub/internal/render"
	"github.com/navefleet/nave/hub/internal/store"
	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/manifest"
)

// fleet returns the files of a story: clusters of one Fleet that all render the same tree.
func fleet(clusters int) *txtar.Archive {
	var hub strings.Builder
	for i := range clusters {
		fmt.Fprintf(&hub, "apiVersion: fleet.nave.io/v1alpha1\nkind: Cluster\nmetadata: {name: c%04d}\n---\n", i)
	}
	hub.WriteString(`apiVersion: fleet.nave.io/v1alpha1
kind: Fleet
metadata: {name: all}
spec:
  clusterSelector: {}
  template:
    metadata: {name: root, namespace: flux-system}
    spec: {interval: 10m, prune: true, path: ./root, sourceRef: {kind: GitRepository, name: fleet}}
---
apiVersion: source.toolkit.fluxcd.io/v1
kind: GitRepository
metadata: {name: fleet, namespace: flux-system}
spec: {interval: 1m, url: "https://git.example.com/fleet"}
`)
	archive := &txtar.Archive{Files: []txtar.File{{Name: "hub.yaml", Data: []byte(hub.String())}}}
	for _, tree := range []string{"one", "two"} {
		archive.Files = append(archive.Files, txtar.File{Name: tree + "/root/app.yaml", Data: []byte(
			"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: app, namespace: default}\ndata: {value: " + tree + "}\n")})
	}
	return archive
}

// planned returns a fleet whose first tree was fetched and planned.
func planned(t *testing.T, clusters int) *story {
	s := newStory(t, fleet(clusters))
	s.play([]string{"apply", "hub.yaml"})
	s.play([]string{"plan"})
	s.play([]string{"fetch", "fleet", "main@sha1:1", "one"})
	s.play([]string{"plan"})
	return s
}

func (s *story) plan(cluster string) store.Plan {
	s.t.Helper()
	return get(s, store.Plans, cluster)
}

func get[T any](s *story, table store.Table[T], key string) (row T) {
	s.t.Helper()
	s.must(s.store.View(s.t.Context(), func(tx *store.Tx) (err error) {
		row, _, err = table.Get(tx, key)
		return err
	}))
	return row
}

// TestEqualClusters checks that a thousand equal clusters cost one render.
func TestEqualClusters(t *testing.T) {
	s := planned(t, 1000)
	s.play([]string{"renders", "1"})
	s.play([]string{"fetch", "fleet", "main@sha1:2", "two"})
	start := time.Now()
	s.play([]string{"plan"})
	t.Logf("planned 1,000 clusters in %s", time.Since(start))
	s.play([]string{"renders", "1"})
	first, last := s.plan("c0000"), s.plan("c0999")
	if first.Applications[0] != last.Applications[0] || first.Applications[0].Revision != "main@sha1:2" {
		t.Errorf("plans %v and %v, want equal ones of main@sha1:2", first, last)
	}
}

// TestAffectedClusters checks that a change marks only the clusters that read it.
func TestAffectedClusters(t *testing.T) {
	registry := prometheus.NewRegistry()
	s := planned(t, 5)
	s.planner.metrics = newMetrics(registry)
	s.change("c0003/Kustomization/flux-system/root", func(r *store.Resource) { r.RequestedAt = "now" })
	s.round()
	if walks := testutil.ToFloat64(s.planner.metrics.walks); walks != 1 {
		t.Errorf("%v graphs were walked, want 1", walks)
	}
	if got := s.plan("c0003").Applications[0].RequestedAt; got != "now" {
		t.Errorf("requested %q", got)
	}
}

// TestReads checks that a change reads no more rows of a large fleet than of a small one.
func TestReads(t *testing.T) {
	small, large := planned(t, 5), planned(t, 100)
	for name, change := range map[string]func(*story){
		"application": func(s *story) {
			s.change("c0003/Kustomization/flux-system/root", func(r *store.Resource) { r.RequestedAt = "now" })
		},
		"cluster": func(s *story) {
			s.change("/Cluster//c0003", func(r *store.Resource) { r.RequestedAt = "now" })
		},
		"repair": func(s *story) {
			s.update(func(tx *store.Tx) error { return store.Repairs.Put(tx, "c0003", store.Repair{}) })
		},
		"fetch": func(s *story) { // of the tree that is there
			s.fetched("fleet", func(f *store.Fetched) { f.CheckedAt = s.now.Add(time.Minute) })
		},
	} {
		t.Run(name, func(t *testing.T) {
			reads := func(s *story) int64 {
				change(s)
				before := s.reads.Load()
				s.round()
				return s.reads.Load() - before
			}
			if few, many := reads(small), reads(large); few != many || few == 0 {
				t.Errorf("%d rows are read with 5 clusters, %d with 100", few, many)
			}
		})
	}
}

// TestReads_git checks that a commit that changes one Cluster reads nothing about the others, but whether the store has
// the blob of each object that is rendered.
func TestReads_git(t *testing.T) {
	reads := func(clusters int) int64 {
		tree := func(label string) []byte {
			var b strings.Builder
			for i := range clusters {
				fmt.Fprintf(&b, "---\napiVersion: fleet.nave.io/v1alpha1\nkind: Cluster\n"+
					"metadata: {name: c%04d, labels: {of: %s}}\n", i, label)
				label = "rest"
			}
			return []byte(b.String())
		}
		archive := fleet(0)
		archive.Files[0].Data = append(archive.Files[0].Data, `---
apiVersion: kustomize.toolkit.fluxcd.io/v1
kind: Kustomization
metadata: {name: hub, namespace: flux-system}
spec: {interval: 10m, prune: true, path: ./hub, sourceRef: {kind: GitRepository, name: fleet}}
`...)
		archive.Files = append(archive.Files, txtar.File{Name: "one/hub/clusters.yaml", Data: tree("first")},
			txtar.File{Name: "two/hub/clusters.yaml", Data: tree("second")},
			txtar.File{Name: "two/root/app.yaml", Data: archive.Files[1].Data})
		archive.Files = slices.Delete(archive.Files, 2, 3) // the clusters' own tree stays
		s := newStory(t, archive)
		for _, line := range []string{"apply hub.yaml", "plan", "fetch fleet main@sha1:1 one", "plan"} {
			s.play(strings.Fields(line))
		}
		if len(s.plan(fmt.Sprintf("c%04d", clusters-1)).Applications) != 1 {
			t.Fatal("the last cluster has no plan")
		}
		s.play(strings.Fields("fetch fleet main@sha1:2 two"))
		s.must(s.planner.note(t.Context(), s.watcher.Take()))
		before := s.reads.Load()
		s.must(s.planner.hubRound(t.Context()))
		return s.reads.Load() - before
	}
	if few, many := reads(5), reads(100); many-few > 95 || few == 0 {
		t.Errorf("%d rows and blobs are read with 5 clusters, %d with 100", few, many)
	}
}

// meddling is a renderer that lets a test act during a render.
type meddling struct {
	meanwhile func()
	err       error
}

func (m *meddling) Render(ctx context.Context, req render.Request) (*render.Result, error) {
	if m.meanwhile != nil {
		m.meanwhile()
	}
	if m.err != nil {
		return nil, m.err
	}
	return renderers.Render(ctx, req)
}

// TestRequestDuringWalk checks that a request during a walk is not lost.
func TestRequestDuringWalk(t *testing.T) {
	s := planned(t, 1)
	const root = "c0000/Kustomization/flux-system/root"
	s.renderer.Renderer = &meddling{meanwhile: func() {
		s.change(root, func(r *store.Resource) { r.RequestedAt, r.Suspended = "meanwhile", false })
	}}
	s.play([]string{"fetch", "fleet", "main@sha1:2", "two"})
	s.round()
	if got := get(s, store.Resources, root).RequestedAt; got != "meanwhile" {
		t.Fatalf("the commit overwrote the request with %q", got)
	}
	s.round()
	if got := get(s, store.Conditions, root).HandledRequest; got != "meanwhile" {
		t.Errorf("handled %q", got)
	}
	if got := s.plan("c0000").Applications[0].RequestedAt; got != "meanwhile" {
		t.Errorf("the plan says requested %q", got)
	}
}

// TestRequestDuringWalk_annotation checks that a request during a walk that finds a new annotation is the last one.
func TestRequestDuringWalk_annotation(t *testing.T) {
	archive := fleet(1)
	for _, tree := range []string{"one", "two"} {
		archive.Files = append(archive.Files, txtar.File{Name: tree + "/root/child.yaml", Data: []byte(`
apiVersion: kustomize.toolkit.fluxcd.io/v1
kind: Kustomization
metadata: {name: child, namespace: flux-system, annotations: {reconcile.fluxcd.io/requestedAt: ` + tree + `}}
spec: {interval: 10m, prune: true, path: ./child, sourceRef: {kind: GitRepository, name: fleet}}
`)}, txtar.File{Name: tree + "/child/app.yaml", Data: archive.Files[1].Data})
	}
	s := newStory(t, archive)
	for _, line := range []string{"apply hub.yaml", "plan", "fetch fleet main@sha1:1 one", "plan"} {
		s.play(strings.Fields(line))
	}
	const child = "c0000/Kustomization/flux-system/child"
	if got := get(s, store.Conditions, child).HandledRequest; got != "one" {
		t.Fatalf("handled %q", got)
	}
	s.renderer.Renderer = &meddling{meanwhile: sync.OnceFunc(func() {
		s.change(child, func(r *store.Resource) { r.RequestedAt = "meanwhile" })
	})}
	s.play([]string{"fetch", "fleet", "main@sha1:2", "two"})
	s.round()
	row, handled := get(s, store.Resources, child), get(s, store.Conditions, child).HandledRequest
	if row.Requested() != "meanwhile" || handled != "two" {
		t.Errorf("requested %q, handled %q", row.Requested(), handled)
	}
	s.round()
	if handled = get(s, store.Conditions, child).HandledRequest; handled != "meanwhile" {
		t.Errorf("then handled %q", handled)
	}
}

// TestFailureOfOldTree checks that the failure of a tree that is not the newest any more is not reported.
func TestFailureOfOldTree(t *testing.T) {
	s := planned(t, 1)
	s.renderer.Renderer = &meddling{err: errors.New("the tree is gone"), meanwhile: func() {
		s.fetch("fleet", "main@sha1:3", "one")
	}}
	s.play([]string{"fetch", "fleet", "main@sha1:2", "two"})
	s.round()
	if o := get(s, store.Conditions, "c0000/Kustomization/flux-system/root"); o.Ready != "True" {
		t.Errorf("reported %s: %s", o.Reason, o.Message)
	}
	s.round()
	if got := s.plan("c0000").Applications[0].Revision; got != "main@sha1:3" {
		t.Errorf("planned %s", got)
	}
}

// TestPassingFailure checks that a render with a temporary failure is tried again.
func TestPassingFailure(t *testing.T) {
	s := planned(t, 1)
	s.renderer.Renderer = &meddling{err: fmt.Errorf("build: %w", context.DeadlineExceeded)}
	s.play([]string{"fetch", "fleet", "main@sha1:2", "two"})
	s.round()
	if pause := s.planner.pause(); pause != renderRetry {
		t.Fatalf("the next attempt is in %s, want %s", pause, renderRetry)
	}
	s.now = s.now.Add(renderRetry)
	s.planner.due()
	s.round()
	if pause := s.planner.pause(); pause != 2*renderRetry {
		t.Fatalf("the one after it is in %s, want %s", pause, 2*renderRetry)
	}
	s.renderer.Renderer = renderers
	s.now = s.now.Add(2 * renderRetry)
	s.planner.due()
	s.round()
	if got := s.plan("c0000").Applications[0].Revision; got != "main@sha1:2" {
		t.Errorf("planned %s", got)
	}
}

// TestSweptRender checks that a swept render is rendered again.
func TestSweptRender(t *testing.T) {
	s := planned(t, 1)
	s.update(func(tx *store.Tx) error {
		return store.Renders.Scan(tx, "", func(key string, _ store.Render) error { return store.Renders.Delete(tx, key) })
	})
	s.change("c0000/Kustomization/flux-system/root", func(r *store.Resource) { r.RequestedAt = "now" })
	s.must(s.planner.note(t.Context(), s.watcher.Take()))
	s.must(s.planner.round(t.Context()))
	if pause := s.planner.pause(); pause != 0 {
		t.Fatalf("the next attempt is in %s, want at once", pause)
	}
	s.planner.due()
	s.round()
	if got := s.renderer.renders.Load(); got != 2 {
		t.Errorf("%d renders, want 2", got)
	}
	if got := s.plan("c0000").Applications[0].RequestedAt; got != "now" {
		t.Errorf("requested %q", got)
	}
}

func TestFailingGraph(t *testing.T) {
	for name, tt := range map[string]struct {
		fail func(s *story) // makes the first cluster fail
		wait time.Duration  // until the next attempt
		mend func(s *story)
	}{
		"swept": {
			fail: func(s *story) {
				s.update(func(tx *store.Tx) error {
					for row := range s.planner.scopes["c0000"].renders {
						if err := store.Renders.Delete(tx, row); err != nil {
							return err
						}
					}
					return nil
				})
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := pair(t)
			tt.fail(s)
			for _, cluster := range []string{"c0000", "c0001"} {
				s.change(cluster+"/Kustomization/flux-system/root", func(r *store.Resource) { r.RequestedAt = "now" })
			}
			s.round()
			if pause := s.planner.pause(); pause != tt.wait {
				t.Errorf("the next attempt is in %s, want %s", pause, tt.wait)
			}
			requested := func(cluster string) string { return s.plan(cluster).Applications[0].RequestedAt }
			if first, second := requested("c0000"), requested("c0001"); first != "" || second != "now" {
				t.Errorf("requested %q and %q, want nothing and now", first, second)
			}
			if tt.mend != nil {
				tt.mend(s)
			}
			s.now = s.now.Add(tt.wait)
			s.planner.due()
			s.round()
			if got := requested("c0000"); got != "now" {
				t.Errorf("requested %q after the failure", got)
			}
		})
	}
}

// TestLargeRound plans more graphs than one transaction writes.
func TestLargeRound(t *testing.T) {
	s := planned(t, maxGraphs+1)
	plans := s.store.Watch(t.Context(), store.Plans.Name())
	defer plans.Close()
	s.play([]string{"fetch", "fleet", "main@sha1:2", "two"})
	s.play([]string{"plan"})
	if changes := plans.Take(); len(changes) != maxGraphs+1 {
		t.Errorf("%d plans changed, want %d", len(changes), maxGraphs+1)
	}
}

func TestBatches(t *testing.T) {
	graph := func(rows int) *walked {
		w := &walked{rows: map[api.Key]store.Resource{}}
		for i := range rows - 1 {
			w.rows[api.Key{Name: fmt.Sprint(i)}] = store.Resource{}
		}
		return w
	}
	var sizes [][]int
	for _, batch := range batches([]*walked{graph(maxRows - 1), graph(1), graph(2), graph(3 * maxRows), graph(1)}) {
		var rows []int
		for _, w := range batch {
			rows = append(rows, w.size())
		}
		sizes = append(sizes, rows)
	}
	if want := [][]int{{maxRows - 1, 1}, {2}, {3 * maxRows}, {1}}; !reflect.DeepEqual(sizes, want) {
		t.Errorf("%v, want %v", sizes, want)
	}
}

// TestMissingApplication checks that an application that is missing is made again.
func TestMissingApplication(t *testing.T) {
	s := planned(t, 2)
	before := s.plan("c0000")
	lost := before.Applications[0].Digest
	s.must(s.store.Blobs().Delete(t.Context(), lost))
	s.update(func(tx *store.Tx) error {
		return store.Repairs.Put(tx, "c0000", store.Repair{Applications: []manifest.Digest{lost}})
	})
	s.play([]string{"plan"})
	s.blob(lost)
	if got := s.plan("c0000"); !reflect.DeepEqual(got, before) {
		t.Errorf("planned %v, want what was there: %v", got, before)
	}
	if got := get(s, store.Repairs, "c0000"); len(got.Applications) != 0 {
		t.Errorf("still asked for: %v", got)
	}
	s.play([]string{"renders", "1"}) // the first
	s.play([]string{"quiet"})
}

// TestChangedAt checks that ChangedAt is when the new revision was fetched.
func TestChangedAt(t *testing.T) {
	s := planned(t, 1)
	s.play([]string{"fetch", "fleet", "main@sha1:2", "two"})
	fetched := s.now
	s.play([]string{"plan"})
	if got := s.plan("c0000").ChangedAt; !got.Equal(fetched) {
		t.Errorf("changed at %s, want %s", got, fetched)
	}
	s.change("c0000/Kustomization/flux-system/root", func(r *store.Resource) { r.RequestedAt = "now" })
	s.play([]string{"plan"})
	if got := s.plan("c0000").ChangedAt; !got.Equal(s.now) {
		t.Errorf("changed at %s, want the start of the round, %s", got, s.now)
	}
}

// TestSealedFilesKept checks that sealed files are kept as they were committed.
func TestSealedFilesKept(t *testing.T) {
	secrets := os.DirFS("../render/kustomize/testdata/sops")
	data, err := fs.ReadFile(secrets, "secret.yaml")
	if err != nil {
		t.Fatal(err)
	}
	archive := fleet(1)
	archive.Files = append(archive.Files, txtar.File{Name: "one/root/secret.yaml", Data: data})
	s := newStory(t, archive)
	for _, line := range []string{"apply hub.yaml", "plan", "fetch fleet main@sha1:1 one", "plan", "quiet"} {
		s.play(strings.Fields(line))
	}
	app, err := bundle.DecodeApplication(s.blob(s.plan("c0000").Applications[0].Digest))
	s.must(err)
	if len(app.SealedFiles) != 1 || len(app.SealedFiles[0].Values) == 0 {
		t.Fatalf("sealed files %v, want one with values", app.SealedFiles)
	}
	if kept := s.blob(app.SealedFiles[0].Digest); string(kept) != string(data) {
		t.Error("the kept file is not the committed one")
	}
}

// TestRun checks that Run follows the store and ends with its context.
func TestRun(t *testing.T) {
	s := newStory(t, fleet(2))
	plans := s.store.Watch(t.Context(), store.Plans.Name())
	defer plans.Close()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	p := New(Config{Store: s.store, Artifacts: artifact.New("/"), Renderer: renderers, Log: slog.New(slog.DiscardHandler)})
	go func() { done <- p.Run(ctx) }()
	s.apply("hub.yaml")
	await(t, plans, func() bool { return get(s, store.Plans, "c0001").ChangedAt != time.Time{} })
	s.fetch("fleet", "main@sha1:1", "one")
	await(t, plans, func() bool { return len(s.plan("c0001").Applications) == 1 })
	s.update(func(tx *store.Tx) error { return store.Resources.Delete(tx, "/Cluster//c0001") })
	await(t, plans, func() bool { return s.plan("c0001").ChangedAt.IsZero() })
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// await waits for changes of the store until a condition is true.
func await(t *testing.T, w *store.Watcher, so func() bool) {
	t.Helper()
	timeout := time.After(10 * time.Second)
	for !so() {
		select {
		case <-w.C():
		case <-timeout:
			t.Fatal("it never came to be")
		}
	}
}

// TestRestart checks that plans survive a restart of the process.
func TestRestart(t *testing.T) {
	path := filepath.Join(t.TempDir(), "hub.db")
	opened, err := store.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	s := newStory(t, fleet(2))
	s.store = opened
	s.restart()
	for _, line := range []string{"apply hub.yaml", "plan", "fetch fleet main@sha1:1 one", "plan", "renders 1"} {
		s.play(strings.Fields(line))
	}
	before := s.dump()
	s.watcher.Close()
	s.must(opened.Close())
	if s.store, err = store.Open(path); err != nil {
		t.Fatal(err)
	}
	s.watcher = nil
	s.restart()
	s.play([]string{"quiet"})
	s.play([]string{"renders", "0"})
	if after := s.dump(); after != before {
		t.Errorf("after the restart the store says\n%s\nbefore\n%s", after, before)
	}
}
