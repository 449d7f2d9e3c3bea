// Package spoke is the composition root of nave-spoke. Run opens the state, reads the spoke's Secret and ledger, makes
// the parts, and runs them until its context ends.
//
// The session receives offers, the agent decides and applies, the watcher tells the agent about changes in the cluster,
// and the reporter reports to the hub. Only the loop of the agent owns state. The parts see each other through narrow
// interfaces.
//
// Layout of the state folder:
//
//	spoke.db          the last verified bundle with its blobs, still encrypted, marks and inventories
//	                  (spoke/internal/state)
//	spoke.db.damaged  the last damaged spoke.db, which is never read
package spoke

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/navefleet/nave/shared/telemetry"
	"github.com/navefleet/nave/shared/version"
	"github.com/navefleet/nave/spoke/internal/decrypt"
	"github.com/navefleet/nave/spoke/internal/kube"
	"github.com/navefleet/nave/spoke/internal/membership"
	"github.com/navefleet/nave/spoke/internal/state"
)

// Defaults of Config.
const (
	DefaultNamespace  = "nave-system"
	DefaultHTTPListen = "0.0.0.0:7481"
	DefaultLook       = 2 * time.Second
)

// Config has the options of a spoke. The zero value of an optional field means its default.
type Config struct {
	membership.Sources               // where the settings of the join manifest come from
	JoinTokenFile      string        // read when there is no identity yet
	StateDir           string        // created with mode 0700 if missing. Required
	Kubeconfig         string        // empty: the account of the Pod this runs in
	Namespace          string        // where the spoke runs and keeps its identity; nave-system
	Pod                string        // that this process runs in; without a Kubeconfig: the name of the host
	HTTPListen         string        // /metrics, /healthz, /readyz; 0.0.0.0:7481
	Profiles           bool          // serve Go's profiles at /debug/pprof/, too
	Look               time.Duration // between two polls of the settings' files; 2 s
	// DefaultServiceAccount is used for Applications that name no service account, in the namespace of each. Empty: such
	// Applications have the spoke's own rights.
	DefaultServiceAccount string
	KeyService            string // unix:///PATH of a SOPS key service; empty: there is none
	// KeyServiceNamespaces are those whose applications with a service account may ask the key service.
	KeyServiceNamespaces []string
	MemoryLimit          int64            // of this process, in bytes; 0 or math.MaxInt64: none is known
	Log                  *slog.Logger     // nil: slog.Default
	Now                  func() time.Time // the machine's clock, which may be set at any moment; nil: time.Now

	records *telemetry.Records // the newest of Log; set by New
}

// Spoke is one spoke. Make it with New.
type Spoke struct {
	config   Config
	given    membership.Settings // by Config and files
	state    *state.Store
	client   *kube.Client
	registry *prometheus.Registry
	listener net.Listener
	http     *http.Server

	keys *decrypt.Service // nil: no key service

	parts   atomic.Pointer[parts]  // nil until the Secret and the ledger were read
	awaits  atomic.Pointer[string] // the cause of the delay until then
	refused atomic.Pointer[string] // why changed settings are not used; empty: they are used
}

// Run runs a spoke until ctx ends. If the settings change, Run restarts the spoke with them; if the state on disk is
// damaged, with a new one. Run returns nil after a clean stop.
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

// New reads the settings, opens the state and listens. It contacts neither the hub nor the cluster. The caller must
// call Run, which also closes the spoke.
func New(c Config) (*Spoke, error) {
	c, err := c.withDefaults()
	var given membership.Settings
	if err == nil {
		given, err = c.Load()
	}
	if err != nil {
		return nil, fmt.Errorf("start spoke: %w", err)
	}
	c.Log, c.records = telemetry.Keep(c.Log, maxRecords)
	return open(c, given)
}

// open is New with given settings.
func open(c Config, given membership.Settings) (s *Spoke, err error) {
	s = &Spoke{config: c, given: given, registry: telemetry.NewRegistry(version.Build())}
	s.waitsFor("not read yet")
	s.refused.Store(new(string))
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("start spoke: %w", err), s.close())
			s = nil
		}
	}()
	if c.KeyService != "" {
		if s.keys, err = decrypt.NewService(c.KeyService); err != nil {
			return s, err
		}
	}
	if err = os.MkdirAll(c.StateDir, 0o700); err != nil {
		return s, err
	}
	if err = s.openState(); err != nil {
		return s, err
	}
	if s.client, err = kube.Connect(c.Kubeconfig); err != nil {
		return s, err
	}
	if s.listener, err = net.Listen("tcp", c.HTTPListen); err != nil {
		return s, err
	}
	s.http = &http.Server{Handler: telemetry.Handler(s.registry, s.ready, c.Profiles), ReadHeaderTimeout: 10 * time.Second}
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
	c.Namespace = cmp.Or(c.Namespace, DefaultNamespace)
	if c.Pod == "" && c.Kubeconfig == "" {
		c.Pod, _ = os.Hostname() // that of the Pod, unless the Pod uses the network of its node
	}
	c.HTTPListen = cmp.Or(c.HTTPListen, DefaultHTTPListen)
	c.Look = cmp.Or(max(c.Look, 0), DefaultLook)
	c.Log = cmp.Or(c.Log, slog.Default())
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
		s.state, err = state.Open(s.config.stateFile()) // the disk has no room for both
	}
	return err
}

// setAside renames the damaged state file, and returns its new path.
func (s *Spoke) setAside(damage error) (string, error) {
	aside, err := state.SetAside(s.config.stateFile())
	s.config.Log.Error("the state on disk is damaged: the spoke starts without it", telemetry.Err(damage),
		telemetry.Path(aside))
	return aside, err
}

func (s *Spoke) secret() membership.Secret {
	return membership.Secret{Client: s.client, Namespace: s.config.Namespace}
}

func (s *Spoke) logIf(what string, err error) {
	if err != nil {
		//nolint:sloglint // every caller gives a constant
		s.config.Log.Error(what, telemetry.Err(err))
	}
}

// waitsFor notes the cause of the delay until the spoke has its parts.
func (s *Spoke) waitsFor(what string) { s.awaits.Store(&what) }

// probeTimeout limits how long the API server may take to answer for the spoke to be ready.
const probeTimeout = 3 * time.Second

// ready returns nil if the spoke has registered once, works, and its API server answers. A spoke that cannot reach the
// hub is ready, because it repairs drift.
func (s *Spoke) ready() error {
	p := s.parts.Load()
	if p == nil {
		return fmt.Errorf("the spoke's Secret and inventories in the cluster are not read yet: %s", *s.awaits.Load())
	}
	select {
	case <-p.agent.Restored():
	default:
		return errors.New("the state on disk is not restored yet")
	}
	if refused := *s.refused.Load(); refused != "" {
		return errors.New(refused)
	}
	if p.enrolment != nil {
		return fmt.Errorf("%s is to become %s at %s: %s", p.role.ID(), p.role.Next.ID(), p.role.Next.Hub,
			p.enrolment.Status())
	}
	if p.role.Confused != nil {
		return p.role.Confused
	}
	if !p.registered() {
		return fmt.Errorf("not registered with the hub: %s", p.session.Status())
	}
	ctx, cancel := context.WithTimeout(context.Background(), probeTimeout)
	defer cancel()
	if err := s.client.Answers(ctx); err != nil {
		return fmt.Errorf("the API server does not answer: %w", err)
	}
	return nil
}

// HTTPAddr returns the address that serves /metrics, /healthz and /readyz.
func (s *Spoke) HTTPAddr() string { return s.listener.Addr().String() }

// close closes the listener and the state.
func (s *Spoke) close() error {
	var errs []error
	if s.listener != nil {
		if err := s.listener.Close(); !errors.Is(err, net.ErrClosed) {
			errs = append(errs, err)
		}
	}
	if s.keys != nil {
		errs = append(errs, s.keys.Close())
	}
	if s.state != nil {
		errs = append(errs, s.state.Close())
	}
	return errors.Join(errs...)
}
