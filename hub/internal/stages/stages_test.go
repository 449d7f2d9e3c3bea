package stages

import (
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.etcd.io/bbolt"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/release"
	"github.com/navefleet/nave/hub/internal/rollout"
	"github.com/navefleet/nave/hub/internal/store"
	bundlev1 "github.com/navefleet/nave/proto/nave/bundle/v1"
	spokev1 "github.com/navefleet/nave/proto/nave/spoke/v1"
	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/manifest"
)

// world is a loop over a store. The test calls its decisions, and is what publishes and applies.
type world struct {
	*testing.T
	*Loop
	now  time.Time
	path string // of the store
	bad  map[string]bool
}

var app = bundle.ApplicationName{Kind: "Kustomization", Namespace: "flux-system", Name: "app"}

// canaryFirst is a Fleet with the cluster east in its first stage.
const canaryFirst = `"spec":{"clusterSelector":{},"rollout":{"onFailure":%q,"stages":[
{"name":"canary","clusterSelector":{"matchLabels":{"ring":"canary"}}},{"name":"prod"}]}}`

func newWorld(t *testing.T) *world {
	w := &world{T: t, now: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), bad: map[string]bool{}}
	w.path = filepath.Join(t.TempDir(), "hub.db")
	w.open()
	t.Cleanup(func() { w.Store.Close() })
	w.put(api.FleetKind, "all", fmt.Sprintf(canaryFirst, "Pause"))
	for name, labels := range map[string]string{"east": `{"ring":"canary"}`, "west": "{}"} {
		w.put(api.ClusterKind, name, `"metadata":{"name":"`+name+`","labels":`+labels+`}`)
		w.update(func(tx *store.Tx) error {
			return store.Spokes.Put(tx, name, store.Spoke{Connected: true, RegisteredAt: w.now})
		})
	}
	return w
}

// open opens the store as a hub that starts.
func (w *world) open() {
	w.Helper()
	s, err := store.Open(w.path, store.Twice)
	w.must(err)
	w.Loop = New(Config{Store: s, Log: slog.New(slog.DiscardHandler), Now: func() time.Time { return w.now }})
	w.must(w.load(w.Context()))
}

func (w *world) must(err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}

// update writes rows, and tells the loop that any row may have changed.
func (w *world) update(fn func(*store.Tx) error) {
	w.Helper()
	w.must(w.Store.Update(w.Context(), fn))
	w.all, w.dirty = true, true
	for _, f := range w.fleets {
		f.isStale = true
	}
}

// put writes an object of the hub.
func (w *world) put(kind, name, fields string) {
	w.Helper()
	key := api.Key{Kind: kind, Name: name}
	row := store.Resource{Key: key, Object: api.StoredObject(key, fmt.Appendf(nil,
		`{"apiVersion":"fleet.nave.io/v1alpha1","kind":%q,%s}`, kind, fields))}
	w.update(func(tx *store.Tx) error { return store.Resources.Put(tx, key.Path(), row) })
	w.must(w.note(w.Context(), []store.Change{{Table: store.Resources.Name(), Key: key.Path()}}))
}

func digestOf(content string) manifest.Digest { return manifest.DigestOf([]byte(content)) }

// plan plans content for both clusters.
func (w *world) plan(content string) {
	w.Helper()
	for _, cluster := range []string{"east", "west"} {
		w.update(func(tx *store.Tx) error {
			return store.Plans.Put(tx, cluster, store.Plan{Applications: []store.Entry{{Content: store.Content{
				Name: app, Fleet: "all", Digest: digestOf(content), Revision: content}}}})
		})
	}
}

// turns decides, publishes and applies until nothing changes, and returns what the clusters have.
func (w *world) turns() string {
	w.Helper()
	for range 20 {
		w.must(w.decideAll(w.Context()))
		for _, cluster := range []string{"east", "west"} {
			w.apply(cluster)
		}
	}
	return w.has("east") + " " + w.has("west")
}

// apply does what publish, the spoke and dispatch do.
func (w *world) apply(cluster string) {
	w.update(func(tx *store.Tx) error {
		plan, planned, err := store.Plans.Get(tx, cluster)
		last, _, err2 := store.Releases.Get(tx, cluster)
		turn, _, err3 := store.Turns.GetIntact(tx, store.TurnKey(cluster, "all"))
		if err := errors.Join(err, err2, err3); err != nil || !planned {
			return err
		}
		next := release.Next(release.Cluster{Name: cluster, Plan: plan, Last: last,
			Turns: map[string]store.Turn{"all": turn}})
		id := bundle.ID{Sequence: 1}
		spoke, _, err := store.Spokes.Get(tx, cluster)
		spoke.Acks = map[bundle.Stage]bundle.ID{bundle.Received: id}
		err = errors.Join(err, store.Releases.Put(tx, cluster, next), store.Spokes.Put(tx, cluster, spoke),
			store.SignedBundles.Put(tx, cluster, store.SignedBundle{Bundle: id}))
		for _, e := range next.Applications {
			err = errors.Join(err, store.Reports.Put(tx, cluster+"/Kustomization/flux-system/app", w.report(e)))
		}
		return err
	})
}

// report is what a spoke says of an application.
func (w *world) report(e store.Entry) store.Report {
	r := &spokev1.ApplicationReport{Name: &bundlev1.ApplicationName{}, Digest: e.Digest[:], Ready: "True",
		Since: timestamppb.New(w.now)}
	if w.bad[e.Revision] {
		r.Ready, r.Reason, r.Message = "False", "HealthCheckFailed", "Deployment app/web is Failed"
	}
	value, err := proto.Marshal(r)
	w.must(err)
	return store.Report{Value: value}
}

// has returns the revision that a cluster has.
func (w *world) has(cluster string) (revision string) {
	w.Helper()
	w.must(w.Store.View(w.Context(), func(tx *store.Tx) error {
		r, _, err := store.Releases.Get(tx, cluster)
		for _, e := range r.Applications {
			revision = e.Revision
		}
		return err
	}))
	return revision
}

// latest returns the newest rollout as text.
func (w *world) latest() (text string) {
	w.Helper()
	w.must(w.Store.View(w.Context(), func(tx *store.Tx) error {
		r, _, err := store.LatestRollout(tx, "all")
		text = fmt.Sprintf("%d %s %s %s", r.Number, r.Revision, r.Phase, r.Message)
		return err
	}))
	return strings.TrimSpace(text)
}

func TestStages(t *testing.T) {
	w := newWorld(t)
	w.plan("one")
	if got := w.turns(); got != "one one" || w.latest() != "1 one Succeeded" {
		t.Errorf("the clusters have %s: %s", got, w.latest())
	}
	w.bad["two"] = true
	w.plan("two")
	failed := "2 two Failed stage canary failed on east: Kustomization flux-system/app: HealthCheckFailed: Deployment " +
		"app/web is Failed"
	if got := w.turns(); got != "two one" || w.latest() != failed {
		t.Errorf("the clusters have %s: %s", got, w.latest())
	}
	w.Store.Close() // the hub restarts
	w.open()
	if got := w.turns(); got != "two one" || w.latest() != failed {
		t.Errorf("after a restart the clusters have %s: %s", got, w.latest())
	}
	w.plan("three")
	if got := w.turns(); got != "three three" || w.latest() != "3 three Succeeded" {
		t.Errorf("the clusters have %s: %s", got, w.latest())
	}
}

// TestStages_own_turns has the loop read the facts of a cluster again if an operator wrote its turn, and not if the
// loop itself did.
func TestStages_own_turns(t *testing.T) {
	w := newWorld(t)
	w.plan("one")
	w.must(w.decideAll(t.Context()))
	key := store.TurnKey("west", "all")
	written := []store.Change{{Table: store.Turns.Name(), Key: store.TurnKey("east", "all")},
		{Table: store.Turns.Name(), Key: key}}
	if w.must(w.note(t.Context(), written)); len(w.stale) != 0 {
		t.Errorf("after its own decision the loop reads %v again", w.stale)
	}
	w.must(w.Store.Update(t.Context(), func(tx *store.Tx) error {
		turn, _, err := store.Turns.Get(tx, key)
		turn.State = rollout.ClusterLeaving
		return errors.Join(err, store.Turns.Put(tx, key, turn))
	}))
	if w.must(w.note(t.Context(), written)); len(w.stale) != 1 || !w.stale["west"] {
		t.Errorf("after an operator's decision about west the loop reads %v again", w.stale)
	}
}

func TestStages_rollback(t *testing.T) {
	w := newWorld(t)
	w.put(api.FleetKind, "all", fmt.Sprintf(canaryFirst, "Rollback"))
	w.plan("one")
	w.turns()
	w.bad["two"] = true
	w.plan("two")
	if got := w.turns(); got != "one one" || !strings.HasPrefix(w.latest(), "2 two RolledBack") {
		t.Errorf("the clusters have %s: %s", got, w.latest())
	}
}

// TestStages_operator decides about a rollout while the loop decides: the loop begins again with the new rows.
func TestStages_operator(t *testing.T) {
	w := newWorld(t)
	w.plan("one")
	w.must(w.readStale(t.Context()))
	suspended := store.Rollout{Rollout: rollout.Rollout{Suspended: true}}
	w.must(w.Store.Update(t.Context(), func(tx *store.Tx) error {
		return store.Rollouts.Put(tx, store.RolloutKey("all", 0), suspended)
	}))
	if moved, err := w.decide(t.Context(), "all", w.fleets["all"]); !moved || err != nil {
		t.Errorf("moved %t, %v", moved, err)
	}
	if got := w.turns(); got != " " || !strings.HasPrefix(w.latest(), "1 one Suspended") {
		t.Errorf("the clusters have %q: %s", got, w.latest())
	}
}

// TestStages_history keeps as many rollouts that ended as the Fleet says.
func TestStages_history(t *testing.T) {
	w := newWorld(t)
	w.put(api.FleetKind, "all", `"spec":{"clusterSelector":{},"rollout":{"revisionHistoryLimit":2}}`)
	for i := range 5 {
		w.plan(fmt.Sprint("revision ", i))
		w.turns()
	}
	if got := w.keys(store.Rollouts.PageKeys); got != 3 {
		t.Errorf("%d rollouts", got)
	}
}

// TestStages_removed takes the rollout from the Fleet: nothing of it stays.
func TestStages_removed(t *testing.T) {
	w := newWorld(t)
	w.plan("one")
	w.turns()
	w.put(api.FleetKind, "all", `"spec":{"clusterSelector":{}}`)
	w.must(w.decideAll(t.Context()))
	if turns, rollouts := w.keys(store.Turns.PageKeys), w.keys(store.Rollouts.PageKeys); turns+rollouts != 0 {
		t.Errorf("%d turns and %d rollouts", turns, rollouts)
	}
	if len(w.facts) != 0 {
		t.Errorf("facts about %d clusters are kept", len(w.facts))
	}
}

func (w *world) keys(page func(*store.Tx, string, string, int) ([]string, string, error)) (n int) {
	w.Helper()
	w.must(w.Store.View(w.Context(), func(tx *store.Tx) error {
		keys, _, err := page(tx, "", "", 100)
		n = len(keys)
		return err
	}))
	return n
}

// TestStages_damaged has rows that cannot be read: no other cluster notices, and the row is made anew.
func TestStages_damaged(t *testing.T) {
	for _, table := range []string{store.Turns.Name(), store.Rollouts.Name(), store.Plans.Name()} {
		t.Run(table, func(t *testing.T) {
			w := newWorld(t)
			w.plan("one")
			w.turns()
			w.damage(table, map[string]string{store.Turns.Name(): store.TurnKey("west", "all"),
				store.Rollouts.Name(): store.RolloutKey("all", 1), store.Plans.Name(): "west"}[table])
			w.plan("two")
			if got := w.turns(); got != "two two" {
				t.Errorf("the clusters have %s: %s", got, w.latest())
			}
		})
	}
}

// damage makes a row of a table unreadable.
func (w *world) damage(table, key string) {
	w.Helper()
	w.Store.Close()
	db, err := bbolt.Open(w.path, 0o600, nil)
	w.must(err)
	defer w.open()
	defer db.Close()
	w.must(db.Update(func(tx *bbolt.Tx) error { return tx.Bucket([]byte(table)).Put([]byte(key), []byte("{rubbish")) }))
}
