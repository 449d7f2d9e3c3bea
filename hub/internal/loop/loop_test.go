package loop

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/navefleet/nave/hub/internal/store"
)

// bench is a loop over a store in memory that notes the calls of its functions.
type bench struct {
	*testing.T
	store   *store.Store
	results chan func(context.Context) error
	mu      sync.Mutex
	fail    map[string]int // how often a step is to fail
	calls   []string       // since the last look
	ended   chan error
	stop    context.CancelFunc
}

var errFull = errors.New("the disk is full")

func start(t *testing.T, fail map[string]int) *bench {
	b := &bench{T: t, fail: fail, ended: make(chan error, 1),
		store: store.OpenMemory(store.Twice), results: make(chan func(context.Context) error)}
	loop := Loop{Name: "test", Store: b.store, Tables: []string{store.Plans.Name()},
		Log: slog.New(slog.DiscardHandler), Results: b.results}
	loop.Load = func(context.Context) error { return b.step("load") }
	loop.Note = func(_ context.Context, changes []store.Change) error {
		for _, c := range changes {
			_ = b.step(c.Key)
		}
		return b.step("note")
	}
	loop.Work = func(context.Context) (time.Duration, error) { return time.Hour, b.step("work") }
	ctx, stop := context.WithCancel(t.Context())
	b.stop = stop
	go func() { b.ended <- loop.Run(ctx) }()
	return b
}

func (b *bench) step(name string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.calls = append(b.calls, name)
	if b.fail[name] > 0 {
		b.fail[name]--
		return errFull
	}
	return nil
}

func (b *bench) put(cluster string, at int) {
	b.Helper()
	err := b.store.Update(b.Context(), func(tx *store.Tx) error {
		return store.Plans.Put(tx, cluster, store.Plan{ChangedAt: time.Unix(int64(at), 0)})
	})
	if err != nil {
		b.Fatal(err)
	}
}

// failing makes a step fail so many times.
func (b *bench) failing(step string, times int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.fail[step] = times
}

// expect waits until the loop rests, and compares its calls.
func (b *bench) expect(calls ...string) {
	b.Helper()
	synctest.Wait()
	b.mu.Lock()
	defer b.mu.Unlock()
	if !slices.Equal(b.calls, calls) {
		b.Errorf("calls %v, want %v", b.calls, calls)
	}
	b.calls = nil
}

func TestLoop(t *testing.T) {
	for name, run := range map[string]func(*bench){
		"change": func(b *bench) {
			b.put("a", 1)
			b.expect("a", "note", "work")
		},
		"pause": func(b *bench) {
			time.Sleep(time.Hour)
			b.expect("work")
		},
		"failed_note": func(b *bench) {
			b.failing("note", 1)
			b.put("a", 1)
			b.expect("a", "note")
			b.put("b", 1)
			b.put("a", 2)
			b.expect() // not before the time is over
			time.Sleep(retry)
			b.expect("a", "b", "note", "work")
		},
		"failed_work": func(b *bench) {
			b.failing("work", 2)
			b.put("a", 1)
			time.Sleep(2 * retry)
			b.expect("a", "note", "work", "work", "work")
		},
		"result": func(b *bench) {
			b.results <- func(context.Context) error { return b.step("result") }
			b.expect("result", "work")
		},
		"failed_result": func(b *bench) {
			b.results <- func(context.Context) error { return errors.Join(b.step("result"), errFull) }
			b.expect("result")
			time.Sleep(retry)
			b.expect("work")
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := start(t, map[string]int{})
				b.expect("load", "work")
				run(b)
				b.stop()
				if err := <-b.ended; err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// TestLoop_load checks that a failed first read is tried again, and that earlier changes are noted after it.
func TestLoop_load(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, map[string]int{"load": 1})
		b.expect("load")
		b.put("a", 1)
		time.Sleep(retry)
		b.expect("load", "a", "note", "work")
		b.stop()
		<-b.ended
	})
}

func TestLoop_closed_store(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, nil)
		synctest.Wait()
		if err := b.store.Close(); err != nil {
			t.Fatal(err)
		}
		if err := <-b.ended; !errors.Is(err, store.ErrClosed) {
			t.Errorf("ended with %v", err)
		}
		b.stop()
	})
}
