// Package spoke is the composition root of nave-spoke: a Config, and Run, which opens the state, reads what the cluster
// keeps of this spoke, makes the parts and keeps them going until its context ends. It is wiring only.
//
// The session brings offers, the agent decides and applies, the watcher tells it what the cluster did with that, the
// reporter tells the hub. Only the agent's loop owns state; the parts know one another by the narrow interfaces they
// need.
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
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"
	"google.golang.org/protobuf/types/known/timestamppb"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/condition"
	"github.com/navefleet/nave/shared/identity"
	"github.com/navefleet/nave/shared/telemetry"
	"github.com/navefleet/nave/shared/version"
	"github.com/navefleet/nave/spoke/internal/agent"
	"github.com/navefleet/nave/spoke/internal/apply"
	"github.com/navefleet/nave/spoke/internal/health"
	"github.com/navefleet/nave/spoke/internal/inventory"
	"github.com/navefleet/nave/spoke/internal/kube"
	"github.com/navefleet/nave/spoke/internal/ledger"
	"github.com/navefleet/nave/spoke/internal/report"
	"github.com/navefleet/nave/spoke/internal/session"
	"github.com/navefleet/nave/spoke/internal/state"
	"github.com/navefleet/nave/spoke/internal/trust"
	"github.com/navefleet/nave/spoke/internal/watch"

	spokev1 "github.com/navefleet/nave/proto/nave/spoke/v1"
)

// Defaults of Config.
const (
	DefaultNamespace  = "nave-system"
	DefaultHTTPListen = "0.0.0.0:7481"
	DefaultLook       = 2 * time.Second
)

const (
	firstRecall  = time.Second // after the first failure to read what the cluster keeps of the spoke, doubling
	maxRecall    = 30 * time.Second
	flushTimeout = 5 * time.Second // at the end, for what the cluster is to keep
)

// Config is what a spoke is started with. The zero value of an optional field means its default. The settings that a
// join manifest brings are in the files of ConfigDir; a field that is set here comes before its file.
type Config struct {
	ConfigDir   string // where the ConfigMap nave-spoke is mounted
	Hub         string // host:port. Required, here or as file hub
	Cluster     string // this cluster's name at the hub. Required, here or as file cluster
	TrustDomain string // SPIFFE trust domain of the hub. Required, here or as file trust-domain
	CAPin       string // sha256:… of the hub's authority, for joining; file ca-pin
	Replaces    string // the name that this cluster had before; file replaces
	// PEM PUBLIC KEY blocks: the keys that sign bundles. Required, here or as file signing-keys.pem
	SigningKeysFile string
	PolicyFile      string        // what bundles may do here, whatever they say; empty: everything
	JoinTokenFile   string        // read when there is no identity yet
	StateDir        string        // made 0700 when missing. Required
	Kubeconfig      string        // empty: the account of the Pod this runs in
	Namespace       string        // where the spoke runs and keeps its identity; nave-system
	HTTPListen      string        // /metrics, /healthz, /readyz; 0.0.0.0:7481
	Look            time.Duration // how often the settings' files are looked at; 2 s
	// DefaultServiceAccount is that of Applications that name none, in the namespace of each; empty: the spoke's own
	// rights.
	DefaultServiceAccount string
	MemoryLimit           int64 // of this process, in bytes; 0 or math.MaxInt64: none is known
	Log                   *slog.Logger
	Now                   func() time.Time // the machine's clock, which may be set at any moment; nil: time.Now
}

// Spoke is one spoke. Make it with New.
type Spoke struct {
	config   Config
	given    settings // by Config and files
	state    *state.Store
	client   *kube.Client
	registry *prometheus.Registry
	listener net.Listener
	http     *http.Server

	parts   atomic.Pointer[parts]  // nil until what the cluster keeps was read
	awaits  atomic.Pointer[string] // what it waits for until then
	refused atomic.Pointer[string] // why changed settings are not used; empty: they are
}

// parts are what a spoke is made of, when it knows who it is.
type parts struct {
	session  *session.Session
	marker   *marker
	reporter *report.Reporter
	watcher  *watch.Watcher
	agent    *agent.Agent
	ledger   *ledger.Ledger

	role      role
	enrolment *session.Session // with the hub that the spoke moves to; nil: it stays
	connected chan struct{}    // signalled when there is a session
	unkept    *settings        // to be kept once there is a session; nil: they are
}

func (p *parts) onConnected(yes bool) {
	p.reporter.Connected(yes)
	if yes {
		select {
		case p.connected <- struct{}{}:
		default:
		}
	}
}

// keepSettings keeps the settings beside the identity when they led to a session; a failure is tried again with the
// next one.
func (p *parts) keepSettings(ctx context.Context, keeper secretKeeper, log *slog.Logger) error {
	for p.unkept != nil {
		select {
		case <-ctx.Done():
			return nil
		case <-p.connected:
		}
		if err := keeper.saveSettings(ctx, *p.unkept); err != nil {
			log.Warn("the settings are not kept beside the identity", telemetry.Err(err))
			continue
		}
		p.unkept = nil
	}
	return nil
}

// Run runs a spoke until ctx ends: again whenever its settings changed, and with a new state when that on disk is
// damaged. It returns nil after a clean stop.
func Run(ctx context.Context, c Config) error {
	s, err := New(c)
	for err == nil {
		err = s.Run(ctx)
		given := s.given
		if changed := (*reconfigured)(nil); errors.As(err, &changed) {
			given = changed.to
		} else if errors.Is(err, state.ErrDamaged) {
			if _, err := s.setAside(err); err != nil {
				return err
			}
		} else {
			break
		}
		s, err = open(s.config, given)
	}
	return err
}

// New reads the settings, opens the state and listens. It asks neither the hub nor the cluster. The caller must Run the
// spoke, also to close it.
func New(c Config) (*Spoke, error) {
	c, err := c.withDefaults()
	var given settings
	if err == nil {
		given, err = c.load()
	}
	if err != nil {
		return nil, fmt.Errorf("start spoke: %w", err)
	}
	return open(c, given)
}

// open is New with settings that were read.
func open(c Config, given settings) (s *Spoke, err error) {
	s = &Spoke{config: c, given: given, registry: telemetry.NewRegistry()}
	s.await("not read yet")
	s.refused.Store(new(string))
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("start spoke: %w", err), s.close())
			s = nil
		}
	}()
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
	s.http = &http.Server{Handler: telemetry.Handler(s.registry, s.ready), ReadHeaderTimeout: 10 * time.Second}
	return s, nil
}

func (c Config) withDefaults() (Config, error) {
	if c.StateDir == "" {
		return c, errors.New("no state folder given")
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
	if c.Look <= 0 {
		c.Look = DefaultLook
	}
	if c.Log == nil {
		c.Log = telemetry.Discard()
	}
	return c, nil
}

func (c Config) stateFile() string { return filepath.Join(c.StateDir, "spoke.db") }

// openState opens the state, or a new one in place of a file that is damaged.
func (s *Spoke) openState() (err error) {
	s.state, err = state.Open(s.config.stateFile())
	if !errors.Is(err, state.ErrDamaged) {
		return err
	}
	aside, err := s.setAside(err)
	if err != nil {
		return err
	}
	if s.state, err = state.Open(s.config.stateFile()); errors.Is(err, state.ErrFull) && os.Remove(aside) == nil {
		s.state, err = state.Open(s.config.stateFile()) // there is no room for both
	}
	return err
}

// setAside moves a damaged state aside, and returns where it is.
func (s *Spoke) setAside(damage error) (string, error) {
	aside, err := state.SetAside(s.config.stateFile())
	s.config.Log.Error("the state on disk is damaged: the spoke starts without it", telemetry.Err(damage),
		telemetry.Path(aside))
	return aside, err
}

// recall reads what the cluster keeps of this spoke, until it can be read, and makes the parts. A spoke that may not
// read it goes on without; then it has no session either.
func (s *Spoke) recall(ctx context.Context) (*parts, error) {
	book := ledger.New(ledger.Config{Client: s.client, Namespace: s.config.Namespace, Disk: s.state, Log: s.config.Log})
	for wait := firstRecall; ; wait = min(2*wait, maxRecall) {
		entries, err := s.keeper().Load(ctx)
		var pages map[bundle.ApplicationName]ledger.Page
		if err == nil {
			pages, err = book.Read(ctx)
		}
		if err == nil || !kube.Retryable(err) {
			s.logIf("what the cluster keeps of this spoke cannot be read", err)
			return s.takeUp(entries, book, pages)
		}
		s.await(err.Error())
		s.config.Log.Warn("waiting for the Kubernetes API", telemetry.Err(err), slog.Duration("retry", wait))
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(wait):
		}
	}
}

// takeUp decides who the spoke is by the entries of its Secret, puts on disk what only the cluster knows, and makes the
// parts. pages is nil when they could not be read.
func (s *Spoke) takeUp(entries map[string][]byte, book *ledger.Ledger, pages map[bundle.ApplicationName]ledger.Page) (*parts,
	error) {
	kept, err := readKept(entries)
	s.logIf("something that the cluster keeps of this spoke cannot be used", err)
	in := kept.settle(s.given)
	s.logIf("the spoke keeps its own settings", in.confused)
	by, err := in.check()
	if err != nil {
		return nil, fmt.Errorf("settings of %s: %w", in.id(), err)
	}
	if err := s.seed(kept.marks, book, pages); err != nil {
		return nil, err
	}
	return s.build(in, by, kept, book)
}

func (s *Spoke) keeper() secretKeeper {
	return secretKeeper{client: s.client, namespace: s.config.Namespace}
}

func (s *Spoke) logIf(what string, err error) {
	if err != nil {
		s.config.Log.Error(what, telemetry.Err(err))
	}
}

// build makes the parts.
func (s *Spoke) build(in role, by rules, kept kept, book *ledger.Ledger) (*parts, error) {
	c, p := s.config, &parts{role: in, ledger: book, connected: make(chan struct{}, 1)}
	if in.confused == nil && (kept.settings == nil || *kept.settings != in.settings) {
		p.unkept = &in.settings
	}
	seen, err := s.state.Seen(in.id().String())
	if err != nil {
		return nil, err
	}
	index := inventory.NewIndex()
	p.session = s.session(in.settings, s.joinToken(in), p.onConnected)
	if in.moves() {
		p.enrolment = s.session(in.next, s.readToken, nil)
	}
	p.marker = newMarker(p.session, in.id().String(), kept.marks, s.keeper().saveMarks, c.Log)
	if seen != (bundle.ID{}) {
		p.marker.Progress(seen, spokev1.AckStage_ACK_STAGE_UNSPECIFIED) // until the agent says how far it has come
	}
	p.reporter = report.New(p.session, c.Log)
	p.watcher = watch.New(watch.Config{Client: s.client, Index: index, Log: c.Log})
	applier := apply.New(apply.Config{
		Client: s.client, Index: index, Allow: by.policy.Allows, Self: trust.Self{Namespace: c.Namespace}, Log: c.Log,
	})
	p.agent = agent.New(agent.Config{
		Cluster: in.id(), Keyring: by.keyring, Store: s.state, Ledger: book, Hub: p.marker, Applier: applier, Watcher: p.watcher, Index: index,
		Kubernetes: s.client, Check: s.check, DefaultServiceAccount: c.DefaultServiceAccount, Reporter: p.reporter, Metrics: agent.NewMetrics(s.registry),
		Log: c.Log, Now: c.Now, Jitter: rand.Float64, Memory: c.MemoryLimit,
	})
	s.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Namespace: telemetry.Namespace, Subsystem: "spoke", Name: "connected", Help: "1 while there is a session with the " +
			"hub.",
	}, func() float64 {
		if p.session.Status() == "" {
			return 1
		}
		return 0
	}))
	return p, nil
}

// session returns a session with a hub.
func (s *Spoke) session(in settings, token func() (string, error), onConnected func(bool)) *session.Session {
	return session.New(session.Config{
		Hub: in.Hub, Cluster: in.id(), Replaces: in.Replaces, JoinToken: token, CAPin: in.CAPin,
		Identity: s.keeper(), Credential: &identity.Credential{},
		Kubernetes: s.kubernetesVersion, Version: version.String(), Protocol: version.Protocol,
		OnConnected: onConnected, Log: s.config.Log, Now: s.config.Now, Jitter: rand.Float64,
	})
}

// joinToken returns how the join token is read for the identity that the spoke has: not at all while it is for another.
func (s *Spoke) joinToken(in role) func() (string, error) {
	if in.confused == nil && !in.moves() {
		return s.readToken
	}
	return func() (string, error) {
		return "", fmt.Errorf("the join token is for %s, not for %s", s.given.id(), in.id())
	}
}

func (s *Spoke) readToken() (string, error) {
	if s.config.JoinTokenFile == "" {
		return "", nil
	}
	text, err := os.ReadFile(s.config.JoinTokenFile)
	return strings.TrimSpace(string(text)), err
}

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

func (s *Spoke) await(what string) { s.awaits.Store(&what) }

// ready holds no matter whether there is a hub: a spoke without one goes on repairing.
func (s *Spoke) ready() error {
	p := s.parts.Load()
	if p == nil {
		return fmt.Errorf("what the cluster keeps of this spoke: %s", *s.awaits.Load())
	}
	select {
	case <-p.agent.Restored():
	default:
		return errors.New("the state on disk is not taken up yet")
	}
	if refused := *s.refused.Load(); refused != "" {
		return errors.New(refused)
	}
	if p.enrolment != nil {
		return fmt.Errorf("%s is to become %s at %s: %s", p.role.id(), p.role.next.id(), p.role.next.Hub,
			p.enrolment.Status())
	}
	return p.role.confused
}

// warn tells the hub of something that an operator should look at.
func (s *Spoke) warn(reason, message string) {
	if p := s.parts.Load(); p != nil {
		p.reporter.Event(&spokev1.Event{Time: timestamppb.Now(), Type: condition.Warning, Reason: reason, Message: message})
	}
}

// HTTPAddr returns where /metrics, /healthz and /readyz are served.
func (s *Spoke) HTTPAddr() string { return s.listener.Addr().String() }

// Run works until ctx ends. Then it starts nothing more, lets the applies that run end for at most ten seconds, and
// closes the state. It returns nil after a clean stop, *reconfigured when the settings changed, and state.ErrDamaged.
func (s *Spoke) Run(ctx context.Context) (err error) {
	defer func() { err = errors.Join(err, s.close()) }()
	defer s.flush()
	g, all := errgroup.WithContext(ctx)
	g.Go(func() error {
		if err := s.http.Serve(s.listener); !errors.Is(err, http.ErrServerClosed) {
			return err
		}
		return nil
	})
	g.Go(func() error {
		<-all.Done()
		return s.http.Close()
	})
	g.Go(func() error { return s.watchSettings(all) })
	g.Go(func() error {
		p, err := s.recall(all)
		if all.Err() != nil {
			return nil // asked to end meanwhile
		}
		if err != nil {
			return err
		}
		s.start(g, all, p)
		return nil
	})
	return g.Wait()
}

// start runs the parts in a group.
func (s *Spoke) start(g *errgroup.Group, ctx context.Context, p *parts) {
	s.parts.Store(p)
	if p.role.confused != nil {
		s.warn(condition.WrongCluster, p.role.confused.Error())
	}
	if p.enrolment != nil {
		g.Go(func() error {
			if err := p.enrolment.Enroll(ctx); err != nil || ctx.Err() != nil {
				return err
			}
			return &reconfigured{s.given} // to start anew with the identity that there is now
		})
	}
	g.Go(func() error { return p.agent.Run(ctx) })
	g.Go(func() error { return p.watcher.Run(ctx) })
	g.Go(func() error { return p.reporter.Run(ctx) })
	g.Go(func() error { return p.marker.Run(ctx) })
	g.Go(func() error { return p.ledger.Run(ctx) })
	g.Go(func() error { return p.keepSettings(ctx, s.keeper(), s.config.Log) })
	g.Go(func() error {
		select {
		case <-p.agent.Restored(): // then the first hello says how far it has come
			return p.session.Run(ctx)
		case <-ctx.Done():
			return nil
		}
	})
	g.Go(func() error {
		select {
		case <-s.state.Damaged():
			return state.ErrDamaged
		case <-ctx.Done():
			return nil
		}
	})
}

// flush writes what the applies that ended last left behind into the cluster.
func (s *Spoke) flush() {
	p := s.parts.Load()
	if p == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), flushTimeout)
	defer cancel()
	s.logIf("inventories not kept in the cluster", p.ledger.Flush(ctx))
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
