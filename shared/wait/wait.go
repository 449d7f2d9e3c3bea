// Package wait holds how loops pause and how they are woken up.
package wait

import (
	"context"
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

// Backoff is the pauses between attempts that fail: First, then twice the last one, at most Most. The zero Backoff has
// no pauses.
type Backoff struct {
	First, Most time.Duration
	next        time.Duration
}

// Next returns the pause after another failure.
func (b *Backoff) Next() time.Duration {
	pause := max(b.First, b.next)
	b.next = min(2*pause, b.Most)
	return pause
}

// Reset forgets all failures: the next pause is First.
func (b *Backoff) Reset() { b.next = 0 }
