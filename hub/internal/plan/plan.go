// Package plan decides what every cluster should run.
package plan

import (
	"context"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/navefleet/nave/hub/internal/render"
	"github.com/navefleet/nave/hub/internal/store"
)

// Config is what a Planner is made of.
type Config struct {
	Store    *store.Store
	Renderer render.Renderer
	Log      *slog.Logger          // nil: slog.Default
	Metrics  prometheus.Registerer // nil: none
	Now      func() time.Time      // nil: time.Now
}

// Planner keeps the plans of all clusters true.
type Planner struct{ config Config }

// New returns a planner that does nothing until Run.
func New(c Config) *Planner { return &Planner{c} }

// Run plans until ctx ends. It returns the error of the store, if that is what ended it.
func (p *Planner) Run(ctx context.Context) error { <-ctx.Done(); return nil }
