package upgrade

import (
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/store"
	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/condition"
)

// world is a loop over a store. The test calls its decisions.
type world struct {
	*testing.T
	*Loop
	now  time.Time
	path string // of the store
}

func newWorld(t *testing.T) *world {
	w := &world{T: t, now: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)}
	w.path = filepath.Join(t.TempDir(), "hub.db")
	w.Loop = New(Config{Log: slog.New(slog.DiscardHandler), Now: func() time.Time { return w.now }})
	w.open()
	t.Cleanup(func() { w.Store.Close() })
	return w
}

func (w *world) open() {
	w.Helper()
	s, err := store.Open(w.path, store.Twice)
	if err != nil {
		w.Fatal(err)
	}
	w.Store = s
}

// damage makes a row of a table unreadable.
func (w *world) damage(table, key string) {
	w.Helper()
	w.Store.Close()
	db, err := bbolt.Open(w.path, 0o600, nil)
	if err != nil {
		w.Fatal(err)
	}
	defer w.open()
	defer db.Close()
	err = db.Update(func(tx *bbolt.Tx) error {
		rows, err := tx.CreateBucketIfNotExists([]byte(table))
		if err != nil {
			return err
		}
		return rows.Put([]byte(key), []byte("{rubbish"))
	})
	if err != nil {
		w.Fatal(err)
	}
}

func (w *world) update(fn func(*store.Tx) error) {
	w.Helper()
	if err := w.Store.Update(w.Context(), fn); err != nil {
		w.Fatal(err)
	}
}

// put writes an object of the hub, and tells the loop. change may change its row.
func (w *world) put(kind, name, fields string, change func(*store.Resource)) {
	w.Helper()
	key := api.Key{Kind: kind, Name: name}
	row := store.Resource{Key: key, Created: w.now, Object: api.StoredObject(key, fmt.Appendf(nil,
		`{"apiVersion":"fleet.nave.io/v1alpha1","kind":%q,%s}`, kind, fields))}
	if change != nil {
		change(&row)
	}
	w.update(func(tx *store.Tx) error { return store.Resources.Put(tx, key.Path(), row) })
	w.tell(store.Change{Table: store.Resources.Name(), Key: key.Path()})
}

func (w *world) tell(changes ...store.Change) {
	w.Helper()
	if w.wants.clusters == nil {
		if err := w.load(w.Context()); err != nil {
			w.Fatal(err)
		}
	}
	if err := w.note(w.Context(), changes); err != nil {
		w.Fatal(err)
	}
}

// cluster writes a Cluster with a label and a spoke that runs v1 and is healthy.
func (w *world) cluster(name, label, spec string) {
	w.Helper()
	w.put("Cluster", name, fmt.Sprintf(`"metadata":{"name":%q,"labels":{"env":%q}},"spec":{%s}`, name, label, spec), nil)
	w.spoke(name, func(s *store.Spoke) {
		id := bundle.ID{Epoch: 1, Sequence: 1}
		*s = store.Spoke{RegisteredAt: w.now, Connected: true, Image: "r/s:v1", Version: "v0.9", Features: bundle.Known,
			Acks: map[bundle.Stage]bundle.ID{bundle.Received: id, bundle.Applied: id, bundle.Healthy: id}}
	})
}

func (w *world) fleet(name, label, spoke string, change func(*store.Resource)) {
	w.Helper()
	w.put("Fleet", name, fmt.Sprintf(`"metadata":{"name":%q},"spec":{"clusterSelector":{"matchLabels":{"env":%q}},`+
		`"template":{},"spoke":{%s}}`, name, label, spoke), change)
}

func (w *world) spoke(name string, change func(*store.Spoke)) {
	w.Helper()
	w.update(func(tx *store.Tx) error {
		row, _, err := store.Spokes.Get(tx, name)
		if err != nil {
			return err
		}
		change(&row)
		return store.Spokes.Put(tx, name, row)
	})
	w.tell(store.Change{Table: store.Spokes.Name(), Key: name})
}

// becomes lets the spoke of a cluster run an image and be healthy with a newer bundle.
func (w *world) becomes(name, image string) {
	w.Helper()
	w.spoke(name, func(s *store.Spoke) { s.Image = image })
	w.decides()
	w.spoke(name, func(s *store.Spoke) {
		id := bundle.ID{Epoch: 1, Sequence: s.Acks[bundle.Received].Sequence + 1}
		s.Acks = map[bundle.Stage]bundle.ID{bundle.Received: id, bundle.Applied: id, bundle.Healthy: id}
	})
}

// decides returns "cluster reason [image in the bundle]" of all rows after a decision.
func (w *world) decides() string {
	w.Helper()
	if err := w.decide(w.Context()); err != nil {
		w.Fatal(err)
	}
	var lines []string
	err := w.Store.View(w.Context(), func(tx *store.Tx) error {
		lines = nil
		return store.Upgrades.Scan(tx, "", func(name string, row store.Upgrade) error {
			lines = append(lines, strings.TrimSpace(name+" "+strings.TrimPrefix(row.Reason, "Spoke")+" "+row.Offered()))
			return nil
		})
	})
	if err != nil {
		w.Fatal(err)
	}
	return strings.Join(lines, ", ")
}

func (w *world) expect(want string) {
	w.Helper()
	if got := w.decides(); got != want {
		w.Errorf("got  %s\nwant %s", got, want)
	}
}

// message returns the message of the upgrade of a cluster.
func (w *world) message(name string) (message string) {
	w.Helper()
	err := w.Store.View(w.Context(), func(tx *store.Tx) error {
		row, _, err := store.Upgrades.Get(tx, name)
		message = row.Message
		return err
	})
	if err != nil {
		w.Fatal(err)
	}
	return message
}

// events returns "object reason" of all events.
func (w *world) events() (all []string) {
	w.Helper()
	err := w.Store.View(w.Context(), func(tx *store.Tx) error {
		all = nil
		return store.Events.Scan(tx, "", func(_ string, e store.Event) error {
			all = append(all, e.Object.Name+" "+e.Type+" "+e.Reason+": "+e.Message)
			return nil
		})
	})
	if err != nil {
		w.Fatal(err)
	}
	return all
}

// TestFleet upgrades the spokes of a Fleet: the first alone, the next when it is done, and none after a failure.
func TestFleet(t *testing.T) {
	w := newWorld(t)
	for _, name := range []string{"a", "b", "c", "d"} {
		w.cluster(name, "prod", "")
	}
	w.cluster("other", "test", "")
	w.expect("")
	w.fleet("prod", "prod", `"image":"r/s:v2","maxConcurrent":2`, nil)
	w.expect("a Upgrading r/s:v2, b UpgradePending, c UpgradePending, d UpgradePending")
	w.spoke("a", func(s *store.Spoke) { s.Image = "" }) // it came back, and could not read its Pod
	w.expect("a Upgrading r/s:v2, b UpgradePending, c UpgradePending, d UpgradePending")
	w.becomes("a", "r/s:v2")
	w.expect("a Upgraded, b Upgrading r/s:v2, c Upgrading r/s:v2, d UpgradePending")
	w.now = w.now.Add(time.Minute)
	w.spoke("b", func(s *store.Spoke) {
		s.Upgrade = store.UpgradeReport{Image: "r/s:v2", Failure: "ImagePullBackOff: no such tag", At: w.now}
	})
	w.becomes("c", "r/s:v2")
	w.expect("a Upgraded, b UpgradeFailed r/s:v2, c Upgraded, d UpgradePending")
	if got := w.message("b"); got != "ImagePullBackOff: no such tag" {
		t.Errorf("b: %q", got)
	}
	want := []string{
		"a Normal SpokeUpgrading: the spoke is upgraded from r/s:v1 to r/s:v2",
		"a Normal SpokeUpgraded: the spoke runs r/s:v2",
		"b Normal SpokeUpgrading: the spoke is upgraded from r/s:v1 to r/s:v2",
		"c Normal SpokeUpgrading: the spoke is upgraded from r/s:v1 to r/s:v2",
		"b Warning SpokeUpgradeFailed: the spoke is not upgraded to r/s:v2: ImagePullBackOff: no such tag",
		"c Normal SpokeUpgraded: the spoke runs r/s:v2",
	}
	if got := w.events(); !slices.Equal(slices.Sorted(slices.Values(got)), slices.Sorted(slices.Values(want))) {
		t.Errorf("events:\n%s", strings.Join(got, "\n"))
	}

	w.now = w.now.Add(time.Minute)
	w.fleet("prod", "prod", `"image":"r/s:v3"`, nil) // the old failure is not that of the new image
	w.expect("a Upgrading r/s:v3, b UpgradePending, c UpgradePending, d UpgradePending")
	w.fleet("prod", "prod", "", nil)
	w.expect("")
}

// TestWaits begins no upgrade that could not be carried out, and says why.
func TestWaits(t *testing.T) {
	for name, c := range map[string]struct {
		change          func(*world)
		reason, message string
	}{
		"offline": {func(w *world) { w.spoke("a", func(s *store.Spoke) { s.Connected = false }) },
			condition.SpokeUpgradePending, "the spoke is offline"},
		"suspended": {func(w *world) {
			w.put("Cluster", "a", `"metadata":{"name":"a","labels":{"env":"prod"}},"spec":{"suspend":true}`, nil)
		}, condition.SpokeUpgradePending, "the cluster is suspended"},
		"suspended_fleet": {func(w *world) {
			w.fleet("prod", "prod", `"image":"r/s:v2"`, func(r *store.Resource) { r.Suspended = true })
		}, condition.SpokeUpgradePending, "Fleet prod is suspended"},
		"pinned": {func(w *world) {
			w.update(func(tx *store.Tx) error { return store.Pins.Put(tx, "a", store.Pin{By: "eve"}) })
		}, condition.SpokeUpgradePending, "the cluster is pinned"},
		"unreadable_pin": {func(w *world) { w.damage(store.Pins.Name(), "a") },
			condition.SpokeUpgradePending, "its pin cannot be read"},
		"too_old": {func(w *world) { w.spoke("a", func(s *store.Spoke) { s.Features = bundle.Baseline }) },
			condition.SpokeNotUpgradable, "spoke v0.9 cannot upgrade itself yet"},
		"no_pod": {func(w *world) { w.spoke("a", func(s *store.Spoke) { s.Image = "" }) },
			condition.SpokeNotUpgradable, "the spoke runs in no Pod, or cannot read it"},
		"conflict": {func(w *world) { w.fleet("beta", "prod", `"image":"r/s:v3"`, nil) },
			condition.SpokeImageConflict, "Fleets beta, prod want different images for its spoke"},
		"runs_already": {func(w *world) { w.spoke("a", func(s *store.Spoke) { s.Image = "r/s:v2@sha256:1" }) },
			condition.SpokeUpgraded, ""},
		"same_image_twice": {func(w *world) { w.fleet("beta", "prod", `"image":"r/s:v2"`, nil) },
			condition.SpokeUpgrading, "the spoke tries the image"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.cluster("a", "prod", "")
			w.fleet("prod", "prod", `"image":"r/s:v2"`, nil)
			c.change(w)
			got, offers := w.decides(), c.reason == condition.SpokeUpgrading
			if !strings.HasPrefix(got, "a "+strings.TrimPrefix(c.reason, "Spoke")) || strings.Contains(got, "v2") != offers {
				t.Errorf("got %s", got)
			}
			if got := w.message("a"); !strings.HasPrefix(got, c.message) {
				t.Errorf("got %q", got)
			}
		})
	}
}

// TestDamaged_while_running writes a row anew that is damaged while the hub runs, although nothing else changes.
func TestDamaged_while_running(t *testing.T) {
	w := newWorld(t)
	w.cluster("a", "prod", "")
	w.fleet("prod", "prod", `"image":"r/s:v2"`, nil)
	w.expect("a Upgrading r/s:v2")
	w.damage(store.Upgrades.Name(), "a")
	w.now, w.dirty, w.busy = w.now.Add(rereadRows), false, false
	if _, err := w.work(w.Context()); err != nil {
		t.Fatal(err)
	}
	err := w.Store.View(w.Context(), func(tx *store.Tx) error {
		row, ok, err := store.Upgrades.Get(tx, "a")
		if !ok || row.Image != "r/s:v2" {
			t.Errorf("the row is %+v, %t", row, ok)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

// TestClusters upgrades Clusters that name an image themselves, whatever their Fleets say, and one after the other.
func TestClusters(t *testing.T) {
	w := newWorld(t)
	w.fleet("prod", "prod", `"image":"r/s:v2"`, nil)
	for _, name := range []string{"a", "b", "c", "d"} {
		w.cluster(name, "prod", `"spoke":{"image":"r/s:v3"}`)
	}
	w.cluster("e", "prod", "")
	w.expect("a Upgrading r/s:v3, b UpgradePending, c UpgradePending, d UpgradePending, e Upgrading r/s:v2")
	w.becomes("a", "r/s:v3")
	w.expect("a Upgraded, b Upgrading r/s:v3, c UpgradePending, d UpgradePending, e Upgrading r/s:v2")
	for _, name := range []string{"b", "c", "d"} {
		w.put("Cluster", name, fmt.Sprintf(`"metadata":{"name":%q},"spec":{"spoke":{"image":"r/s:v3","maxConcurrent":"50%%"}}`,
			name), nil)
	}
	w.put("Cluster", "a", `"metadata":{"name":"a"},"spec":{"spoke":{"image":"r/s:v3","maxConcurrent":3}}`, nil)
	w.expect("a Upgraded, b Upgrading r/s:v3, c Upgrading r/s:v3, d UpgradePending, e Upgrading r/s:v2")
	w.update(func(tx *store.Tx) error { return store.Resources.Delete(tx, api.ClusterKey("b").Path()) })
	w.tell(store.Change{Table: store.Resources.Name(), Key: api.ClusterKey("b").Path()})
	w.expect("a Upgraded, c Upgrading r/s:v3, d UpgradePending, e Upgrading r/s:v2")
}

// TestFacts decodes the rows of a cluster again when one of them changed, and otherwise not: a fleet may have 10,000.
func TestFacts(t *testing.T) {
	w := newWorld(t)
	w.cluster("a", "prod", "")
	w.fleet("prod", "prod", `"image":"r/s:v2"`, nil)
	pin := func(pin bool) {
		w.update(func(tx *store.Tx) error {
			if pin {
				return store.Pins.Put(tx, "a", store.Pin{By: "eve"})
			}
			return store.Pins.Delete(tx, "a")
		})
	}
	pin(true)
	w.expect("a UpgradePending")
	pin(false)
	w.expect("a UpgradePending") // the change is not known yet
	w.tell(store.Change{Table: store.Pins.Name(), Key: "a"})
	w.expect("a Upgrading r/s:v2")
	w.becomes("a", "r/s:v2")
	w.expect("a Upgraded")
	w.update(func(tx *store.Tx) error { return store.Upgrades.Delete(tx, "a") })
	w.tell(store.Change{}) // the watcher was too slow to know which rows changed
	w.expect("a Upgraded")
	w.cluster("a", "test", "")
	w.expect("")
	if len(w.facts) > 0 {
		t.Errorf("facts that nobody needs: %v", w.facts)
	}
}

// TestRun decides by itself when rows change.
func TestRun(t *testing.T) {
	w := newWorld(t)
	w.cluster("a", "prod", "")
	w.fleet("prod", "prod", `"image":"r/s:v2"`, nil)
	watcher := w.Store.Watch(t.Context(), store.Upgrades.Name())
	defer watcher.Close()
	stopped := make(chan error)
	loop := New(w.Config)
	go func() { stopped <- loop.Run(t.Context()) }()
	<-watcher.C()
	w.Store.Close()
	<-stopped
}
