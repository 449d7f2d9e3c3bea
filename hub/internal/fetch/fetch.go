// Package fetch keeps every source of the store fetched: one loop owns the schedule, a bounded pool fetches.
package fetch

import (
	"context"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/navefleet/nave/hub/internal/source"
	"github.com/navefleet/nave/hub/internal/source/git"
	"github.com/navefleet/nave/hub/internal/store"
)

// Fetcher is what fetches; git.Fetcher is one.
type Fetcher interface {
	Fetch(ctx context.Context, req git.Request, last *source.Artifact) (source.Artifact, error)
	// Sweep removes the artifacts whose directory keep does not want for longer than unused.
	Sweep(ctx context.Context, keep func(dir string) bool, unused time.Duration) error
}

// Config is what a Loop is made of.
type Config struct {
	Store   *store.Store
	Vault   *store.Vault
	Fetcher Fetcher
	Log     *slog.Logger          // nil: slog.Default
	Metrics prometheus.Registerer // nil: none
}

// Loop keeps the store's sources fetched.
type Loop struct{ config Config }

// New returns a loop that does nothing until Run.
func New(c Config) *Loop { return &Loop{c} }

// Run fetches until ctx ends. It returns the error of the store, if that is what ended it.
func (l *Loop) Run(ctx context.Context) error { <-ctx.Done(); return nil }
