// Package hub is the composition root of nave-hub: a Config, New, which builds the parts and opens the doors, and Run,
// which keeps them going until its context ends. It is wiring only.
//
// The parts meet in the store and nowhere else: fetch writes what sources hold, plan what each cluster should run,
// publish signs it, dispatch carries it to the spokes and writes what they say; registration and admin answer callers.
//
// Layout of the data folder:
//
//	hub.db         the store
//	ca/            ca.crt, ca.key: the authority of hub, clusters and operators; its trust domain
//	signing.key    signs bundles
//	vault.key      encrypts credentials in the store
//	operator.yaml  the first operator's context for the CLI; written once, and anew when its certificate does not hold
//	sources/       caches and artifacts; may be deleted while the hub is stopped
package hub

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"
	"google.golang.org/grpc/health"

	"github.com/navefleet/nave/hub/internal/admin"
	"github.com/navefleet/nave/hub/internal/artifact"
	"github.com/navefleet/nave/hub/internal/dial"
	"github.com/navefleet/nave/hub/internal/dispatch"
	"github.com/navefleet/nave/hub/internal/fetch"
	"github.com/navefleet/nave/hub/internal/plan"
	"github.com/navefleet/nave/hub/internal/plan/graph"
	"github.com/navefleet/nave/hub/internal/publish"
	"github.com/navefleet/nave/hub/internal/registration"
	"github.com/navefleet/nave/hub/internal/render"
	"github.com/navefleet/nave/hub/internal/render/worker"
	"github.com/navefleet/nave/hub/internal/source"
	fetchworker "github.com/navefleet/nave/hub/internal/source/worker"
	"github.com/navefleet/nave/hub/internal/store"
	"github.com/navefleet/nave/shared/identity"
	"github.com/navefleet/nave/shared/signing"
	"github.com/navefleet/nave/shared/telemetry"
)

// Config is what a hub is started with. The zero value of a field means its default.
type Config struct {
	DataDir    string   // holds everything that must survive; made 0700 when missing. Required
	SourceDir  string   // caches and artifacts of sources; DataDir/sources
	Listen     string   // gRPC with mTLS; 0.0.0.0:7443
	HTTPListen string   // /metrics, /healthz, /readyz; 0.0.0.0:7480
	Advertise  []string // host:port where spokes and operators reach this hub; the first goes into join manifests
	SpokeImage string   // the container image in join manifests

	BundleTTL      time.Duration // how long a bundle is valid without a hub; 720h
	CertificateTTL time.Duration // of spokes' certificates, renewed at half-life; 90 days

	// AllowSourceAddresses are addresses and ranges of servers that sources may name although they are denied otherwise:
	// loopback, link-local, this machine's own and the like (hub/internal/dial).
	AllowSourceAddresses []string
	DenyPrivateSources   bool // deny servers in private ranges, too

	// NoCrossNamespaceRefs refuses sources of another namespace in every graph, as the flag of Flux's controllers does.
	NoCrossNamespaceRefs bool
	// Guard is what one change by Git may remove from a cluster unconfirmed: of Guard.Applications or more at most
	// Guard.Percent, and never all. Zero: 50 % of 4 or more.
	Guard graph.Guard

	// RenderWorker is the command that serves ServeRenderWorker on its standard input and output, usually this binary
	// with the argument render-worker. Empty: render in this process, without its limits.
	RenderWorker []string
	// Renderers are used beside those that the hub has, in this process, by the name that kinds call them (package
	// render).
	Renderers render.Renderers
	// FetchWorker is the command that serves the other ServeWorker, of hub/internal/source/worker. Empty: fetch in this
	// process, without its limits.
	FetchWorker []string
	// Fetchers are used beside those that the hub has, in this process, by the kind that they fetch (package source).
	Fetchers fetchworker.Fetchers

	// NewKeys names keys to make anew when they are missing from a data folder that was used: signing.key, ca, vault.key.
	// Without it that is an error. Whoever asks for one starts over with it; see lostKeys.
	NewKeys []string

	Log *slog.Logger     // slog.Default()
	Now func() time.Time // the machine's clock, which may be set at any moment; time.Now

	connections connections // defaultConnections
}

// Defaults of Config.
const (
	DefaultListen     = "0.0.0.0:7443"
	DefaultHTTPListen = "0.0.0.0:7480"
	DefaultBundleTTL  = 30 * 24 * time.Hour

	DefaultCertificateTTL = registration.DefaultTTL
)

// drainTime is how long calls under way may take after the context of Run ends.
const drainTime = 10 * time.Second

// withDefaults returns c with every field set.
func (c Config) withDefaults() (Config, error) {
	if err := c.Guard.Check(); err != nil {
		return c, err
	}
	if c.DataDir == "" {
		return c, errors.New("the data folder is not set")
	}
	dir, err := filepath.Abs(c.DataDir)
	if err != nil {
		return c, fmt.Errorf("data folder: %w", err)
	}
	c.DataDir = dir
	setDefault(&c.SourceDir, filepath.Join(dir, "sources"))
	setDefault(&c.Listen, DefaultListen)
	setDefault(&c.HTTPListen, DefaultHTTPListen)
	setDefault(&c.BundleTTL, DefaultBundleTTL)
	setDefault(&c.CertificateTTL, DefaultCertificateTTL)
	setDefault(&c.Log, slog.Default())
	if c.Now == nil {
		c.Now = time.Now
	}
	setDefault(&c.connections, defaultConnections)
	return c, nil
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// Hub is one hub. Make it with New.
type Hub struct {
	config     Config
	store      *store.Store
	authority  *identity.Authority
	signer     *signing.Signer
	vault      *store.Vault
	credential *identity.Credential
	registry   *prometheus.Registry
	pool       *worker.Pool      // nil: rendering in this process
	fetchers   *fetchworker.Pool // nil: fetching in this process

	fetch    *fetch.Loop
	plan     *plan.Planner
	publish  *publish.Publisher
	dispatch *dispatch.Server
	admin    *admin.Server

	listener, httpListener net.Listener
	passed                 *passed      // from grpc to strangers
	grpc                   *grpc.Server // of callers with a certificate
	strangers              *grpc.Server // of callers without
	http                   *http.Server
	health                 *health.Server
	serving                atomic.Bool
}

// New opens the data folder, makes what is missing in a new one, and listens. The caller must Run the hub, also to
// close it. Errors: store.ErrLocked when another hub uses the folder, a key that is missing in a used folder, and those
// of files and sockets.
func New(c Config) (h *Hub, err error) {
	if c, err = c.withDefaults(); err != nil {
		return nil, fmt.Errorf("start hub: %w", err)
	}
	h = &Hub{config: c, registry: telemetry.NewRegistry(), credential: &identity.Credential{}}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("start hub: %w", err), h.close())
			h = nil
		}
	}()
	if err = os.MkdirAll(c.DataDir, 0o700); err != nil {
		return h, err
	}
	if h.store, err = store.Open(h.path("hub.db")); err != nil { // first: it keeps a second hub out
		return h, err
	}
	if err = h.loadKeys(); err != nil {
		return h, err
	}
	h.authority.Now = c.Now
	if err = h.listen(); err != nil {
		return h, err
	}
	if err = h.renewCertificate(); err != nil {
		return h, err
	}
	if err = h.writeOperatorConfig(); err != nil {
		return h, err
	}
	return h, h.build()
}

func (h *Hub) path(name string) string { return filepath.Join(h.config.DataDir, name) }

// listen opens both sockets, so that Addr and HTTPAddr are known before Run.
func (h *Hub) listen() (err error) {
	if h.listener, err = net.Listen("tcp", h.config.Listen); err != nil {
		return err
	}
	h.httpListener, err = net.Listen("tcp", h.config.HTTPListen)
	return err
}

// build makes the parts.
func (h *Hub) build() error {
	c := h.config
	renderer, err := h.renderer()
	if err != nil {
		return err
	}
	fetcher, err := h.fetcher()
	if err != nil {
		return err
	}
	network, err := h.network()
	if err != nil {
		return err
	}
	h.fetch = fetch.New(fetch.Config{
		Store: h.store, Vault: h.vault, Artifacts: artifact.New(c.SourceDir, 0), Fetcher: fetcher, Network: network,
		Log: c.Log, Metrics: h.registry,
	})
	h.plan = plan.New(plan.Config{
		Store: h.store, Renderer: renderer, NoCrossNamespaceRefs: c.NoCrossNamespaceRefs, Guard: c.Guard, Log: c.Log, Metrics: h.registry, Now: c.Now,
	})
	h.publish = publish.New(publish.Config{
		Store: h.store, Signer: h.signer, TrustDomain: h.authority.TrustDomain(), TTL: c.BundleTTL, Log: c.Log, Metrics: h.registry, Now: c.Now,
	})
	h.dispatch = dispatch.New(dispatch.Config{
		Store: h.store, TrustDomain: h.authority.TrustDomain(), Log: c.Log, Metrics: h.registry,
	})
	h.admin = admin.New(admin.Config{Store: h.store, Vault: h.vault, Log: c.Log, Now: c.Now, Join: admin.Join{
		TrustDomain: h.authority.TrustDomain(),
		CAPin:       h.authority.Pin(),
		Address:     h.advertised(),
		SigningKeys: signing.MarshalPublicKeys(h.signer.Public()),
		SpokeImage:  c.SpokeImage,
	}})
	h.newServers(registration.New(registration.Config{
		Store: h.store, Authority: h.authority, TTL: c.CertificateTTL, Log: c.Log, Metrics: h.registry, Now: c.Now,
	}))
	return nil
}

// fetcher returns what fetches, in worker processes or in this one.
func (h *Hub) fetcher() (source.Fetcher, error) {
	all := fetchworker.All()
	if len(h.config.FetchWorker) > 0 {
		pool, err := fetchworker.New(fetchworker.Config{
			Command: h.config.FetchWorker, Workers: fetch.Workers, Log: h.config.Log,
		})
		if err != nil {
			return nil, err
		}
		h.fetchers = pool
		for kind := range all {
			all[kind] = pool
		}
	}
	maps.Copy(all, h.config.Fetchers)
	return all, nil
}

// network says which servers the hub dials for its users: those of sources, and not the hub itself.
func (h *Hub) network() (dial.Policy, error) {
	allow, err := dial.ParsePrefixes(h.config.AllowSourceAddresses)
	return dial.Policy{
		Allow:       allow,
		DenyPrivate: h.config.DenyPrivateSources,
		Own:         append([]string{h.Addr().String(), h.HTTPAddr().String()}, h.config.Advertise...),
		Proxies:     dial.ProxiesOfEnvironment(),
	}, err
}

// Run serves until ctx ends, then drains for at most ten seconds and closes the hub. It returns nil after a clean
// drain.
func (h *Hub) Run(ctx context.Context) (err error) {
	defer func() { err = errors.Join(err, h.close()) }()
	parts, stop := context.WithCancel(context.WithoutCancel(ctx)) // the parts outlive the calls that wait for them
	defer stop()
	g, parts := errgroup.WithContext(parts)
	g.Go(func() error {
		// Before anything reads them; spokes are served meanwhile.
		if err := h.fetch.Recover(parts); err != nil {
			if parts.Err() != nil {
				return nil // asked to end meanwhile
			}
			return err
		}
		g.Go(func() error { return h.fetch.Run(parts) })
		return h.plan.Run(parts)
	})
	g.Go(func() error { return h.publish.Run(parts) })
	g.Go(func() error { return h.dispatch.Run(parts) })
	g.Go(func() error { return h.keepCertificate(parts) })
	g.Go(func() error { return serveGRPC(h.grpc, h.listener) })
	g.Go(func() error { return serveGRPC(h.strangers, h.passed) })
	g.Go(h.serveHTTP)
	g.Go(func() error {
		select {
		case <-ctx.Done():
		case <-parts.Done(): // one of the parts failed
		}
		h.drain()
		stop()
		return nil
	})
	h.serving.Store(true)
	h.config.Log.Info("hub serves", telemetry.Address(h.Addr().String()), slog.String("http", h.HTTPAddr().String()))
	return g.Wait()
}

func serveGRPC(server *grpc.Server, listener net.Listener) error {
	if err := server.Serve(listener); err != nil && !errors.Is(err, grpc.ErrServerStopped) { // stopped before it served
		return fmt.Errorf("serve gRPC: %w", err)
	}
	return nil
}

func (h *Hub) serveHTTP() error {
	if err := h.http.Serve(h.httpListener); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve HTTP: %w", err)
	}
	return nil
}

// drain tells every stream to end, lets calls finish, and closes the listeners.
func (h *Hub) drain() {
	h.config.Log.Info("hub drains")
	h.serving.Store(false)
	h.health.Shutdown()
	h.dispatch.Drain()
	h.admin.Drain()
	stop(h.grpc, drainTime)
	stop(h.strangers, time.Second) // a registration takes no longer; a stranger must not keep the hub
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if err := h.http.Shutdown(ctx); err != nil {
		_ = h.http.Close() // a scraper that does not read
	}
}

// stop lets the calls of a server finish for as long as that.
func stop(server *grpc.Server, patience time.Duration) {
	hard := time.AfterFunc(patience, server.Stop)
	server.GracefulStop()
	hard.Stop()
}

// close releases what New opened.
func (h *Hub) close() error {
	var errs []error
	if h.pool != nil {
		errs = append(errs, h.pool.Close())
	}
	if h.fetchers != nil {
		errs = append(errs, h.fetchers.Close())
	}
	for _, l := range []net.Listener{h.listener, h.httpListener} {
		if l != nil {
			_ = l.Close() // the servers have closed theirs already
		}
	}
	if h.store != nil {
		errs = append(errs, h.store.Close())
	}
	return errors.Join(errs...)
}

// Addr is where the hub serves gRPC.
func (h *Hub) Addr() net.Addr { return h.listener.Addr() }

// HTTPAddr is where the hub serves metrics and health.
func (h *Hub) HTTPAddr() net.Addr { return h.httpListener.Addr() }

// OperatorConfig is the path of the first operator's context, for the CLI.
func (h *Hub) OperatorConfig() string { return h.path("operator.yaml") }
