package upgrade

import (
	"cmp"
	"context"
	"log/slog"
	"time"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/loop"
	"github.com/navefleet/nave/hub/internal/store"
)

const (
	leastPause = time.Second      // between two decisions
	checkEvery = 10 * time.Second // while spokes are upgraded: deadlines pass without a change of a row
	share      = 20               // a decision takes at most one part in so many of the time
	rereadRows = 10 * time.Minute // its own rows: one may have been damaged
	maxRows    = 1000             // of one transaction, so that no other writer waits for a whole fleet
)

// Config configures a Loop.
type Config struct {
	Store *store.Store
	Log   *slog.Logger     // nil: slog.Default
	Now   func() time.Time // nil: time.Now
}

// Loop decides which spokes are upgraded. Its fields belong to the goroutine of Run.
type Loop struct {
	Config
	up       time.Time // when it was made
	wants    wanted
	images   map[string]image // that wants leads to, by cluster; nil: not known
	limits   map[string]int
	facts    map[string]facts         // that are known, by cluster
	rows     map[string]store.Upgrade // of the store, by cluster; nil: not known
	rowsRead time.Time                // when rows were read
	dirty    bool                     // a row changed since the last decision
	busy     bool                     // upgrades are under way
	next     time.Time                // the earliest time of the next decision, on the monotonic clock
}

// New returns a loop. Run starts it.
func New(c Config) *Loop {
	c.Log = cmp.Or(c.Log, slog.Default())
	if c.Now == nil {
		c.Now = time.Now
	}
	return &Loop{Config: c, up: c.Now(), facts: map[string]facts{}}
}

// Run decides until ctx ends or the store is closed.
func (l *Loop) Run(ctx context.Context) error {
	return loop.Loop{
		Name: "upgrade", Store: l.Store, Log: l.Log,
		Tables: []string{store.Resources.Name(), store.Spokes.Name(), store.Pins.Name()},
		Load:   l.load, Note: l.note, Work: l.work,
	}.Run(ctx)
}

// note reads the Clusters and Fleets that changed again, and forgets the facts that changed.
func (l *Loop) note(ctx context.Context, changes []store.Change) error {
	for _, c := range changes {
		if c.Key == "" {
			return l.load(ctx)
		}
		if c.Table != store.Resources.Name() { // its key is the name of a cluster
			l.dirty = true
			delete(l.facts, c.Key)
		}
		key, ok := api.ParseKey(c.Key)
		if c.Table != store.Resources.Name() || !ok || key.Role() != api.ClusterRole && key.Role() != api.FleetRole {
			continue
		}
		l.dirty = true
		if err := l.read(ctx, key); err != nil {
			return err
		}
	}
	return nil
}

// work decides if something changed or a deadline may have passed, and returns how long to wait. It reads its own rows
// again from time to time, since nothing tells that one was damaged.
func (l *Loop) work(ctx context.Context) (time.Duration, error) {
	start := time.Now()
	if l.rows != nil && l.Now().Sub(l.rowsRead) >= rereadRows {
		l.rows, l.dirty = nil, true
	}
	if wait := l.next.Sub(start); wait > 0 && (l.dirty || l.busy) {
		return wait, nil
	}
	if l.dirty || l.busy {
		if err := l.decide(ctx); err != nil {
			return 0, err
		}
		l.dirty = false
		pause := max(leastPause, share*time.Since(start))
		l.next = time.Now().Add(pause)
	}
	return checkEvery, nil
}
