// Package loop runs the hub's loops: it watches tables, reads the first state, hands over changes, and tries again
// after an error. No change is lost: the watch begins before the first read, and changes whose handling failed are
// handed over again, together with newer ones.
package loop

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"slices"
	"time"

	"github.com/navefleet/nave/hub/internal/store"
	"github.com/navefleet/nave/shared/telemetry"
)

// retry is how long a loop waits after an error, of a full disk for example.
const retry = 5 * time.Second

// Loop is one loop over the store. All its functions run in the goroutine of Run, which owns their state.
type Loop struct {
	Name   string // for the log
	Store  *store.Store
	Tables []string     // whose changes concern the loop
	Log    *slog.Logger // nil: slog.Default

	// Load reads the first state; nil: none is needed. After an error Load is called again.
	Load func(context.Context) error
	// Note notes the rows that changed. After an error Note is called again with the same changes and newer ones.
	Note func(context.Context, []store.Change) error
	// Work does the work of the loop, and returns how long the loop can wait if no row changes.
	Work func(context.Context) (time.Duration, error)
	// Results carries functions from other goroutines to the loop, which calls each once; nil: there are none.
	Results <-chan func(context.Context) error
}

// Run runs the loop until ctx ends, and then returns nil. If the store is closed before, Run returns store.ErrClosed.
// Run logs any other error, and calls the function that failed again after five seconds.
func (l Loop) Run(ctx context.Context) error {
	l.Log = cmp.Or(l.Log, slog.Default())
	t := turns{Loop: l, loaded: l.Load == nil, watcher: l.Store.Watch(ctx, l.Tables...)}
	defer t.watcher.Close()
	for {
		err := t.turn(ctx)
		for err != nil && ctx.Err() == nil {
			if errors.Is(err, store.ErrClosed) {
				return err
			}
			l.Log.ErrorContext(ctx, "a loop failed and will try again", slog.String("loop", l.Name), telemetry.Err(err))
			err = t.wait(ctx, retry, nil) // changes stay with the watcher meanwhile
		}
		if ctx.Err() != nil {
			return nil
		}
	}
}

// turns is a running Loop.
type turns struct {
	Loop
	loaded  bool
	watcher *store.Watcher
	changes []store.Change // not noted yet
}

// turn calls Load if needed, Note if rows changed, and Work, and then waits until there may be more work.
func (t *turns) turn(ctx context.Context) error {
	if !t.loaded {
		if err := t.Load(ctx); err != nil {
			return err
		}
		t.loaded = true
	}
	if t.collect(); len(t.changes) > 0 {
		if err := t.Note(ctx, t.changes); err != nil {
			return err
		}
		t.changes = nil
	}
	pause, err := t.Work(ctx)
	if err != nil {
		return err
	}
	return t.wait(ctx, pause, t.watcher.C())
}

// collect adds the newest changes, each once.
func (t *turns) collect() {
	select {
	case <-t.watcher.C(): // the signal of the changes that are taken now
	default:
	}
	t.changes = append(t.changes, t.watcher.Take()...)
	slices.SortFunc(t.changes, store.Change.Compare)
	t.changes = slices.Compact(t.changes)
}

// wait returns after pause, or sooner if rows change, a result comes or ctx ends. Its error is that of the result, or
// store.ErrClosed.
func (t *turns) wait(ctx context.Context, pause time.Duration, changed <-chan struct{}) error {
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	case result := <-t.Results:
		return result(ctx)
	case _, open := <-changed:
		if !open {
			return store.ErrClosed
		}
	}
	return nil
}
