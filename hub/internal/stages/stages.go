package stages

import (
	"cmp"
	"context"
	"log/slog"
	"reflect"
	"strings"
	"time"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/loop"
	"github.com/navefleet/nave/hub/internal/store"
)

const (
	leastPause = 100 * time.Millisecond // between two decisions
	share      = 20                     // a decision takes at most one part in so many of the time
	longest    = time.Hour              // the wait if no decision depends on the time
	clockEvery = 5 * time.Second        // how often to look whether a time has come: the clock can be set
)

// Config configures a Loop.
type Config struct {
	Store *store.Store
	Log   *slog.Logger     // nil: slog.Default
	Now   func() time.Time // nil: time.Now
}

// Loop moves changes through the stages of Fleets. Its fields belong to the goroutine of Run.
type Loop struct {
	Config
	up       time.Time // when it was made
	fleets   map[string]*fleet
	clusters map[string]cluster // the Clusters
	facts    map[string]*facts  // about clusters, while a Fleet has a rollout
	stale    map[string]bool    // clusters whose facts must be read again
	all      bool               // the facts of all clusters must be read
	left     bool               // there may be rows of Fleets that have no rollout any more
	dirty    bool               // something changed since the last decision
	wake     time.Time          // when to decide again, on the hub's clock; zero: when something changes
	next     time.Time          // the earliest time of the next decision, on the monotonic clock
}

// New returns a loop. Run starts it.
func New(c Config) *Loop {
	c.Log = cmp.Or(c.Log, slog.Default())
	if c.Now == nil {
		c.Now = time.Now
	}
	return &Loop{Config: c, up: c.Now(), facts: map[string]*facts{}, stale: map[string]bool{}}
}

// Run decides until ctx ends or the store is closed.
func (l *Loop) Run(ctx context.Context) error {
	return loop.Loop{
		Name: "stages", Store: l.Store, Log: l.Log,
		Tables: []string{store.Resources.Name(), store.Plans.Name(), store.Releases.Name(), store.Pins.Name(),
			store.Spokes.Name(), store.SignedBundles.Name(), store.Refusals.Name(), store.Reports.Name(),
			store.Rollouts.Name(), store.Turns.Name()},
		Load: l.load, Note: l.note, Work: l.work,
	}.Run(ctx)
}

// load reads all Clusters and Fleets, and forgets all facts.
func (l *Loop) load(ctx context.Context) error {
	l.fleets, l.clusters = map[string]*fleet{}, map[string]cluster{}
	clear(l.facts)
	l.all, l.left, l.dirty = true, true, true
	return l.Store.View(ctx, func(tx *store.Tx) error {
		for _, prefix := range []string{api.ClusterKey("").Path(), api.FleetKey("").Path()} {
			err := store.Resources.ScanApart(tx, prefix, func(_ string, row store.Resource) error {
				l.set(row.Key, row)
				return nil
			}, func(string, error) error { return nil }) // nobody knows what a damaged row says
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// note notes the Clusters and Fleets that changed, and the clusters whose rows did.
func (l *Loop) note(ctx context.Context, changes []store.Change) error {
	var turns []string
	for _, c := range changes {
		if c.Key == "" {
			return l.load(ctx)
		}
		if c.Table == store.Resources.Name() {
			if err := l.noteResource(ctx, c.Key); err != nil {
				return err
			}
			continue
		}
		if len(l.fleets) == 0 {
			continue
		}
		if l.dirty = true; c.Table == store.Rollouts.Name() {
			name, _, _ := strings.Cut(c.Key, "/")
			if f := l.fleets[name]; f != nil {
				f.isStale = true
			}
			continue
		}
		if c.Table == store.Turns.Name() {
			turns = append(turns, c.Key)
			continue
		}
		l.stale[c.Cluster()] = true
	}
	return l.noteTurns(ctx, turns)
}

// noteTurns notes the clusters whose turns differ from those that the loop knows. The beginning of a rollout writes the
// turns of all clusters, about which the loop knows everything already.
func (l *Loop) noteTurns(ctx context.Context, keys []string) error {
	if len(keys) == 0 {
		return nil
	}
	return l.Store.View(ctx, func(tx *store.Tx) error {
		for _, key := range keys {
			turn, _, err := store.Turns.GetIntact(tx, key)
			if err != nil {
				return err
			}
			cluster, fleet, _ := strings.Cut(key, "/")
			if f := l.facts[cluster]; f == nil || !reflect.DeepEqual(f.turns[fleet], turn) {
				l.stale[cluster] = true
			}
		}
		return nil
	})
}

// noteResource reads a Cluster or Fleet again.
func (l *Loop) noteResource(ctx context.Context, path string) error {
	key, ok := api.ParseKey(path)
	if !ok || key.Role() != api.ClusterRole && key.Role() != api.FleetRole {
		return nil
	}
	l.dirty = true
	return l.Store.View(ctx, func(tx *store.Tx) error {
		row, _, err := store.Resources.GetIntact(tx, path)
		if err == nil {
			l.set(key, row)
		}
		return err
	})
}

// work decides if something changed or a time has come, and returns how long to wait.
func (l *Loop) work(ctx context.Context) (time.Duration, error) {
	if len(l.fleets) == 0 && !l.dirty {
		return longest, nil
	}
	start := time.Now()
	due := !l.wake.IsZero() && !l.Now().Before(l.wake)
	if wait := l.next.Sub(start); wait > 0 && (l.dirty || due) {
		return wait, nil
	}
	if l.dirty || due {
		if err := l.decideAll(ctx); err != nil {
			return 0, err
		}
		l.next = time.Now().Add(max(leastPause, share*time.Since(start)))
	}
	if l.wake.IsZero() {
		return longest, nil
	}
	return min(max(l.wake.Sub(l.Now()), leastPause), clockEvery), nil
}
