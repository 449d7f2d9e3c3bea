// Package spoke is the composition root of nave-spoke: a Config, New, which opens the state and makes the parts, and Run,
// which keeps them going until its context ends. It is wiring only.
//
// The session brings offers, the agent decides and applies, the watcher tells it what the cluster did with that, the
// reporter tells the hub. Only the agent's loop owns state; the parts know one another by the narrow interfaces they need.
//
// Layout of the state folder:
//
//	spoke.db          the last verified bundle with its blobs, still encrypted, and what was applied (spoke/internal/state)
//	spoke.db.damaged  the last such file that was damaged; nothing reads it
package spoke

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/identity"
	"github.com/navefleet/nave/shared/signing"
	"github.com/navefleet/nave/shared/telemetry"
	"github.com/navefleet/nave/shared/version"
	"github.com/navefleet/nave/spoke/internal/agent"
	"github.com/navefleet/nave/spoke/internal/apply"
	"github.com/navefleet/nave/spoke/internal/health"
	"github.com/navefleet/nave/spoke/internal/inventory"
	"github.com/navefleet/nave/spoke/internal/kube"
	"github.com/navefleet/nave/spoke/internal/report"
	"github.com/navefleet/nave/spoke/internal/session"
	"github.com/navefleet/nave/spoke/internal/state"
	"github.com/navefleet/nave/spoke/internal/trust"
	"github.com/navefleet/nave/spoke/internal/watch"
)

// Defaults of Config.
const (
	DefaultNamespace  = "nave-system"
	DefaultHTTPListen = "0.0.0.0:7481"
)

// Config is what a spoke is started with. The zero value of an optional field means its default.
type Config struct {
	Hub             string // host:port. Required
	Cluster         string // this cluster's name at the hub. Required
	TrustDomain     string // SPIFFE trust domain of the hub. Required
	JoinTokenFile   string // read when there is no identity yet
	CAPin           string // sha256:… of the hub's authority, for the same
	SigningKeysFile string // PEM PUBLIC KEY blocks: the keys that sign bundles. Required
	StateDir        string // made 0700 when missing. Required
	Kubeconfig      string // empty: the account of the Pod this runs in
	Namespace       string // where the spoke runs and keeps its identity; nave-system
	HTTPListen      string // /metrics, /healthz, /readyz; 0.0.0.0:7481
	PolicyFile      string // what bundles may do here, whatever they say; empty: everything
	// DefaultServiceAccount is that of Applications that name none, in the namespace of each; empty: the spoke's own rights.
	DefaultServiceAccount string
	Log                   *slog.Logger
	Now                   func() time.Time // the machine's clock, which may be set at any moment; nil: time.Now
}

// Spoke is one spoke. Make it with New.
type Spoke struct {
	config   Config
	keyring  *signing.Keyring
	policy   trust.Policy
	state    *state.Store
	client   *kube.Client
	registry *prometheus.Registry

	session  *session.Session
	reporter *report.Reporter
	watcher  *watch.Watcher
	agent    *agent.Agent

	listener net.Listener
	http     *http.Server
}

// New reads the files, opens the state and listens. It asks neither the hub nor the cluster. The caller must Run the
// spoke, also to close it.
func New(c Config) (s *Spoke, err error) {
	if c, err = c.withDefaults(); err != nil {
		return nil, fmt.Errorf("start spoke: %w", err)
	}
	s = &Spoke{config: c, registry: telemetry.NewRegistry()}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("start spoke: %w", err), s.close())
			s = nil
		}
	}()
	if err = s.readFiles(); err != nil {
		return s, err
	}
	if err = os.MkdirAll(c.StateDir, 0o700); err != nil {
		return s, err
	}
	if err = s.openState(); err != nil {
		return s, err
	}
	if s.client, err = kube.Connect(kube.Config{Kubeconfig: c.Kubeconfig}); err != nil {
		return s, err
	}
	if s.listener, err = net.Listen("tcp", c.HTTPListen); err != nil {
		return s, err
	}
	s.build()
	return s, nil
}

func (c Config) withDefaults() (Config, error) {
	for name, value := range map[string]string{
		"hub": c.Hub, "cluster": c.Cluster, "trust domain": c.TrustDomain, "signing keys": c.SigningKeysFile, "state folder": c.StateDir,
	} {
		if value == "" {
			return c, fmt.Errorf("no %s given", name)
		}
	}
	if _, _, err := net.SplitHostPort(c.Hub); err != nil {
		return c, fmt.Errorf("hub %q: want host:port: %w", c.Hub, err)
	}
	if _, err := identity.ParseID(c.id().String()); err != nil {
		return c, err
	}
	if account := c.DefaultServiceAccount; account != "" {
		if problems := validation.IsDNS1123Subdomain(account); len(problems) > 0 {
			return c, fmt.Errorf("default service account %q: %s", account, strings.Join(problems, "; "))
		}
	}
	if c.Namespace == "" {
		c.Namespace = DefaultNamespace
	}
	if c.HTTPListen == "" {
		c.HTTPListen = DefaultHTTPListen
	}
	if c.Log == nil {
		c.Log = telemetry.Discard()
	}
	return c, nil
}

// id is the identity that this spoke has, or will ask for.
func (c Config) id() identity.ID {
	return identity.ID{TrustDomain: c.TrustDomain, Role: identity.Cluster, Name: c.Cluster}
}

func (s *Spoke) readFiles() error {
	text, err := os.ReadFile(s.config.SigningKeysFile)
	if err != nil {
		return fmt.Errorf("signing keys: %w", err)
	}
	keys, err := signing.ParsePublicKeys(string(text))
	if err != nil {
		return fmt.Errorf("signing keys %s: %w", s.config.SigningKeysFile, err)
	}
	if s.keyring, err = signing.NewKeyring(keys...); err != nil {
		return fmt.Errorf("signing keys %s: %w", s.config.SigningKeysFile, err)
	}
	if s.config.PolicyFile == "" {
		return nil
	}
	if text, err = os.ReadFile(s.config.PolicyFile); err != nil {
		return fmt.Errorf("policy: %w", err)
	}
	s.policy, err = trust.ParsePolicy(text)
	return err
}

// openState opens the state, or a new one in place of a file that is damaged.
func (s *Spoke) openState() (err error) {
	path := filepath.Join(s.config.StateDir, "spoke.db")
	s.state, err = state.Open(path)
	if !errors.Is(err, state.ErrDamaged) {
		return err
	}
	damage := err
	var aside string
	s.state, aside, err = state.Renew(path)
	s.config.Log.Error("the state on disk is damaged: it was moved aside, and the spoke starts without it",
		telemetry.Err(damage), telemetry.Path(aside))
	return err
}

// build makes the parts.
func (s *Spoke) build() {
	c := s.config
	index := inventory.NewIndex()
	s.session = session.New(session.Config{
		Hub: c.Hub, Cluster: c.id(), JoinToken: c.joinToken, CAPin: c.CAPin,
		Identity: secretKeeper{s.client, c.Namespace}, Credential: &identity.Credential{},
		Kubernetes: s.kubernetesVersion, Version: version.String(), Protocol: version.Protocol,
		OnConnected: s.connected, Log: c.Log, Now: c.Now, Jitter: rand.Float64,
	})
	s.reporter = report.New(s.session, c.Log)
	s.watcher = watch.New(watch.Config{Client: s.client, Index: index, Log: c.Log})
	applier := apply.New(apply.Config{
		Client: s.client, Index: index, Allow: s.policy.Allows, Self: trust.Self{Namespace: c.Namespace}, Log: c.Log,
	})
	s.agent = agent.New(agent.Config{
		Cluster: c.id(), Keyring: s.keyring, Store: s.state, Hub: s.session, Applier: applier, Watcher: s.watcher, Index: index,
		Kubernetes: s.client, Check: s.check, DefaultServiceAccount: c.DefaultServiceAccount, Reporter: s.reporter, Metrics: agent.NewMetrics(s.registry),
		Log: c.Log, Now: c.Now, Jitter: rand.Float64,
	})
	s.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Namespace: telemetry.Namespace, Subsystem: "spoke", Name: "connected", Help: "1 while there is a session with the hub.",
	}, func() float64 {
		if s.session.Status() == "" {
			return 1
		}
		return 0
	}))
	s.http = &http.Server{Handler: telemetry.Handler(s.registry, s.ready), ReadHeaderTimeout: 10 * time.Second}
}

func (c Config) joinToken() (string, error) {
	if c.JoinTokenFile == "" {
		return "", nil
	}
	text, err := os.ReadFile(c.JoinTokenFile)
	return strings.TrimSpace(string(text)), err
}

func (s *Spoke) connected(yes bool) { s.reporter.Connected(yes) }

func (s *Spoke) check(ctx context.Context, namespace, account string, id bundle.ObjectIdentity) (health.Report, error) {
	client := s.client
	if account != "" {
		var err error
		if client, err = client.As(namespace, account); err != nil {
			return health.Report{}, err
		}
	}
	return health.Check(ctx, client, id)
}

// ready holds no matter whether there is a hub: a spoke without one goes on repairing.
func (s *Spoke) ready() error {
	if !s.agent.Ready() {
		return errors.New("the state on disk is not taken up yet")
	}
	return nil
}

// HTTPAddr returns where /metrics, /healthz and /readyz are served.
func (s *Spoke) HTTPAddr() string { return s.listener.Addr().String() }

// Run works until ctx ends. Then it starts nothing more, lets the applies that run end for at most ten seconds, and closes
// the state. It returns nil after a clean stop.
func (s *Spoke) Run(ctx context.Context) (err error) {
	defer func() { err = errors.Join(err, s.close()) }()
	g, parts := errgroup.WithContext(ctx)
	g.Go(func() error { return s.agent.Run(parts) })
	g.Go(func() error { return s.watcher.Run(parts) })
	g.Go(func() error { return s.reporter.Run(parts) })
	g.Go(func() error { return s.session.Run(parts) })
	g.Go(func() error {
		if err := s.http.Serve(s.listener); !errors.Is(err, http.ErrServerClosed) {
			return err
		}
		return nil
	})
	g.Go(func() error {
		<-parts.Done()
		return s.http.Close()
	})
	return g.Wait()
}

// close closes what New opened.
func (s *Spoke) close() error {
	var errs []error
	if s.listener != nil {
		if err := s.listener.Close(); !errors.Is(err, net.ErrClosed) {
			errs = append(errs, err)
		}
	}
	if s.state != nil {
		errs = append(errs, s.state.Close())
	}
	return errors.Join(errs...)
}
