package watch

import (
	"context"
	"log/slog"
	"time"

	"github.com/navefleet/nave/spoke/internal/inventory"
	"github.com/navefleet/nave/spoke/internal/kube"
)

// Config is what a Watcher works with.
type Config struct {
	Client *kube.Client
	Index  *inventory.Index
	Log    *slog.Logger     // nil: silent
	Now    func() time.Time // nil: time.Now
}

// Watcher watches what the index says is ours.
type Watcher struct {
	Config
}

// New returns a Watcher that does nothing before Run.
func New(c Config) *Watcher { return &Watcher{Config: c} }

// Run watches until the context ends.
func (w *Watcher) Run(ctx context.Context) error { <-ctx.Done(); return nil }

// C is signalled when Take has something to return.
func (w *Watcher) C() <-chan struct{} { return nil }

// Take returns the latest observation of each object since the last Take, in the order of apply.
func (w *Watcher) Take() []Observation { return nil }

// Synced reports whether every kind in the index was listed once since it is watched.
func (w *Watcher) Synced() bool { return false }
