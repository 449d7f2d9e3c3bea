// Command nave-hub is the control plane: it fetches sources, renders and signs a bundle for each cluster, and sends the
// bundles to the spokes, which connect to it.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"sigs.k8s.io/yaml"

	"github.com/navefleet/nave/hub"
	"github.com/navefleet/nave/hub/internal/render/worker"
	fetchworker "github.com/navefleet/nave/hub/internal/source/worker"
	"github.com/navefleet/nave/hub/internal/trace"
	"github.com/navefleet/nave/shared/daemon"
	"github.com/navefleet/nave/shared/telemetry"
)

func main() { daemon.Main(newCommand()) }

func newCommand() *cobra.Command {
	var c hub.Config
	var otlp string
	command := daemon.Command("nave-hub",
		"The hub of a fleet: renders, signs and distributes what every cluster should run",
		func(ctx context.Context, log *slog.Logger, _ int64) error {
			c.Log = log
			var err error
			if c.Trace, err = trace.FromEnvironment(otlp, os.Getenv); errors.Is(err, trace.ErrProtocol) {
				log.Warn("no traces are exported", telemetry.Err(err)) // the variable may be meant for other programs
			} else if err != nil {
				return err
			}
			return run(ctx, c)
		})
	addServerFlags(command.Flags(), &c)
	command.Flags().StringVar(&otlp, "tracing-endpoint", "", "where to export traces, by OTLP over HTTP, such as "+
		"http://collector:4318 (default $OTEL_EXPORTER_OTLP_ENDPOINT; without both, none are exported)")
	addSourceFlags(command.Flags(), &c)
	addPlanFlags(command.Flags(), &c)
	command.AddCommand(
		newWorkerCommand(worker.Command, "Render what the hub asks for on standard input", hub.ServeRenderWorker),
		newWorkerCommand(fetchworker.Command, "Fetch what the hub asks for on standard input", fetchworker.ServeWorker),
		newOperatorCommand(), newBackupCommand(), newRestoreCommand(),
	)
	return command
}

// addServerFlags adds the flags about the data, the addresses, the keys and the certificates of the hub.
func addServerFlags(f *pflag.FlagSet, c *hub.Config) {
	f.StringVar(&c.DataDir, "data-dir", "/var/lib/nave", "folder for all data that must survive a restart")
	f.StringVar(&c.SourceDir, "source-dir", "", "folder for caches and artifacts of sources (default <data-dir>/sources)")
	f.StringVar(&c.Listen, "listen", hub.DefaultListen, "address for spokes and operators: gRPC with mutual TLS")
	f.StringVar(&c.HTTPListen, "http-listen", hub.DefaultHTTPListen, "address for /metrics, /healthz and /readyz")
	f.BoolVar(&c.Profiles, "pprof", false, "serve Go's profiles at /debug/pprof/ of --http-listen, to whoever reaches it")
	f.IntVar(&c.MetricsResources, "metrics-resources", hub.DefaultMetricsResources, "how many objects of the graphs of "+
		"clusters have series of their own in /metrics; if there are more, they are counted only")
	f.StringArrayVar(&c.Advertise, "advertise", nil,
		"host:port where this hub is reached (repeatable; the first goes into join manifests)")
	f.StringVar(&c.SpokeImage, "spoke-image", "", "container image of the spoke in join manifests")
	f.DurationVar(&c.BundleTTL, "bundle-ttl", hub.DefaultBundleTTL, "how long a signed bundle is valid without this hub")
	f.DurationVar(&c.CertificateTTL, "certificate-ttl", hub.DefaultCertificateTTL,
		"lifetime of spokes' certificates, renewed at half of it")
	f.StringArrayVar(&c.NewKeys, "new-key", nil, "make this key anew if it is missing beside a used store: signing.key, "+
		"ca or vault.key; for one start only (repeatable)")
}

// addSourceFlags adds the flags about servers of sources, and credentials for them.
func addSourceFlags(f *pflag.FlagSet, c *hub.Config) {
	f.StringArrayVar(&c.AllowSourceAddresses, "allow-source-address", nil,
		"address or range of servers that sources may name although it is denied by default, such as 127.0.0.0/8 "+
			"(repeatable)")
	f.BoolVar(&c.DenyPrivateSources, "deny-private-sources", false,
		"deny sources whose server has a private address (10.0.0.0/8, fc00::/7, …)")
	f.StringArrayVar(&c.DenySourceAddresses, "deny-source-address", nil,
		"address, range or host of servers that no source may name, such as 10.1.0.0/16 or internal.example.com, which "+
			"stands for all hosts below it, too (repeatable; wins over --allow-source-address)")
	f.StringVar(&c.CredentialProviderConfig, "credential-provider-config", "",
		"file with a CredentialProviderConfig of the kubelet: programs that give the credentials of sources on OCI "+
			"registries with spec.provider aws, azure or gcp")
	f.StringVar(&c.CredentialProviderBinDir, "credential-provider-bin-dir", "",
		"folder of the programs that --credential-provider-config names")
	f.StringVar(&c.DockerCredentialHelperDir, "docker-credential-helper-dir", "",
		"folder of Docker's credential helpers, docker-credential-NAME, that a Secret of type "+
			"kubernetes.io/dockerconfigjson may name in credHelpers and credsStore")
	f.StringArrayVar(&c.CredentialHelpers, "git-credential-helper", nil,
		"PROVIDER=COMMAND: a git credential helper for GitRepositories with this spec.provider, aws or azure (repeatable)")
}

// addPlanFlags adds the flags about what is planned for clusters.
func addPlanFlags(f *pflag.FlagSet, c *hub.Config) {
	f.IntVar(&c.Guard.Applications, "guard-applications", hub.DefaultGuard.Applications,
		"the least number of applications of a cluster of which --guard-percent is counted")
	f.IntVar(&c.Guard.Percent, "guard-percent", hub.DefaultGuard.Percent,
		"how many of a cluster's applications one change in Git may remove without nave confirm, in percent; "+
			"the removal of all is always held")
	f.StringArrayVar(&c.RemoteBaseHosts, "remote-base-host", nil,
		"host, or host:port, from which remote bases and files of kustomization files are fetched, such as github.com "+
			"(repeatable; a redirect to another host needs that one, too)")
	f.BoolVar(&c.TenantRemoteBases, "tenant-remote-bases", false,
		"fetch remote bases of Kustomizations that run with a service account, too")
	f.BoolVar(&c.NoCrossNamespaceRefs, "no-cross-namespace-refs", false,
		"refuse sources of another namespace than the Kustomization's, as in Flux")
	f.BoolVar(&c.LenientSubstitution, "lenient-substitution", false,
		"replace an unset variable by empty text, instead of refusing the Kustomization, as Flux does with its "+
			"feature gate StrictPostBuildSubstitutions=false")
}

// run starts the hub with this binary as its workers.
func run(ctx context.Context, c hub.Config) error {
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find this program, to start workers: %w", err)
	}
	c.RenderWorker = []string{self, worker.Command}
	c.FetchWorker = []string{self, fetchworker.Command}
	h, err := hub.New(ctx, c)
	if err != nil {
		return err
	}
	return h.Run(ctx)
}

// newWorkerCommand returns a hidden command that makes this binary a worker of the hub that started it.
func newWorkerCommand(name, short string, serve func(io.Reader, io.Writer) error) *cobra.Command {
	return &cobra.Command{
		Use:    name,
		Short:  short,
		Hidden: true,
		Args:   cobra.NoArgs,
		RunE:   func(*cobra.Command, []string) error { return serve(os.Stdin, os.Stdout) },
	}
}

func newOperatorCommand() *cobra.Command {
	var dataDir, name, address string
	var ttl time.Duration
	command := &cobra.Command{
		Use:   "operator-config",
		Short: "Print a configuration for nave with a new operator's certificate",
		Long: "Print a configuration for nave with a new operator's certificate, issued from the authority in the data " +
			"folder.\n" +
			"Access to that folder is access to the whole hub, so the command needs no permission. The hub may be running.\n" +
			"The operator is an admin, unless the role of this name was set with nave operator set.",
		Example: "  kubectl -n nave-hub exec nave-hub-0 -- /nave-hub operator-config --hub hub.example.com:7443 > " +
			"~/.config/nave/config",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := hub.IssueOperator(dataDir, name, address, ttl)
			if err != nil {
				return err
			}
			b, err := yaml.Marshal(c)
			if err != nil {
				return err
			}
			_, err = cmd.OutOrStdout().Write(b)
			return err
		},
	}
	f := command.Flags()
	f.StringVar(&dataDir, "data-dir", "/var/lib/nave", "the hub's data folder")
	f.StringVar(&name, "name", "admin", "name of the operator, for the hub's log")
	f.StringVar(&address, "hub", "", "host:port where the operator reaches the hub")
	f.DurationVar(&ttl, "ttl", hub.DefaultOperatorTTL, "how long the certificate is valid")
	_ = command.MarkFlagRequired("hub")
	return command
}
