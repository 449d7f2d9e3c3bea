// Package wait holds how loops pause and how they are woken up.
package wait

import (
	"context"
	"math/rand/v2"
	"time"
)

// For waits for a duration and returns nil. If the context ends first, For returns the cause of that.
func For(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// Signal wakes up one receiver. Signals that nobody received yet are one signal.
type Signal chan struct{}

// NewSignal returns a signal that is not raised.
func NewSignal() Signal { return make(Signal, 1) }

// Raise wakes up the receiver, now or when it next receives. It never blocks.
func (s Signal) Raise() {
	select {
	case s <- struct{}{}:
	default: // the signal is raised already
	}
}

// Wait waits until the signal is raised and returns nil. If the context ends first, Wait returns the cause of that.
func (s Signal) Wait(ctx context.Context) error {
	select {
	case <-s:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// Backoff is the pauses between attempts that fail. The first pause is First, each further one is twice as long, and
// none is longer than Most. Spread is the share of a pause that is left to chance, from 0 to 1, so that clients which
// failed together do not come back together: with a Spread of 0.5 a pause lasts from one half of its length to all of
// it. The zero Backoff has no pauses.
type Backoff struct {
	First, Most time.Duration
	Spread      float64
	Chance      func() float64 // in [0,1); nil: rand.Float64
	failures    int
}

// After returns the pause after so many failures in a row, at least one.
func (b *Backoff) After(failures int) time.Duration {
	pause := b.First
	for ; failures > 1 && pause < b.Most; failures-- {
		pause *= 2
	}
	pause = min(pause, b.Most)
	if b.Spread == 0 {
		return pause
	}
	chance := b.Chance
	if chance == nil {
		chance = rand.Float64
	}
	least := pause - time.Duration(b.Spread*float64(pause))
	return least + time.Duration(chance()*float64(pause-least))
}

// Next returns the pause after another failure.
func (b *Backoff) Next() time.Duration {
	b.failures++
	return b.After(b.failures)
}

// Pause waits for Next and returns nil. If the context ends first, Pause returns the cause of that.
func (b *Backoff) Pause(ctx context.Context) error { return For(ctx, b.Next()) }

// Reset forgets all failures: the next pause is First.
func (b *Backoff) Reset() { b.failures = 0 }
