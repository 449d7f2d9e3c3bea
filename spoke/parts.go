package spoke

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"strings"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/condition"
	"github.com/navefleet/nave/shared/identity"
	"github.com/navefleet/nave/shared/telemetry"
	"github.com/navefleet/nave/shared/version"
	"github.com/navefleet/nave/shared/wait"
	"github.com/navefleet/nave/spoke/internal/agent"
	"github.com/navefleet/nave/spoke/internal/apply"
	"github.com/navefleet/nave/spoke/internal/health"
	"github.com/navefleet/nave/spoke/internal/inventory"
	"github.com/navefleet/nave/spoke/internal/kube"
	"github.com/navefleet/nave/spoke/internal/ledger"
	"github.com/navefleet/nave/spoke/internal/membership"
	"github.com/navefleet/nave/spoke/internal/report"
	"github.com/navefleet/nave/spoke/internal/session"
	"github.com/navefleet/nave/spoke/internal/trust"
	"github.com/navefleet/nave/spoke/internal/upgrade"
	"github.com/navefleet/nave/spoke/internal/watch"
)

// parts are the components of a spoke whose Role is decided.
type parts struct {
	capabilities *capabilities
	session      *session.Session
	marker       *membership.Marker
	reporter     *report.Reporter
	watcher      *watch.Watcher
	inputs       *watch.Inputs
	agent        *agent.Agent
	ledger       *ledger.Ledger
	upgrader     *upgrade.Upgrader

	log        *slog.Logger
	secret     membership.Secret
	keys       *membership.Keys // that sign bundles
	role       membership.Role
	enrolment  *session.Session     // with the hub that the spoke moves to; nil: it does not move
	hasSeen    bool                 // it verified a bundle before it started
	credential *identity.Credential // that the session shows
	connected  wait.Signal          // raised when a session begins
	unkept     *membership.Settings // to be stored after a session began; nil: already stored
}

// build makes the parts of a spoke in a role.
func (s *Spoke) build(role membership.Role, kept membership.Kept, book *ledger.Ledger) (*parts, error) {
	c, index := s.config, inventory.NewIndex()
	assessor := health.NewAssessor(health.BindingModes(s.client))
	rules, err := role.Check()
	if err != nil {
		return nil, fmt.Errorf("settings of %s: %w", role.ID(), err)
	}
	metrics := prometheus.WrapRegistererWith(prometheus.Labels{"cluster": role.ID().Name}, s.registry)
	p := &parts{log: c.Log, secret: s.secret(), role: role, ledger: book, connected: wait.NewSignal(),
		capabilities: newCapabilities(s.client)}
	p.keys, err = kept.Keys(membership.KeysConfig{TrustDomain: role.TrustDomain, Given: rules.SigningKeys,
		Save: p.secret.SaveKeys, Log: c.Log,
		Refused: func(err error) { s.warn(condition.SigningKeysRefused, err.Error()) }})
	if err != nil {
		return nil, fmt.Errorf("signing keys of %s: %w", role.ID(), err)
	}
	if role.Keeps(kept) {
		p.unkept = &role.Settings
	}
	p.upgrader = upgrade.New(upgrade.Config{
		Client: s.client, Namespace: c.Namespace, Pod: s.config.Pod, Refused: rules.Policy.AllowsUpgrade(), Log: c.Log,
		Report: func(image, failure string) { p.reporter.Upgrade(image, failure) },
	})
	p.session = s.session(role.Settings, p, s.joinToken(role))
	if role.Moves() {
		p.enrolment = s.session(role.Next, nil, s.readToken)
	}
	p.marker = membership.NewMarker(role.ID().String(), kept.Marks, p.secret.SaveMarks, p.session.Progress, c.Log)
	p.reporter = report.New(p.session, c.Log)
	p.watcher = watch.New(watch.Config{Client: s.client, Index: index, Health: assessor, Log: c.Log})
	p.inputs = watch.NewInputs(watch.Config{Client: s.client, Index: index, Log: c.Log})
	p.agent = s.newAgent(p, rules, index, assessor, metrics)
	metrics.MustRegister(p.gauges()...)
	seen, err := s.state.Seen(role.ID().String())
	if p.hasSeen = seen != (bundle.ID{}); err == nil && p.hasSeen {
		p.marker.Progress(seen, bundle.NoStage) // until the agent knows the stage
	}
	return p, err
}

// newAgent returns the agent, with the other parts that it needs.
func (s *Spoke) newAgent(p *parts, rules membership.Rules, index *inventory.Index, assessor *health.Assessor,
	metrics prometheus.Registerer) *agent.Agent {
	c := s.config
	applier := apply.New(apply.Config{
		Client: s.client, Index: index, Health: assessor, Allow: rules.Policy.Allows,
		Self: trust.Self{Namespace: c.Namespace}, Log: c.Log,
	})
	return agent.New(agent.Config{
		Releases: &agent.Releases{Applier: applier, Client: s.client},
		Cluster:  p.role.ID(), Keyring: p.keys.Keyring(), Store: s.state, Ledger: p.ledger, Hub: hub{p.session, p.marker},
		Applier: applier, Watcher: p.watcher, Index: index, Kubernetes: s.client, Health: assessor,
		Check: s.checker(assessor), Data: s.data, Inputs: p.inputs, Questions: p.session,
		Shapes: p.session, ShapeKey: p.secret.ShapeKey,
		KeyService: s.keys, KeyServiceNamespaces: c.KeyServiceNamespaces,
		WantImage:             p.upgrader.Want,
		DefaultServiceAccount: c.DefaultServiceAccount, Reporter: p.reporter, Registry: metrics,
		Log: c.Log, Now: c.Now, Jitter: rand.Float64, Memory: c.MemoryLimit,
	})
}

// hub is the session, except that acknowledgements wait for the high-water mark.
type hub struct {
	*session.Session
	marker *membership.Marker
}

// Progress calls Progress of the marker.
func (h hub) Progress(id bundle.ID, stage bundle.Stage) { h.marker.Progress(id, stage) }

// gauges are metrics about the session and the identity.
func (p *parts) gauges() []prometheus.Collector {
	connected := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "nave_spoke_connected", Help: "1 while there is a session with the hub.",
	}, func() float64 {
		if p.session.Status() == "" {
			return 1
		}
		return 0
	})
	expires := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "nave_spoke_certificate_expiration_timestamp_seconds",
		Help: "When the spoke's certificate expires; 0: there is none.",
	}, func() float64 { return float64(max(0, p.credential.NotAfter().Unix())) })
	return []prometheus.Collector{connected, expires}
}

// session returns a session with a hub. If p is nil, the session is for registration only.
func (s *Spoke) session(in membership.Settings, p *parts, token func() (string, error)) *session.Session {
	own := membership.NewIdentity(membership.IdentityConfig{
		Hub: in.Hub, Cluster: in.ID(), Replaces: in.Replaces, JoinToken: token, CAPin: in.CAPin, Keeper: s.secret(),
		Log: s.config.Log, Now: s.config.Now, Jitter: rand.Float64,
	})
	c := session.Config{
		Hub: in.Hub, Cluster: in.ID(), Identity: own, Version: version.String(),
		Log: s.config.Log, Now: s.config.Now, Jitter: rand.Float64,
	}
	if p != nil {
		p.credential = own.Credential()
		c.Keys = p.keys
		c.OnConnected, c.Kubernetes, c.Image = p.onConnected, p.capabilities.version, p.upgrader.Image
	}
	return session.New(c)
}

// registered reports whether the hub has ever given the spoke a certificate, which may have expired since.
func (p *parts) registered() bool {
	return p.hasSeen || p.credential.Certificate() != nil
}

func (p *parts) onConnected(yes bool) {
	p.reporter.Connected(yes)
	if yes {
		p.connected.Raise()
	}
}

// keepSettings stores the settings beside the identity after they led to a session. After a failure it tries again with
// the next session.
func (p *parts) keepSettings(ctx context.Context) {
	for p.unkept != nil && p.connected.Wait(ctx) == nil {
		if err := p.secret.SaveSettings(ctx, *p.unkept); err != nil {
			p.log.Warn("the settings are not kept beside the identity", telemetry.Err(err))
			continue
		}
		p.unkept = nil
	}
}

// joinToken returns the function that reads the join token for the present identity. While the token is for another
// identity, the function returns an error.
func (s *Spoke) joinToken(role membership.Role) func() (string, error) {
	if role.Confused == nil && !role.Moves() {
		return s.readToken
	}
	return func() (string, error) {
		return "", fmt.Errorf("the join token is for %s, not for %s", s.given.ID(), role.ID())
	}
}

func (s *Spoke) readToken() (string, error) {
	if s.config.JoinTokenFile == "" {
		return "", nil
	}
	text, err := os.ReadFile(s.config.JoinTokenFile)
	return strings.TrimSpace(string(text)), err
}

// checker returns how an object is checked with the rights of a service account.
func (s *Spoke) checker(assessor *health.Assessor) func(context.Context, bundle.ApplicationName, string,
	bundle.ObjectIdentity) (health.Report, error) {
	return func(ctx context.Context, app bundle.ApplicationName, account string,
		id bundle.ObjectIdentity) (health.Report, error) {
		client := s.client
		if account != "" {
			var err error
			if client, err = client.As(app.Namespace, account); err != nil {
				return health.Report{}, err
			}
		}
		return assessor.Check(ctx, client, app, id)
	}
}

// data reads a ConfigMap or Secret that variables come from. Those of the spoke itself are not read.
func (s *Spoke) data(ctx context.Context, account string, id bundle.ObjectIdentity) (kube.Data, error) {
	if err := (trust.Self{Namespace: s.config.Namespace}).Allows(id); err != nil {
		return kube.Data{}, err
	}
	client := s.client
	if account != "" {
		var err error
		if client, err = client.As(id.Namespace, account); err != nil {
			return kube.Data{}, err
		}
	}
	return client.Data(ctx, id)
}
