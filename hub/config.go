package hub

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"time"

	"github.com/navefleet/nave/hub/internal/plan"
	"github.com/navefleet/nave/hub/internal/plan/graph"
	"github.com/navefleet/nave/hub/internal/publish"
	"github.com/navefleet/nave/hub/internal/registration"
	"github.com/navefleet/nave/hub/internal/render"
	fetchworker "github.com/navefleet/nave/hub/internal/source/worker"
	"github.com/navefleet/nave/hub/internal/statemetrics"
	"github.com/navefleet/nave/hub/internal/trace"
	"github.com/navefleet/nave/shared/identity"
)

// Config configures a hub. The zero value of a field means its default.
type Config struct {
	DataDir    string   // has all files that must survive; if it is missing, New makes it with mode 0700. Required
	SourceDir  string   // caches and artifacts of sources; DataDir/sources
	Listen     string   // gRPC with mTLS; 0.0.0.0:7443
	HTTPListen string   // /metrics, /healthz, /readyz; 0.0.0.0:7480
	Advertise  []string // host:port where spokes and operators reach this hub; the first goes into join manifests
	SpokeImage string   // the container image in join manifests

	Profiles         bool // serve Go's profiles at /debug/pprof/, too
	MetricsResources int  // how many objects of clusters' graphs have series of their own in /metrics; 5000

	Trace trace.Config // URL, Headers and Service of the receiver of traces; without a URL there are none

	BundleTTL      time.Duration // how long a bundle is valid without a hub; 720h
	CertificateTTL time.Duration // of spokes' certificates, renewed at half-life; 90 days

	// AllowSourceAddresses are addresses and ranges of servers that sources may name although they are denied by default:
	// loopback, link-local, this machine's own and the like (hub/internal/dial).
	AllowSourceAddresses []string
	DenyPrivateSources   bool // deny servers in private ranges, too
	// DenySourceAddresses are addresses, ranges and names of servers that no source may name, also if
	// AllowSourceAddresses has them. A name stands for all names below it, too.
	DenySourceAddresses []string
	// CredentialProviderConfig is a file with a CredentialProviderConfig of the kubelet, and CredentialProviderBinDir the
	// folder of its programs. They give the credentials of OCIRepositories with a provider. Empty: none.
	CredentialProviderConfig, CredentialProviderBinDir string
	// DockerCredentialHelperDir is a folder of credential helpers of Docker, which Docker configurations in Secrets of
	// operators' sources may name. Empty: none.
	DockerCredentialHelperDir string

	// CredentialHelpers are commands that return credentials of clouds, as PROVIDER=COMMAND (plugin.ParseGitHelpers).
	CredentialHelpers []string

	// RemoteBaseHosts are the hosts, as host or host:port, from which remote bases of kustomization files are fetched.
	// TenantRemoteBases lets Kustomizations that run with a service account have remote bases, too.
	RemoteBaseHosts   []string
	TenantRemoteBases bool

	// NoCrossNamespaceRefs refuses sources of another namespace in every graph, as the flag of Flux's controllers does.
	NoCrossNamespaceRefs bool
	// LenientSubstitution replaces unset variables by empty text, as Flux did before 2.9, instead of refusing the
	// Kustomization.
	LenientSubstitution bool
	// Guard limits the applications that one change in Git may remove from a cluster without confirmation: of
	// Guard.Applications or more at most Guard.Percent, and never all. Zero: DefaultGuard.
	Guard graph.Guard

	// RenderWorker is the command that serves ServeRenderWorker on its standard input and output, usually this binary
	// with the argument render-worker. Empty: render in this process, without its limits.
	RenderWorker []string
	// Renderers are used beside the hub's own, in this process, by the names that kinds use for them (package render).
	Renderers render.Renderers
	// FetchWorker is the command that serves the other ServeWorker, of hub/internal/source/worker. Empty: fetch in this
	// process, without its limits.
	FetchWorker []string
	// Fetchers are used beside the hub's own, in this process, by the kind that they fetch (package source).
	Fetchers fetchworker.Fetchers

	// NewKeys names keys that New may make if they are missing from a used data folder: signing.key, ca, vault.key. If a
	// missing key is not named, New returns an error. See lostKeys for the consequences of a new key.
	NewKeys []string

	Log *slog.Logger     // slog.Default()
	Now func() time.Time // the clock, which may be set while the hub runs; time.Now

	connections connections // defaultConnections
}

// Defaults of Config.
const (
	DefaultListen     = "0.0.0.0:7443"
	DefaultHTTPListen = "0.0.0.0:7480"

	DefaultBundleTTL      = publish.DefaultTTL
	DefaultCertificateTTL = registration.DefaultTTL

	DefaultMetricsResources = statemetrics.DefaultLimit
)

// DefaultGuard is the default of Config.Guard.
var DefaultGuard = graph.DefaultGuard

// remoteBases returns what the planner decides about remote bases by.
func (c Config) remoteBases() plan.RemoteBases {
	return plan.RemoteBases{Hosts: c.RemoteBaseHosts, Tenants: c.TenantRemoteBases}
}

// withDefaults returns c with every field set.
func (c Config) withDefaults() (Config, error) {
	if err := c.Guard.Check(); err != nil {
		return c, err
	}
	if err := c.remoteBases().Check(); err != nil {
		return c, err
	}
	for _, address := range c.Advertise {
		if err := identity.CheckAddress(address); err != nil {
			return c, fmt.Errorf("--advertise: %w", err)
		}
	}
	if c.DataDir == "" {
		return c, errors.New("the data folder is not set")
	}
	dir, err := filepath.Abs(c.DataDir)
	if err != nil {
		return c, fmt.Errorf("data folder: %w", err)
	}
	c.DataDir = dir
	c.SourceDir = cmp.Or(c.SourceDir, filepath.Join(dir, "sources"))
	c.Listen, c.HTTPListen = cmp.Or(c.Listen, DefaultListen), cmp.Or(c.HTTPListen, DefaultHTTPListen)
	c.BundleTTL = cmp.Or(c.BundleTTL, DefaultBundleTTL)
	c.CertificateTTL = cmp.Or(c.CertificateTTL, DefaultCertificateTTL)
	c.connections = cmp.Or(c.connections, defaultConnections)
	c.Log = cmp.Or(c.Log, slog.Default())
	if c.Now == nil {
		c.Now = time.Now
	}
	return c, nil
}
