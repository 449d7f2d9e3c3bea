package watch

import (
	"slices"
	"sync"

	"github.com/navefleet/nave/shared/manifest"
	"github.com/navefleet/nave/shared/wait"
)

// outbox holds the latest observation of each object until somebody takes it.
type outbox struct {
	signal wait.Signal

	mu      sync.Mutex // guards waiting
	waiting map[manifest.ID]Observation
}

func newOutbox() *outbox {
	return &outbox{signal: wait.NewSignal(), waiting: map[manifest.ID]Observation{}}
}

// add replaces what waits for the same object, without losing drift that was not taken yet.
func (b *outbox) add(o Observation) {
	b.mu.Lock()
	defer b.mu.Unlock()
	id := o.Object.ID()
	if old, ok := b.waiting[id]; ok && !o.Drift.Any() {
		o.Drift, o.RetryAt = old.Drift, old.RetryAt
	}
	b.waiting[id] = o
	b.signal.Raise()
}

func (b *outbox) drain() []Observation {
	b.mu.Lock()
	defer b.mu.Unlock()
	out := make([]Observation, 0, len(b.waiting))
	for _, o := range b.waiting {
		out = append(out, o)
	}
	clear(b.waiting)
	slices.SortFunc(out, func(a, b Observation) int { return manifest.Compare(a.Object.ID(), b.Object.ID()) })
	return out
}
