package publish

import (
	"context"
	"strconv"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/navefleet/nave/hub/internal/store"
	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/manifest"
	"github.com/navefleet/nave/shared/signing"
)

// TestClock sets the hub's clock while Run runs. Soon after the clock is right again, a bundle with a wrong time is
// replaced by one with the right time, although no plan changed.
func TestClock(t *testing.T) {
	for name, off := range map[string]time.Duration{"year_ahead": 365 * 24 * time.Hour,
		"year_behind": -365 * 24 * time.Hour} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBench(t)
				var offset atomic.Int64 // of the hub's clock
				b.Publisher.Now = func() time.Time { return time.Now().Add(time.Duration(offset.Load())) }
				offset.Store(int64(off))
				b.name("east")
				ctx, cancel := context.WithCancel(t.Context())
				ended := make(chan error, 1)
				go func() { ended <- b.Publisher.Run(ctx) }()
				synctest.Wait()
				wrong := b.current("east")
				if age := time.Since(wrong.IssuedAt); age.Abs() < 300*24*time.Hour {
					t.Fatalf("the first bundle was issued at %s by a wrong clock, which it is not", wrong.IssuedAt)
				}
				offset.Store(0)
				time.Sleep(clockEvery)
				synctest.Wait()
				right := b.current("east")
				if age := time.Since(right.IssuedAt); age < 0 || age > clockEvery {
					t.Errorf("%s after the clock was set right the bundle on offer is from %s, now is %s", clockEvery, right.IssuedAt,
						time.Now())
				}
				if right.Sequence <= wrong.Sequence {
					t.Errorf("sequence %d follows %d", right.Sequence, wrong.Sequence)
				}
				time.Sleep(sweepEvery / 2)
				synctest.Wait()
				if again := b.current("east"); again.Sequence != right.Sequence {
					t.Errorf("later the bundle was signed anew: sequence %d, was %d", again.Sequence, right.Sequence)
				}
				cancel()
				b.must(<-ended)
			})
		})
	}
}

// TestClock_busy_store checks that constant changes of the rows of spokes do not stop bundles from being refreshed.
func TestClock_busy_store(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		b.Publisher.Now, b.TTL = time.Now, time.Hour
		b.name("east")
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- b.Publisher.Run(ctx) }()
		synctest.Wait()
		first := b.current("east")
		for i := range int(b.TTL * 3 / 4 / (clockEvery - 1)) {
			time.Sleep(clockEvery - 1)
			b.say("east", i)
		}
		synctest.Wait()
		if b.current("east").Sequence == first.Sequence {
			t.Error("the bundle is as it was, three quarters of its life later")
		}
		cancel()
		b.must(<-ended)
	})
}

// name writes a plan that names an application. The application is not stored, because compressing it would need
// goroutines outside of the bubble.
func (b *bench) name(cluster string) {
	entry := bundle.Entry{Name: bundle.ApplicationName{Kind: "Kustomization", Namespace: "flux-system", Name: "app"},
		Digest: manifest.DigestOf([]byte("app"))}
	b.update(func(tx *store.Tx) error {
		return store.Plans.Put(tx, cluster, store.Plan{Applications: []store.Entry{store.EntryOf("all", entry)}})
	})
}

// say changes the row of a spoke without a need for another bundle.
func (b *bench) say(cluster string, what int) {
	d, _ := b.signed(cluster)
	b.update(func(tx *store.Tx) error {
		return store.Spokes.Put(tx, cluster, store.Spoke{Version: strconv.Itoa(what),
			Acks: map[bundle.Stage]bundle.ID{bundle.Received: d.Bundle}})
	})
}

// current returns the present bundle of a cluster.
func (b *bench) current(cluster string) *bundle.Bundle {
	b.T.Helper()
	d, ok := b.signed(cluster)
	if !ok {
		b.T.Fatal("no bundle")
	}
	e, err := signing.DecodeEnvelope(d.Envelope)
	b.must(err)
	opened, err := bundle.DecodeBundle(e.Payload)
	b.must(err)
	return opened
}
