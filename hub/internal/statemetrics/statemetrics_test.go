package statemetrics

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/protobuf/proto"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/status"
	"github.com/navefleet/nave/hub/internal/store"
	spokev1 "github.com/navefleet/nave/proto/nave/spoke/v1"
	"github.com/navefleet/nave/shared/bundle"
)

// fleet is a store with clusters of Fleet prod, each with two Kustomizations, and its metrics.
type fleet struct {
	*testing.T
	store     *store.Store
	registry  *prometheus.Registry
	reads     atomic.Int64
	collector *Collector
}

var (
	prodKey   = api.FleetKey("prod")
	sourceKey = api.Key{Kind: "GitRepository", Namespace: "flux-system", Name: "fleet"}
	now       = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
)

func nameOf(i int) string { return fmt.Sprintf("c%05d", i) }

func kustomization(cluster, name string) api.Key {
	return api.Key{Cluster: cluster, Kind: "Kustomization", Namespace: "flux-system", Name: name}
}

func newFleet(t *testing.T, clusters, limit int) *fleet {
	f := &fleet{T: t, registry: prometheus.NewRegistry()}
	f.store = store.OpenMemory(store.CountReads(&f.reads))
	t.Cleanup(func() { _ = f.store.Close() })
	f.update(func(tx *store.Tx) error {
		return errors.Join(
			put(tx, prodKey, nil, `{"spec":{"clusterSelector":{"matchLabels":{"env":"prod"}},"template":{}}}`),
			put(tx, sourceKey, nil, `{"spec":{"url":"https://git.example.com/fleet"}}`))
	})
	for first := 0; first < clusters; first += 500 {
		f.update(func(tx *store.Tx) (err error) {
			for i := first; i < min(clusters, first+500); i++ {
				err = errors.Join(err, putCluster(tx, nameOf(i)))
			}
			return err
		})
	}
	c := New(Config{Store: f.store, Limit: limit, Log: slog.New(slog.DiscardHandler), Metrics: f.registry,
		Now: func() time.Time { return now }})
	c.rest = 0
	f.collector = c
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- c.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return f
}

func (f *fleet) update(fn func(*store.Tx) error) {
	f.Helper()
	if err := f.store.Update(f.Context(), fn); err != nil {
		f.Fatal(err)
	}
}

// put writes an object that is ready on the hub.
func put(tx *store.Tx, key api.Key, owner *api.Key, object string) error {
	return errors.Join(
		store.Resources.Put(tx, key.Path(), store.Resource{Key: key, Owner: owner, Generation: 1,
			Object: api.StoredObject(key, []byte(object))}),
		store.Conditions.Put(tx, key.Path(), store.Condition{ObservedGeneration: 1, Ready: "True", Reason: "Good",
			Revision: "main@sha1:a"}))
}

// putCluster writes a cluster that runs its bundle.
func putCluster(tx *store.Tx, name string) error {
	id := bundle.ID{Epoch: 1, Sequence: 1}
	root, app := kustomization(name, "root"), kustomization(name, "app")
	const spec = `{"kind":"Kustomization","metadata":{"namespace":"flux-system"},
		"spec":{"sourceRef":{"kind":"GitRepository","name":"fleet"}}}`
	var plan store.Plan
	for _, key := range []api.Key{app, root} {
		plan.Applications = append(plan.Applications,
			store.Entry{Content: store.Content{Name: key.Application(), Revision: "main@sha1:a"}})
	}
	return errors.Join(
		put(tx, api.ClusterKey(name), nil, `{"metadata":{"labels":{"env":"prod"}}}`),
		put(tx, root, &prodKey, spec), put(tx, app, &root, spec),
		store.Plans.Put(tx, name, plan),
		store.Spokes.Put(tx, name, store.Spoke{Connected: true, Since: now, CertificateExpiry: now.Add(time.Hour),
			Acks: map[bundle.Stage]bundle.ID{bundle.Healthy: id}}),
		store.SignedBundles.Put(tx, name, store.SignedBundle{Bundle: id, ExpiresAt: now.Add(2 * time.Hour)}),
		report(tx, root, "True", "ReconciliationSucceeded"), report(tx, app, "True", "ReconciliationSucceeded"))
}

// report is the word of a spoke about an application.
func report(tx *store.Tx, key api.Key, ready, reason string) error {
	value, err := proto.Marshal(&spokev1.ApplicationReport{Ready: ready, Reason: reason, Revision: "main@sha1:a",
		AppliedRevision: "main@sha1:a", Digest: make([]byte, 32)})
	return errors.Join(err, store.Reports.Put(tx, key.Path(), store.Report{Value: value}))
}

// scrape returns the values of all series by "name{label,…}", without empty labels.
func (f *fleet) scrape() map[string]float64 {
	f.Helper()
	families, err := f.registry.Gather()
	if err != nil {
		f.Fatal(err)
	}
	series := map[string]float64{}
	for _, family := range families {
		for _, m := range family.Metric {
			var labels []string
			for _, l := range m.Label {
				if l.GetValue() != "" {
					labels = append(labels, l.GetName()+"="+l.GetValue())
				}
			}
			series[family.GetName()+"{"+strings.Join(labels, ",")+"}"] = m.GetGauge().GetValue()
		}
	}
	return series
}

// expect scrapes and compares some series; -7 stands for a series that must not exist.
func (f *fleet) expect(want map[string]float64) {
	f.Helper()
	got := f.scrape()
	for _, name := range slices.Sorted(maps.Keys(want)) {
		if value, ok := got[name]; want[name] == none && ok || want[name] != none && (!ok || value != want[name]) {
			f.Errorf("%s is %v (%t), want %v", name, value, ok, want[name])
		}
	}
	if f.Failed() {
		f.Logf("there are %v", strings.Join(slices.Sorted(maps.Keys(got)), "\n"))
	}
}

const none = -7

func unix(t time.Time) float64 { return float64(t.Unix()) }

func TestCollect(t *testing.T) {
	f := newFleet(t, 2, 0)
	f.expect(map[string]float64{
		"nave_clusters{}":            2,
		"nave_registered_clusters{}": 2,
		"nave_resource_ready{cluster=c00000,kind=Cluster,name=c00000}":                                                            1,
		"nave_resource_ready{kind=Fleet,name=prod}":                                                                               1,
		"nave_resource_ready{kind=GitRepository,name=fleet,namespace=flux-system}":                                                1,
		"nave_resource_ready{cluster=c00001,kind=Kustomization,name=app,namespace=flux-system}":                                   1,
		"nave_resource_info{kind=Fleet,name=prod,ready=True,reason=ReconciliationSucceeded,revision=main@sha1:a,suspended=false}": 1,
		"nave_resources{kind=Kustomization,ready=True,suspended=false}":                                                           4,
		"nave_unlisted_resources{}":                                             0,
		"nave_cluster_connected{cluster=c00000}":                                1,
		"nave_cluster_certificate_expiration_timestamp_seconds{cluster=c00000}": unix(now.Add(time.Hour)),
		"nave_cluster_bundle_expiration_timestamp_seconds{cluster=c00001}":      unix(now.Add(2 * time.Hour)),
		"nave_cluster_lagging_since_timestamp_seconds{cluster=c00001}":          none,
		"nave_resource_metrics_timestamp_seconds{}":                             unix(now),
	})
	f.update(func(tx *store.Tx) error {
		id := bundle.ID{Epoch: 1, Sequence: 2}
		return errors.Join(report(tx, kustomization("c00001", "app"), "False", "HealthCheckFailed"),
			store.History.Put(tx, store.PastKey("c00001", id), store.Past{Bundle: id, ReleasedAt: now}),
			report(tx, kustomization("c00001", "gone"), "False", "RemovalHeld"))
	})
	f.expect(map[string]float64{
		"nave_resource_ready{cluster=c00000,kind=Cluster,name=c00000}":                          1,
		"nave_resource_ready{cluster=c00001,kind=Cluster,name=c00001}":                          0,
		"nave_resource_ready{kind=Fleet,name=prod}":                                             0,
		"nave_resource_ready{cluster=c00001,kind=Kustomization,name=app,namespace=flux-system}": 0,
		"nave_unready_resources{kind=Kustomization,reason=HealthCheckFailed}":                   1,
		"nave_held_removals{cluster=c00001}":                                                    1,
		"nave_cluster_lagging_since_timestamp_seconds{cluster=c00001}":                          unix(now),
	})
	f.update(func(tx *store.Tx) error {
		row, _, err := store.Resources.Get(tx, sourceKey.Path())
		row.Suspended = true
		return errors.Join(err, store.Resources.Put(tx, sourceKey.Path(), row), store.Spokes.Put(tx, "c00000",
			store.Spoke{Since: now}))
	})
	f.expect(map[string]float64{
		"nave_resources{kind=GitRepository,ready=True,suspended=true}": 1,
		"nave_cluster_connected{cluster=c00000}":                       0,
		"nave_resource_ready{cluster=c00000,kind=Cluster,name=c00000}": -1,
	})
}

// TestSeries_go: the series of an object go with the object.
func TestSeries_go(t *testing.T) {
	f := newFleet(t, 2, 0)
	f.scrape()
	f.update(func(tx *store.Tx) error {
		key := api.ClusterKey("c00001").Path()
		return errors.Join(store.DeleteCluster(tx, "c00001"), store.Resources.Delete(tx, key),
			store.Conditions.Delete(tx, key), store.Resources.Delete(tx, sourceKey.Path()),
			store.Conditions.Delete(tx, sourceKey.Path()))
	})
	got := f.scrape()
	for name := range got {
		if strings.Contains(name, "c00001") || strings.Contains(name, "GitRepository") {
			t.Errorf("%s stays", name)
		}
	}
	if got["nave_clusters{}"] != 1 || got["nave_resources{kind=Kustomization,ready=True,suspended=false}"] == 4 {
		t.Errorf("%v clusters", got["nave_clusters{}"])
	}
}

// TestSource_of_the_hub: what a change of the hub's source means for Clusters and Fleets shows.
func TestSource_of_the_hub(t *testing.T) {
	f := newFleet(t, 3, 0)
	f.scrape()
	f.update(func(tx *store.Tx) error {
		return store.Conditions.Put(tx, sourceKey.Path(), store.Condition{ObservedGeneration: 1, Ready: "False",
			Reason: "GitOperationFailed", Message: "no route"})
	})
	f.expect(map[string]float64{
		"nave_resource_ready{kind=GitRepository,name=fleet,namespace=flux-system}": 0,
		"nave_resource_ready{kind=Fleet,name=prod}":                                0,
		"nave_resource_ready{cluster=c00002,kind=Cluster,name=c00002}":             0,
		"nave_unready_resources{kind=Cluster,reason=GitOperationFailed}":           3,
	})
}

// TestSelector: a Fleet that selects no cluster any more is not ready.
func TestSelector(t *testing.T) {
	f := newFleet(t, 3, 0)
	f.scrape()
	f.update(func(tx *store.Tx) error {
		return put(tx, prodKey, nil, `{"spec":{"clusterSelector":{"matchLabels":{"env":"none"}},"template":{}}}`)
	})
	f.expect(map[string]float64{"nave_unready_resources{kind=Fleet,reason=NoClusters}": 1})
}

// TestLimit: objects of clusters have series of their own unless there are too many; they are counted all the same.
func TestLimit(t *testing.T) {
	f := newFleet(t, 3, 4)
	app := "nave_resource_ready{cluster=c00001,kind=Kustomization,name=app,namespace=flux-system}"
	f.expect(map[string]float64{
		app: none, "nave_unlisted_resources{}": 6,
		"nave_resources{kind=Kustomization,ready=True,suspended=false}": 6,
		"nave_resource_ready{cluster=c00001,kind=Cluster,name=c00001}":  1,
	})
	f.update(func(tx *store.Tx) error {
		key := api.ClusterKey("c00002").Path()
		return errors.Join(store.DeleteCluster(tx, "c00002"), store.Resources.Delete(tx, key),
			store.Conditions.Delete(tx, key))
	})
	f.scrape() // finds out that there is room
	f.expect(map[string]float64{app: 1, "nave_unlisted_resources{}": 0})
}

// TestReasons: a spoke cannot make series by making up reasons.
func TestReasons(t *testing.T) {
	numbers := map[class]int{}
	for i := range 3 * maxReasons {
		numbers[class{kind: "Kustomization", reason: fmt.Sprint(i)}] = 1
	}
	got := few(numbers)
	if n := got[class{kind: "Kustomization", reason: otherReason}]; len(got) != maxReasons+1 || n != 2*maxReasons {
		t.Errorf("%d reasons, %d of them other", len(got), n)
	}
}

// TestStatus: the metrics show the same readiness as the statuses of nave get.
func TestStatus(t *testing.T) {
	f := newFleet(t, 3, 0)
	f.scrape()
	f.update(func(tx *store.Tx) error {
		return errors.Join(report(tx, kustomization("c00000", "root"), "Unknown", "Progressing"),
			store.Spokes.Delete(tx, "c00002"))
	})
	got := f.scrape()
	err := f.store.View(t.Context(), func(tx *store.Tx) error {
		w, err := status.Load(tx, "")
		for _, e := range status.Explain(w, api.Key{}) {
			name := fmt.Sprintf("nave_resource_ready{kind=%s,name=%s}", e.Object.Kind, e.Object.Name)
			if value, ok := got[name]; ok && value == 1 {
				t.Errorf("%s is 1, but %s: %s", name, e.Reason, e.Message)
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if got["nave_resource_ready{kind=Fleet,name=prod}"] != -1 {
		t.Errorf("the Fleet is %v", got["nave_resource_ready{kind=Fleet,name=prod}"])
	}
}

// TestScrape_reads: after the first scrape, a scrape reads only what the changes since the last one affect, however
// large the fleet is.
func TestScrape_reads(t *testing.T) {
	sizes := []int{1000}
	if !testing.Short() {
		sizes = append(sizes, 10000)
	}
	for _, size := range sizes {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			f := newFleet(t, size, 0)
			for f.scrape()["nave_clusters{}"] == 0 { // the first refresh may take longer than a scrape waits
				continue
			}
			if first := f.reads.Swap(0); first > int64(60*size) {
				t.Errorf("the first scrape reads %d rows", first)
			}
			began := time.Now()
			series := len(f.scrape())
			t.Logf("a scrape of %d series takes %v", series, time.Since(began))
			if n := f.reads.Swap(0); n != 0 {
				t.Errorf("a scrape without changes reads %d rows", n)
			}
			if most := 6*size + 3*2*size + 100; series > most {
				t.Errorf("there are %d series, want at most %d", series, most)
			}
			f.update(func(tx *store.Tx) error {
				return report(tx, kustomization(nameOf(size/2), "app"), "False", "HealthCheckFailed")
			})
			f.reads.Store(0)
			if f.scrape()["nave_resource_ready{kind=Fleet,name=prod}"] != 0 {
				t.Error("the Fleet is ready")
			}
			if n := f.reads.Swap(0); n > 60 {
				t.Errorf("a scrape after one report reads %d rows", n)
			}
		})
	}
}

// TestRest: scrapes that follow each other closely do not compute all the time, and are answered at once.
func TestRest(t *testing.T) {
	f := newFleet(t, 1, 0)
	f.scrape()
	done := make(chan struct{})
	f.collector.asked <- func(context.Context) error { // in the loop, which owns the field
		f.collector.rests = time.Now().Add(time.Hour)
		close(done)
		return nil
	}
	<-done
	f.update(func(tx *store.Tx) error { return putCluster(tx, "more") })
	f.reads.Store(0)
	began := time.Now()
	if n := f.scrape()["nave_clusters{}"]; n != 1 || f.reads.Load() != 0 || time.Since(began) > patience/2 {
		t.Errorf("%v clusters after %v, %d reads", n, time.Since(began), f.reads.Load())
	}
}
