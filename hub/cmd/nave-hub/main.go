// Command nave-hub is the control plane: it reads sources, renders and signs what each cluster should run, and carries
// it to the spokes that dial in.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/navefleet/nave/hub"
	"github.com/navefleet/nave/hub/internal/render/worker"
	"github.com/navefleet/nave/shared/telemetry"
	"github.com/navefleet/nave/shared/version"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	if err := newCommand().ExecuteContext(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "nave-hub:", err)
		stop()
		os.Exit(1)
	}
}

// workerCommand is the hidden command that makes this binary a render worker.
const workerCommand = "render-worker"

func newCommand() *cobra.Command {
	var c hub.Config
	var format, level string
	command := &cobra.Command{
		Use:           "nave-hub",
		Short:         "The hub of a fleet: renders, signs and distributes what every cluster should run",
		Args:          cobra.NoArgs,
		Version:       version.String(),
		SilenceUsage:  true,
		SilenceErrors: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			log, err := telemetry.NewLogger(cmd.ErrOrStderr(), format, level)
			if err != nil {
				return err
			}
			c.Log = log
			return run(cmd.Context(), c)
		},
	}
	f := command.Flags()
	f.StringVar(&c.DataDir, "data-dir", "/var/lib/nave", "folder for everything that must survive")
	f.StringVar(&c.SourceDir, "source-dir", "", "folder for caches and artifacts of sources (default <data-dir>/sources)")
	f.StringVar(&c.Listen, "listen", hub.DefaultListen, "address for spokes and operators: gRPC with mutual TLS")
	f.StringVar(&c.HTTPListen, "http-listen", hub.DefaultHTTPListen, "address for /metrics, /healthz and /readyz")
	f.StringArrayVar(&c.Advertise, "advertise", nil, "host:port where this hub is reached (repeatable; the first goes into join manifests)")
	f.StringVar(&c.SpokeImage, "spoke-image", "", "container image of the spoke in join manifests")
	f.DurationVar(&c.BundleTTL, "bundle-ttl", hub.DefaultBundleTTL, "how long a signed bundle is valid without this hub")
	f.DurationVar(&c.CertificateTTL, "certificate-ttl", hub.DefaultCertificateTTL, "lifetime of spokes' certificates, renewed at half of it")
	f.StringVar(&format, "log-format", "text", "text or json")
	f.StringVar(&level, "log-level", "info", "debug, info, warn or error")
	command.AddCommand(newWorkerCommand())
	return command
}

// run starts the hub with this binary as its render worker.
func run(ctx context.Context, c hub.Config) error {
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find this program, to start render workers: %w", err)
	}
	c.RenderWorker = []string{self, workerCommand}
	h, err := hub.New(c)
	if err != nil {
		return err
	}
	return h.Run(ctx)
}

func newWorkerCommand() *cobra.Command {
	return &cobra.Command{
		Use:    workerCommand,
		Short:  "Render what the hub asks for on standard input",
		Hidden: true,
		Args:   cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			return worker.ServeWorker(os.Stdin, os.Stdout)
		},
	}
}
