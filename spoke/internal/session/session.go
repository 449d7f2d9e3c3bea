// Package session is the spoke's one connection to its hub: it dials, says hello, takes offers, acknowledges, fetches
// blobs and sends reports, and comes back after every loss.
//
// The life of a session, as in the code:
//
//  1. identity   established by an Identity, and renewed on the running connection
//  2. dial       mTLS 1.3; the hub is known by its SPIFFE identity
//  3. hello      the bundle and versions of this spoke; an unchanged reconnect transfers no more
//  4. serve      offers come into a mailbox where the newest replaces the others; progress goes out; heartbeats
//  5. pause      full jitter, 1 s to 120 s, shorter after a session that lived; longer when the hub refuses this
//     cluster
//
// A Session keeps the latest state to send instead of a queue of messages. After a lost connection the next hello tells
// the hub that state.
package session

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/status"

	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/identity"
	"github.com/navefleet/nave/shared/manifest"
	"github.com/navefleet/nave/shared/reporting"
	"github.com/navefleet/nave/shared/telemetry"
	"github.com/navefleet/nave/shared/version"
	"github.com/navefleet/nave/shared/wait"
	"github.com/navefleet/nave/shared/wording"

	spokev1 "github.com/navefleet/nave/proto/nave/spoke/v1"
)

const (
	keepaliveTime    = 30 * time.Second
	keepaliveTimeout = 10 * time.Second
	heartbeat        = 20 * time.Second
	welcomeTimeout   = 30 * time.Second
	maxMessage       = 1 << 20
	clockWarning     = 2 * time.Minute
	tokenLook        = 2 * time.Second
)

// ErrDisconnected means that there is no session with the hub now. Run makes the next one.
var ErrDisconnected = errors.New("not connected to the hub")

// Identity keeps the certificate that this spoke shows.
type Identity interface {
	// Credential returns the credential that Establish and Renew fill.
	Credential() *identity.Credential
	// Establish makes sure that there is a certificate that is valid now. If there is none, Establish registers over a
	// connection. refused means that the hub refused the certificate the last time. If only an operator can help, the
	// error wraps identity.ErrNone.
	Establish(ctx context.Context, dial func(*tls.Config) (*grpc.ClientConn, error), refused bool) error
	// NewToken reports whether there is a join token that the hub has not answered yet, so that Establish may succeed now.
	NewToken(refused bool) bool
	// Renew replaces the certificate over the running connection, and logs a failure.
	Renew(ctx context.Context, conn *grpc.ClientConn)
	// UntilRenewal returns the time until the certificate is due.
	UntilRenewal() time.Duration
}

// Keys are the keys that this spoke accepts bundles of.
type Keys interface {
	// Statement returns the number of the last statement about keys that was accepted.
	Statement() uint64
	// Accept follows statements of the hub. After an error the hub has to send them again.
	Accept(ctx context.Context, statements [][]byte) error
}

// Config has the settings and dependencies of a Session.
type Config struct {
	Hub         string // host:port
	Cluster     identity.ID
	Identity    Identity
	Keys        Keys // nil: no statements about keys are accepted
	Kubernetes  func(ctx context.Context) string
	Version     string
	Image       func(ctx context.Context) string // that the spoke runs; nil: it runs none
	OnConnected func(bool)                       // after each welcome, and each loss
	Log         *slog.Logger                     // nil: slog.Default
	Now         func() time.Time                 // that certificates are checked with, which may be set; nil: time.Now
	Jitter      func() float64                   // in [0,1)
}

// Offer is the newest bundle that the hub has for this cluster.
type Offer struct {
	ID             bundle.ID
	Envelope       []byte // empty if it must be fetched
	EnvelopeDigest manifest.Digest
	Blobs          []Blob // blobs that this spoke may lack, not verified yet
}

// Blob is a blob that came within an offer: the digest and size that the hub claims, and the zstd frame.
type Blob struct {
	Digest manifest.Digest
	Size   uint64
	Frame  []byte
}

// Session is the spoke's end of the connection. Its methods are safe for concurrent use.
type Session struct {
	Config
	instance string      // random, of this process
	wake     wait.Signal // something to send
	offers   wait.Signal // TakeOffer has one
	previews chan []byte // the envelope of a preview that nobody took yet
	schemas  chan *spokev1.SchemaRequest
	logs     chan *spokev1.LogRequest
	client   atomic.Pointer[client]
	status   atomic.Pointer[string] // the cause of having no session; empty during one
	refused  bool                   // the hub refused the certificate the last time; of Run's goroutine
	reported *rate.Limiter          // messages with capabilities

	network []grpc.DialOption // of tests

	mu       sync.Mutex // guards the following
	served   capabilities
	progress progress
	rejected *rejection
	offer    *Offer
}

// progress is the last verified bundle and its stage.
type progress struct {
	id    bundle.ID
	stage bundle.Stage
}

type rejection struct {
	id     bundle.ID
	reason string
}

// New returns a Session. It connects when Run or Enroll is called.
func New(c Config) *Session {
	c.Log = cmp.Or(c.Log, slog.Default())
	if c.Now == nil {
		c.Now = time.Now
	}
	s := &Session{Config: c, instance: rand.Text(), wake: wait.NewSignal(), offers: wait.NewSignal(),
		previews: make(chan []byte, 1), schemas: make(chan *spokev1.SchemaRequest, 1),
		logs:     make(chan *spokev1.LogRequest, MaxLogReaders),
		reported: rate.NewLimiter(reporting.CapabilitiesRate, reporting.CapabilitiesBurst)}
	s.note("not connected yet")
	return s
}

// Offers is signalled when there is an offer to take.
func (s *Session) Offers() <-chan struct{} { return s.offers }

// TakeOffer returns the newest offer. It returns false if that was taken already.
func (s *Session) TakeOffer() (Offer, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.offer == nil {
		return Offer{}, false
	}
	o := *s.offer
	s.offer = nil
	return o, true
}

// Previews has the encoded envelope of the preview that the hub asks for; empty: it asks for none any more.
func (s *Session) Previews() <-chan []byte { return s.previews }

// Progress sets the stage of the last verified bundle. It is sent to the hub now, or with the next hello.
func (s *Session) Progress(id bundle.ID, stage bundle.Stage) {
	s.mu.Lock()
	s.progress = progress{id, stage}
	s.mu.Unlock()
	s.wake.Raise()
}

// Reject tells the hub the reason for which an offered bundle is not accepted.
func (s *Session) Reject(id bundle.ID, reason string) {
	s.mu.Lock()
	s.rejected = &rejection{id, telemetry.Printable(reason, reporting.MaxMessage)}
	s.mu.Unlock()
	s.wake.Raise()
}

// Status returns the cause of having no session with the hub, and "" during a session.
func (s *Session) Status() string { return *s.status.Load() }

func (s *Session) note(why string) { s.status.Store(&why) }

// Run keeps a session until the context ends.
func (s *Session) Run(ctx context.Context) { s.repeat(ctx, s.once) }

// Enroll registers with the hub, until there is an identity or the context ends. It makes no session.
func (s *Session) Enroll(ctx context.Context) {
	s.repeat(ctx, func(ctx context.Context) (time.Duration, error) { return 0, s.establish(ctx) })
}

// repeat calls attempt, with pauses between the calls, until it succeeds or the context ends.
func (s *Session) repeat(ctx context.Context, attempt func(context.Context) (time.Duration, error)) {
	pause := newBackoff(s.Jitter)
	for ctx.Err() == nil {
		lived, err := attempt(ctx)
		if err == nil || ctx.Err() != nil {
			return
		}
		s.note(err.Error())
		s.refused = status.Code(err) == codes.PermissionDenied
		retry := pause.next(err, lived)
		s.Log.Warn("no session with the hub", telemetry.Address(s.Hub), telemetry.Err(err), slog.Duration("retry", retry))
		s.rest(ctx, retry)
	}
}

// rest waits before the next session. If the hub refused the certificate or a join token, rest also ends when there is
// a new join token.
func (s *Session) rest(ctx context.Context, pause time.Duration) {
	over := time.NewTimer(pause)
	defer over.Stop()
	look := time.NewTicker(tokenLook)
	defer look.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-over.C:
			return
		case <-look.C:
			if s.Identity.NewToken(s.refused) {
				return
			}
		}
	}
}

// once runs one session to its end. It returns the length of the session after the welcome.
func (s *Session) once(ctx context.Context) (time.Duration, error) {
	if err := s.establish(ctx); err != nil {
		return 0, err
	}
	hub := &client{meter: &meter{}}
	conn, err := s.dial(hub.meter, identity.ClientTLS(s.Identity.Credential(),
		identity.ID{TrustDomain: s.Cluster.TrustDomain, Role: identity.Hub}))
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	hub.conn, hub.SpokeServiceClient = conn, spokev1.NewSpokeServiceClient(conn)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if err := s.greet(ctx, hub); err != nil {
		return 0, fmt.Errorf("session with %s: %w", s.Hub, s.explain(err))
	}
	began := time.Now()
	s.client.Store(hub)
	s.note("")
	s.OnConnected(true)
	s.Log.Info("session with the hub", telemetry.Address(s.Hub))
	err = s.serve(ctx, hub)
	s.client.Store(nil)
	s.OnConnected(false)
	return time.Since(began), fmt.Errorf("session with %s: %w", s.Hub, err)
}

func (s *Session) establish(ctx context.Context) error {
	dial := func(config *tls.Config) (*grpc.ClientConn, error) { return s.dial(&meter{}, config) }
	return s.Identity.Establish(ctx, dial, s.refused)
}

// dial returns a connection to the hub that is made when it is first used.
func (s *Session) dial(m *meter, config *tls.Config) (*grpc.ClientConn, error) {
	config.Time = s.Now
	conn, err := grpc.NewClient("passthrough:///"+s.Hub, append(s.network,
		grpc.WithTransportCredentials(metered{credentials.NewTLS(config), m}),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: keepaliveTime, Timeout: keepaliveTimeout,
			PermitWithoutStream: true}),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxMessage), grpc.MaxCallSendMsgSize(maxMessage)),
		grpc.WithDisableServiceConfig(),
	)...)
	if err != nil {
		return nil, fmt.Errorf("hub %s: %w", s.Hub, err)
	}
	return conn, nil
}

// greet says hello and waits for the welcome.
func (s *Session) greet(ctx context.Context, hub *client) error {
	hello := s.hello(ctx, hub)
	// A stream has no deadline of its own, so a watchdog ends it when no welcome comes.
	ctx, cancel := context.WithCancelCause(ctx)
	silent := fmt.Errorf("the hub sent no welcome in %s", welcomeTimeout)
	watchdog := time.AfterFunc(welcomeTimeout, func() { cancel(silent) })
	defer watchdog.Stop()
	stream, err := hub.Session(ctx)
	if err != nil {
		return err
	}
	hub.stream = stream
	sendErr := stream.Send(&spokev1.SessionRequest{Message: &spokev1.SessionRequest_Hello{Hello: hello}})
	// A failed Send says only that the stream is gone; Recv knows why.
	message, err := stream.Recv()
	if err := cmp.Or(err, sendErr); err != nil {
		return err
	}
	welcome := message.GetWelcome()
	if welcome == nil {
		return errors.New("the hub's first message is not a welcome")
	}
	hub.protocol = max(welcome.GetProtocol(), version.OldestProtocol)
	if welcome.GetWantsCapabilities() {
		hub.has = manifest.Digest{}
	}
	s.checkClock(welcome.GetNow().AsTime())
	return nil
}

// hello returns the first message, and notes in hub the state that the message tells.
func (s *Session) hello(ctx context.Context, hub *client) *spokev1.Hello {
	kubernetes := s.Kubernetes(ctx)
	image := ""
	if s.Image != nil {
		image = s.Image(ctx)
	}
	statement := uint64(0)
	if s.Keys != nil {
		statement = s.Keys.Statement()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	hub.sent, hub.has = s.progress, s.served.digest
	return &spokev1.Hello{
		Protocol: version.OldestProtocol, NewestProtocol: version.Protocol, Features: bundle.Known.Names(),
		Version: s.Version, KubernetesVersion: kubernetes, Verified: hub.sent.id.Message(), Stage: hub.sent.stage.Message(),
		Instance: s.instance, CapabilitiesDigest: s.served.wireDigest(), Image: image,
		KeyStatement: statement,
	}
}

func (s *Session) checkClock(hub time.Time) {
	now := s.Now()
	if skew := now.Sub(hub); skew.Abs() > clockWarning {
		s.Log.Warn("the hub's clock differs: set it or the clock of this machine right, for bundles and certificates end "+
			"by them", slog.Duration("skew", skew), slog.Time("hub", hub), slog.Time("here", now.UTC()))
	}
}

// explain adds possible causes to the TLS alert of a hub that refuses the certificate, because the alert names none.
func (s *Session) explain(err error) error {
	shown := s.Identity.Credential().Certificate()
	if shown == nil || shown.Leaf == nil || !strings.Contains(err.Error(), "remote error: tls:") {
		return err
	}
	return fmt.Errorf("%w: the hub does not accept the certificate of this spoke, which holds from %s to %s, and it is "+
		"%s here: if a clock is wrong, set it right; else get a new manifest with `nave cluster add %s`",
		err, wording.Time(shown.Leaf.NotBefore), wording.Time(shown.Leaf.NotAfter), wording.Time(s.Now()), s.Cluster.Name)
}
