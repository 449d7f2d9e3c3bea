package session

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"maps"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/identity"
	"github.com/navefleet/nave/shared/manifest"
	"github.com/navefleet/nave/spoke/internal/membership"

	registrationv1 "github.com/navefleet/nave/proto/nave/registration/v1"
	spokev1 "github.com/navefleet/nave/proto/nave/spoke/v1"
)

const patience = 10 * time.Second

// hub is a scripted far side on a real gRPC server with real TLS.
type hub struct {
	spokev1.UnimplementedSpokeServiceServer
	registrationv1.UnimplementedRegistrationServiceServer
	authority *identity.Authority
	cluster   identity.ID
	address   string
	server    *grpc.Server

	hellos  chan *spokev1.Hello
	said    chan *spokev1.SessionRequest
	offers  chan *spokev1.Offer
	first   *spokev1.SessionResponse      // instead of the welcome; nil: the welcome
	others  chan *spokev1.SessionResponse // messages of any kind
	chunks  func(*spokev1.FetchRequest) []*spokev1.FetchResponse
	hang    bool // after these
	refuse  func() error
	reports chan *spokev1.ReportRequest

	mu         sync.Mutex
	tokens     []string
	renewals   int
	ttl        time.Duration
	renewedTTL time.Duration // from the first renewal on
	lose       bool          // the answer to the next registration

	off        atomic.Int64 // of its clock
	credential identity.Credential
}

// now is the hub's clock.
func (h *hub) now() time.Time { return time.Now().Add(time.Duration(h.off.Load())) }

func newHub(t *testing.T) *hub {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return newHubOn(t, listener)
}

func newHubOn(t *testing.T, listener net.Listener) *hub {
	t.Helper()
	authority, err := identity.LoadOrCreateAuthority(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	h := &hub{
		authority: authority, cluster: identity.ID{TrustDomain: authority.TrustDomain(), Role: identity.Cluster,
			Name: "prod"},
		hellos: make(chan *spokev1.Hello, 16), said: make(chan *spokev1.SessionRequest, 64), offers: make(chan *spokev1.Offer,
			1), others: make(chan *spokev1.SessionResponse),
		reports: make(chan *spokev1.ReportRequest, 16), ttl: time.Hour, renewedTTL: time.Hour,
	}
	authority.Now = h.now
	h.address = listener.Addr().String()
	h.serve(t, listener)
	return h
}

func (h *hub) serve(t *testing.T, listener net.Listener) {
	t.Helper()
	h.certify(t)
	config := identity.ServerTLS(&h.credential)
	config.Time = h.now
	pings := keepalive.EnforcementPolicy{MinTime: 20 * time.Second, PermitWithoutStream: true} // as the hub's
	h.server = grpc.NewServer(grpc.Creds(credentials.NewTLS(config)), grpc.KeepaliveEnforcementPolicy(pings))
	spokev1.RegisterSpokeServiceServer(h.server, h)
	registrationv1.RegisterRegistrationServiceServer(h.server, h)
	go func() { _ = h.server.Serve(listener) }()
	t.Cleanup(h.server.Stop)
}

// certify gives the server a certificate of now by its clock.
func (h *hub) certify(t *testing.T) {
	t.Helper()
	key, err := identity.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	chain, err := h.authority.Issue(key.Public(),
		identity.ID{TrustDomain: h.authority.TrustDomain(), Role: identity.Hub, Name: "hub"}, time.Hour, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	pair, err := identity.Pair(key, chain)
	if err != nil {
		t.Fatal(err)
	}
	h.credential.Set(pair, []*x509.Certificate{h.authority.Certificate()})
}

func (h *hub) issue(csr []byte) (*registrationv1.Certificate, error) {
	pub, err := identity.ParseCSR(csr)
	if err != nil {
		return nil, err
	}
	h.mu.Lock()
	ttl := h.ttl
	h.mu.Unlock()
	chain, err := h.authority.Issue(pub, h.cluster, ttl, nil, nil)
	return &registrationv1.Certificate{Chain: chain, Authorities: [][]byte{h.authority.Certificate().Raw}}, err
}

func (h *hub) Register(_ context.Context, r *registrationv1.RegisterRequest) (*registrationv1.RegisterResponse, error) {
	pub, err := identity.ParseCSR(r.GetCsr())
	if err != nil {
		return nil, err
	}
	key, err := x509.MarshalPKIXPublicKey(pub)
	if err != nil {
		return nil, err
	}
	h.mu.Lock()
	h.tokens = append(h.tokens, r.GetToken()+" "+manifest.DigestOf(key).String())
	lose := h.lose
	h.lose = false
	h.mu.Unlock()
	if r.GetToken() != "token" {
		return nil, status.Error(codes.Unauthenticated, "the join token is not valid")
	}
	if lose {
		return nil, status.Error(codes.Unavailable, "lost")
	}
	c, err := h.issue(r.GetCsr())
	return &registrationv1.RegisterResponse{Certificate: c}, err
}

func (h *hub) Renew(ctx context.Context, r *registrationv1.RenewRequest) (*registrationv1.RenewResponse, error) {
	if _, err := identity.Peer(ctx); err != nil {
		return nil, err
	}
	h.mu.Lock()
	h.renewals++
	h.ttl = h.renewedTTL
	h.mu.Unlock()
	c, err := h.issue(r.GetCsr())
	return &registrationv1.RenewResponse{Certificate: c}, err
}

func (h *hub) Session(stream spokev1.SpokeService_SessionServer) error {
	caller, err := identity.Peer(stream.Context())
	if err != nil || caller.ID != h.cluster {
		return status.Error(codes.Unauthenticated, "who are you")
	}
	first, err := stream.Recv()
	if err != nil {
		return err
	}
	if h.refuse != nil {
		if err := h.refuse(); err != nil {
			return err
		}
	}
	h.hellos <- first.GetHello()
	answer := h.first
	if answer == nil {
		answer = welcome()
	}
	if err = stream.Send(answer); err != nil {
		return err
	}
	go func() {
		for {
			m, err := stream.Recv()
			if err != nil {
				return
			}
			h.said <- m
		}
	}()
	for {
		select {
		case <-stream.Context().Done():
			return nil
		case m := <-h.others:
			if err := stream.Send(m); err != nil {
				return err
			}
		case o := <-h.offers:
			if o == nil {
				return nil // ends the session
			}
			if err := stream.Send(&spokev1.SessionResponse{Message: &spokev1.SessionResponse_Offer{Offer: o}}); err != nil {
				return err
			}
		}
	}
}

func welcome() *spokev1.SessionResponse {
	return &spokev1.SessionResponse{
		Message: &spokev1.SessionResponse_Welcome{Welcome: &spokev1.Welcome{Now: timestamppb.Now()}},
	}
}

func (h *hub) Fetch(r *spokev1.FetchRequest, stream spokev1.SpokeService_FetchServer) error {
	for _, c := range h.chunks(r) {
		if err := stream.Send(c); err != nil {
			return err
		}
	}
	if h.hang {
		<-stream.Context().Done()
	}
	return nil
}

func (h *hub) Report(_ context.Context, r *spokev1.ReportRequest) (*spokev1.ReportResponse, error) {
	h.reports <- r
	return &spokev1.ReportResponse{}, nil
}

// drawer keeps an identity in memory.
type drawer struct {
	mu      sync.Mutex
	entries map[string][]byte
	saves   int
}

func (d *drawer) Load(context.Context) (map[string][]byte, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return maps.Clone(d.entries), nil
}

func (d *drawer) Save(_ context.Context, entries map[string][]byte) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.entries = maps.Clone(entries)
	d.saves++
	return nil
}

// settings are what a test says of a session and of its identity.
type settings struct {
	Config
	membership.IdentityConfig
}

func newSession(h *hub, d *drawer, change func(*settings)) *Session {
	none := func() float64 { return 0 }
	s := settings{
		Config{Hub: h.address, Cluster: h.cluster, Version: "v1", Jitter: none,
			OnConnected: func(bool) {}, Kubernetes: func(context.Context) string { return "v1.37.2" },
			Image: func(context.Context) string { return "r/spoke:v1" }},
		membership.IdentityConfig{Cluster: h.cluster, JoinToken: token("token"), CAPin: h.authority.Pin(), Keeper: d,
			Jitter: none},
	}
	if change != nil {
		change(&s)
	}
	s.IdentityConfig.Now = s.Config.Now
	s.Config.Cluster, s.Config.Identity = s.IdentityConfig.Cluster, membership.NewIdentity(s.IdentityConfig)
	return New(s.Config)
}

// token returns a join token; "": there is none.
func token(text string) func() (string, error) { return func() (string, error) { return text, nil } }

// run runs a session until the test ends, or the returned function is called.
func run(t *testing.T, s *Session) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { s.Run(ctx) })
	stop = sync.OnceFunc(func() {
		cancel()
		running.Wait()
	})
	t.Cleanup(stop)
	return stop
}

func next[T any](t *testing.T, c <-chan T, what string) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(patience):
		t.Fatalf("no %s", what)
	}
	panic("unreachable")
}

func id(sequence uint64) bundle.ID {
	return bundle.ID{Epoch: 1, Sequence: sequence, Digest: manifest.DigestOf([]byte{byte(sequence)})}
}

func TestJoin(t *testing.T) {
	h, d := newHub(t), &drawer{}
	stop := run(t, newSession(h, d, nil))
	hello := next(t, h.hellos, "hello")
	if hello.GetProtocol() != 1 || hello.GetVersion() != "v1" || hello.GetKubernetesVersion() != "v1.37.2" ||
		hello.GetImage() != "r/spoke:v1" || len(hello.GetVerified().GetDigest()) != 0 {
		t.Errorf("hello: %v", hello)
	}
	stop()
	again := newSession(h, d, func(c *settings) { c.JoinToken = token("") })
	again.Progress(id(7), bundle.Applied)
	run(t, again)
	hello = next(t, h.hellos, "hello after the restart")
	if hello.GetVerified().GetSequence() != 7 || hello.GetStage() != spokev1.AckStage_ACK_STAGE_APPLIED {
		t.Errorf("hello after the restart: %v", hello)
	}
	if len(h.tokens) != 1 {
		t.Errorf("registered %d times", len(h.tokens))
	}
}

func TestJoinAnswerLost(t *testing.T) {
	h, d := newHub(t), &drawer{}
	h.lose = true
	run(t, newSession(h, d, nil))
	next(t, h.hellos, "hello")
	if len(h.tokens) != 2 || h.tokens[0] != h.tokens[1] || d.saves != 2 {
		t.Errorf("%d registrations, %d saves: want the key saved once, then the certificate", len(h.tokens), d.saves)
	}
	if _, err := tls.X509KeyPair(d.entries["tls.crt"], d.entries["tls.key"]); err != nil {
		t.Errorf("kept key and certificate: %v", err)
	}
}

func TestWrongCluster(t *testing.T) {
	h, d := newHub(t), &drawer{}
	stop := run(t, newSession(h, d, nil))
	next(t, h.hellos, "hello")
	stop()
	before, prod := d.entries, h.cluster
	h.cluster.Name = "dev"
	s := newSession(h, d, nil)
	stop = run(t, s)
	deadline := time.After(patience)
	for !strings.Contains(s.Status(), prod.String()) || !strings.Contains(s.Status(), h.cluster.String()) {
		select {
		case <-deadline:
			t.Fatalf("the status does not name both clusters: %s", s.Status())
		case <-time.After(time.Millisecond):
		}
	}
	stop()
	if h.registrations("token") != 1 || !maps.EqualFunc(d.entries, before, bytes.Equal) {
		t.Error("it registered as another cluster, or its identity changed")
	}
	run(t, newSession(h, d, func(c *settings) { c.Replaces = prod.Name }))
	next(t, h.hellos, "hello of the cluster that took its place")
}

func TestNewTokenAfterRefusal(t *testing.T) {
	h := newHub(t)
	var looked atomic.Int32
	run(t, newSession(h, &drawer{}, func(c *settings) {
		c.JoinToken = func() (string, error) {
			if looked.Add(1) == 1 {
				return "spent", nil
			}
			return "token", nil // a person has applied a new manifest
		}
	}))
	next(t, h.hellos, "hello") // next's patience is shorter than the pause of who was refused
}

func TestNewTokenAfterRevocation(t *testing.T) {
	h, d := newHub(t), &drawer{}
	var renewed atomic.Bool // a person has applied a new manifest
	stop := run(t, newSession(h, d, nil))
	next(t, h.hellos, "hello")
	stop()
	h.refuse = func() error {
		if h.registrations("token") < 2 {
			return status.Error(codes.PermissionDenied, "the certificate is of an earlier registration")
		}
		return nil
	}
	run(t, newSession(h, d, func(c *settings) {
		c.JoinToken = func() (string, error) {
			if renewed.Load() {
				return "token", nil
			}
			return "spent", nil
		}
	}))
	for deadline := time.After(patience); h.registrations("spent") == 0; {
		select {
		case <-deadline:
			t.Fatal("the token at hand was not tried")
		case <-time.After(10 * time.Millisecond):
		}
	}
	renewed.Store(true)
	next(t, h.hellos, "hello")
	if n := h.registrations("spent"); n != 1 {
		t.Errorf("a token that was refused was shown %d times", n)
	}
}

// registrations counts the attempts to register with a token.
func (h *hub) registrations(token string) (n int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, shown := range h.tokens {
		if strings.HasPrefix(shown, token+" ") {
			n++
		}
	}
	return n
}

func TestPinnedAuthority(t *testing.T) {
	h := newHub(t)
	s := newSession(h, &drawer{}, func(c *settings) { c.CAPin = newHub(t).authority.Pin() })
	if _, err := s.once(context.Background()); err == nil {
		t.Error("a session with a stranger")
	}
	if len(h.tokens) != 0 {
		t.Error("the token was shown")
	}
}

func TestForeignIdentity(t *testing.T) {
	h, d := newHub(t), &drawer{}
	stop := run(t, newSession(h, d, nil))
	next(t, h.hellos, "hello")
	stop()
	other := newSession(h, d, func(c *settings) {
		c.IdentityConfig.Cluster.Name, c.JoinToken = "prod-2", token("")
	})
	if _, err := other.once(context.Background()); !errors.Is(err, membership.ErrCluster) {
		t.Errorf("got %v, want ErrCluster", err)
	}
}

func TestRenewal(t *testing.T) {
	h, d := newHub(t), &drawer{}
	h.ttl = 2 * time.Second
	s := newSession(h, d, nil)
	run(t, s)
	next(t, h.hellos, "hello")
	deadline := time.After(patience)
	for time.Until(s.Identity.Credential().NotAfter()) < time.Minute {
		select {
		case <-deadline:
			t.Fatal("not renewed")
		case <-time.After(10 * time.Millisecond):
		}
	}
	s.Progress(id(1), bundle.Received)
	if a := next(t, h.said, "ack").GetAck(); a.GetBundle().GetSequence() != 1 {
		t.Errorf("the session does not go on: %v", a)
	}
	if len(h.hellos) != 0 {
		t.Error("the session was interrupted")
	}
}

func TestAcks(t *testing.T) {
	h := newHub(t)
	s := newSession(h, &drawer{}, nil)
	run(t, s)
	next(t, h.hellos, "hello")
	s.Progress(id(1), bundle.Healthy)
	for _, want := range []spokev1.AckStage{spokev1.AckStage_ACK_STAGE_RECEIVED, spokev1.AckStage_ACK_STAGE_APPLIED,
		spokev1.AckStage_ACK_STAGE_HEALTHY} {
		if a := next(t, h.said, "ack").GetAck(); a.GetStage() != want || a.GetBundle().GetSequence() != 1 {
			t.Errorf("got %v, want %v", a, want)
		}
	}
	s.Progress(id(1), bundle.Healthy)
	s.Reject(id(2), "tampered")
	if a := next(t, h.said, "rejection").GetAck(); a.GetStage() != spokev1.AckStage_ACK_STAGE_REJECTED ||
		a.GetReason() != "tampered" {
		t.Errorf("got %v, want the rejection alone", a)
	}
}

func TestUnchangedReconnect(t *testing.T) {
	h := newHub(t)
	s := newSession(h, &drawer{}, nil)
	s.Progress(id(3), bundle.Healthy)
	run(t, s)
	first := next(t, h.hellos, "hello")
	h.offers <- nil
	hello := next(t, h.hellos, "second hello")
	if hello.GetInstance() == "" || hello.GetInstance() != first.GetInstance() ||
		hello.GetInstance() == newSession(h, &drawer{}, nil).instance {
		t.Errorf("instances %q and %q", first.GetInstance(), hello.GetInstance())
	}
	if len(hello.GetFeatures()) == 0 {
		t.Error("a hello without features")
	}
	hello.Features = nil // as many as this spoke knows
	if n := proto.Size(hello); n > 256 {
		t.Errorf("a hello of %d bytes beside its features", n)
	}
	s.Reject(id(4), "x") // comes after whatever would come by itself
	if a := next(t, h.said, "rejection").GetAck(); a.GetStage() != spokev1.AckStage_ACK_STAGE_REJECTED {
		t.Errorf("unasked: %v", a)
	}
}

func TestNewestOffer(t *testing.T) {
	h := newHub(t)
	s := newSession(h, &drawer{}, nil)
	run(t, s)
	next(t, h.hellos, "hello")
	for n := uint64(1); n <= 3; n++ {
		h.offers <- &spokev1.Offer{Bundle: id(n).Message(), Envelope: []byte("envelope")}
	}
	deadline := time.After(patience)
	for {
		next(t, s.Offers(), "offer")
		o, ok := s.TakeOffer()
		if ok && o.ID == id(3) {
			break
		}
		select {
		case <-deadline:
			t.Fatal("the newest offer never came")
		default:
		}
	}
	if _, ok := s.TakeOffer(); ok {
		t.Error("an offer can be taken twice")
	}
}

func TestOfferBlobs(t *testing.T) {
	h := newHub(t)
	s := newSession(h, &drawer{}, nil)
	run(t, s)
	next(t, h.hellos, "hello")
	d := manifest.DigestOf([]byte("a"))
	h.offers <- &spokev1.Offer{Bundle: id(1).Message(), Envelope: []byte("envelope"), Blobs: []*spokev1.Blob{
		{Digest: []byte("no digest"), Size: 1, Frame: []byte("frame")},
		nil,
		{Digest: d[:], Size: 7, Frame: []byte("frame")},
	}}
	next(t, s.Offers(), "offer")
	o, ok := s.TakeOffer()
	if !ok || o.ID != id(1) || len(o.Blobs) != 1 {
		t.Fatalf("took %v, %v", o, ok)
	}
	if b := o.Blobs[0]; b.Digest != d || b.Size != 7 || string(b.Frame) != "frame" {
		t.Errorf("the blob is %v", b)
	}
}

func TestFetch(t *testing.T) {
	h := newHub(t)
	connected := make(chan bool, 16)
	s := newSession(h, &drawer{}, func(c *settings) { c.OnConnected = func(yes bool) { connected <- yes } })
	run(t, s)
	next(t, connected, "session")
	a, b := manifest.DigestOf([]byte("a")), manifest.DigestOf([]byte("b"))
	chunk := func(d *manifest.Digest, size uint64, data string, last bool) *spokev1.FetchResponse {
		r := &spokev1.FetchResponse{Size: size, Data: []byte(data), Last: last}
		if d != nil {
			r.Digest = d[:]
		}
		return r
	}
	tests := map[string]struct {
		chunks []*spokev1.FetchResponse
		want   error
	}{
		"in_chunks": {[]*spokev1.FetchResponse{chunk(&a, 4, "aa", false), chunk(nil, 0, "aa", true),
			chunk(&b, 1, "b", true)}, nil},
		"in_another_order": {[]*spokev1.FetchResponse{chunk(&b, 1, "b", true), chunk(&a, 4, "aaaa", true)},
			ErrProtocol},
		"interleaved":    {[]*spokev1.FetchResponse{chunk(&a, 4, "aa", false), chunk(&b, 1, "b", true)}, ErrProtocol},
		"one_is_missing": {[]*spokev1.FetchResponse{chunk(&a, 4, "aaaa", true)}, ErrProtocol},
		"one_too_many": {[]*spokev1.FetchResponse{chunk(&a, 4, "aaaa", true), chunk(&b, 1, "b", true),
			chunk(&a, 4, "aaaa", true)}, ErrProtocol},
		"longer_than_announced":  {[]*spokev1.FetchResponse{chunk(&a, 1, string(make([]byte, 4096)), false)}, ErrProtocol},
		"larger_than_is_allowed": {[]*spokev1.FetchResponse{chunk(&a, 1<<40, "a", false)}, ErrProtocol},
		"without_a_digest":       {[]*spokev1.FetchResponse{chunk(nil, 1, "a", true)}, ErrProtocol},
		"never_ending":           {[]*spokev1.FetchResponse{chunk(&a, 1, "", false), chunk(nil, 0, "", false)}, ErrProtocol},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			h.chunks = func(*spokev1.FetchRequest) []*spokev1.FetchResponse { return tt.chunks }
			var got string
			err := s.Fetch(context.Background(), []manifest.Digest{a, b}, func(_ manifest.Digest, _ uint64, frame []byte) error {
				got += string(frame) + " "
				return nil
			})
			if !errors.Is(err, tt.want) {
				t.Errorf("got %v, want %v", err, tt.want)
			}
			if tt.want == nil && got != "aaaa b " {
				t.Errorf("got %q", got)
			}
		})
	}
}

// TestPreviews passes on the newest preview, and that nobody waits any more when the session ends.
func TestPreviews(t *testing.T) {
	h := newHub(t)
	s := newSession(h, &drawer{}, nil)
	run(t, s)
	next(t, h.hellos, "hello")
	for _, envelope := range []string{"one", "two", "three"} {
		h.others <- &spokev1.SessionResponse{Message: &spokev1.SessionResponse_Preview{
			Preview: &spokev1.PreviewRequest{Envelope: []byte(envelope)},
		}}
	}
	for got := ""; got != "three"; {
		got = string(next(t, s.Previews(), "preview"))
	}
	h.offers <- nil // ends the session
	if envelope := next(t, s.Previews(), "the end"); len(envelope) > 0 {
		t.Errorf("after the session: %s", envelope)
	}
}

func TestDisconnected(t *testing.T) {
	s := newSession(newHub(t), &drawer{}, nil)
	if err := s.Fetch(context.Background(), []manifest.Digest{{}}, nil); !errors.Is(err, ErrDisconnected) {
		t.Errorf("Fetch: %v", err)
	}
	if err := s.Report(context.Background(), nil); !errors.Is(err, ErrDisconnected) {
		t.Errorf("Report: %v", err)
	}
}

func TestRefusedCluster(t *testing.T) {
	h := newHub(t)
	h.refuse = func() error { return status.Error(codes.PermissionDenied, "cluster prod is blocked") }
	s := newSession(h, &drawer{}, nil)
	_, err := s.once(context.Background())
	if err == nil || status.Code(err) != codes.PermissionDenied {
		t.Fatalf("got %v, want PermissionDenied", err)
	}
	b := newBackoff(func() float64 { return 0 })
	if d := b.next(err, 0); d < longPause/2 {
		t.Errorf("comes back after %s", d)
	}
}
