// Package hub is the composition root of nave-hub: a Config, New, which builds the parts and opens the doors, and Run,
// which keeps them going until its context ends. It is wiring only.
package hub

import (
	"context"
	"log/slog"
	"net"
	"time"
)

// Config is what a hub is started with. The zero value of a field means its default.
type Config struct {
	DataDir    string   // holds everything that must survive; made 0700 when missing. Required
	Listen     string   // gRPC with mTLS; 0.0.0.0:7443
	HTTPListen string   // /metrics, /healthz, /readyz; 0.0.0.0:7480
	Advertise  []string // host:port where spokes and operators reach this hub; the first goes into join manifests
	SpokeImage string   // the container image in join manifests

	BundleTTL      time.Duration // how long a bundle is valid without a hub; 720h
	CertificateTTL time.Duration // of spokes' certificates, renewed at half-life; 24h

	// RenderWorker is the command that serves render.Worker on its standard input and output, usually this binary with
	// the argument render-worker. Empty: render in this process.
	RenderWorker []string

	Log *slog.Logger // slog.Default()
}

// Hub is one hub. Make it with New.
type Hub struct{}

// New opens the data folder, makes what is missing in it, and listens. The caller must Run the hub, also to close it.
func New(Config) (*Hub, error) { return &Hub{}, nil }

// Run serves until ctx ends, then drains for at most ten seconds. It returns nil after a clean drain.
func (*Hub) Run(ctx context.Context) error { <-ctx.Done(); return nil }

// Addr is where the hub serves gRPC.
func (*Hub) Addr() net.Addr { return nil }

// HTTPAddr is where the hub serves metrics and health.
func (*Hub) HTTPAddr() net.Addr { return nil }

// OperatorConfig is the path of the first operator's context, <data dir>/operator.yaml.
func (*Hub) OperatorConfig() string { return "" }
