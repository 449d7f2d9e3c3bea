package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/klauspost/compress/zstd"
	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/protobuf/types/known/timestamppb"

	adminv1 "github.com/navefleet/nave/proto/nave/admin/v1"
	bundlev1 "github.com/navefleet/nave/proto/nave/bundle/v1"
	registrationv1 "github.com/navefleet/nave/proto/nave/registration/v1"
	spokev1 "github.com/navefleet/nave/proto/nave/spoke/v1"
	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/identity"
	"github.com/navefleet/nave/shared/manifest"
	"github.com/navefleet/nave/shared/signing"
	"github.com/navefleet/nave/shared/version"
)

// reportGather is how long nave-spoke waits for more to report.
const reportGather = 20 * time.Millisecond

// scripted is one spoke of a crowd.
type scripted struct {
	name   string
	conn   *grpc.ClientConn
	client spokev1.SpokeServiceClient
	bytes  *traffic
	have   map[manifest.Digest]bool
	stream spokev1.SpokeService_SessionClient
}

// traffic counts the bytes of one spoke's connections.
type traffic struct{ received, sent atomic.Int64 }

// countedConn is a connection below TLS whose bytes are counted.
type countedConn struct {
	net.Conn
	*traffic
}

func (c countedConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.received.Add(int64(n))
	return n, err
}

func (c countedConn) Write(b []byte) (int, error) {
	n, err := c.Conn.Write(b)
	c.sent.Add(int64(n))
	return n, err
}

// registerAll registers spokes with tokens of their own, and gives each to then.
func registerAll(ctx context.Context, hub *operator, spokes int,
	then func(ctx context.Context, i int, s *scripted) error) error {
	g, joining := errgroup.WithContext(ctx)
	g.SetLimit(setupWorkers)
	for i := range spokes {
		g.Go(func() error {
			join, err := hub.CreateJoinToken(joining, &adminv1.CreateJoinTokenRequest{Cluster: spokeName(i)})
			if err != nil {
				return err
			}
			s, err := register(joining, spokeName(i), join)
			if err != nil {
				return fmt.Errorf("register %s: %w", spokeName(i), err)
			}
			return then(joining, i, s)
		})
	}
	return g.Wait()
}

// register trades a join token for a certificate, as a spoke does, and returns a spoke that can dial.
func register(ctx context.Context, name string, join *adminv1.CreateJoinTokenResponse) (*scripted, error) {
	key, err := identity.NewKey()
	if err != nil {
		return nil, err
	}
	csr, err := identity.NewCSR(key)
	if err != nil {
		return nil, err
	}
	conn, err := grpc.NewClient("passthrough:///"+join.GetHubAddress(),
		grpc.WithTransportCredentials(credentials.NewTLS(identity.PinnedClientTLS(join.GetCaPin()))))
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	answer, err := registrationv1.NewRegistrationServiceClient(conn).Register(ctx,
		&registrationv1.RegisterRequest{Token: join.GetToken(), Csr: csr})
	if err != nil {
		return nil, err
	}
	pair, err := identity.Pair(key, answer.GetCertificate().GetChain())
	if err != nil {
		return nil, err
	}
	authorities, err := parseAuthorities(answer.GetCertificate().GetAuthorities())
	if err != nil {
		return nil, err
	}
	return dialScripted(name, join.GetHubAddress(), join.GetTrustDomain(), pair, authorities)
}

func parseAuthorities(ders [][]byte) (authorities []*x509.Certificate, err error) {
	for _, der := range ders {
		authority, err := x509.ParseCertificate(der)
		if err != nil {
			return nil, err
		}
		authorities = append(authorities, authority)
	}
	return authorities, nil
}

// dialScripted makes a spoke with a connection of its own, set up as nave-spoke's is.
func dialScripted(name, address, domain string, pair tls.Certificate, authorities []*x509.Certificate) (*scripted,
	error) {
	credential := &identity.Credential{}
	credential.Set(pair, authorities)
	s := &scripted{name: name, bytes: &traffic{}, have: map[manifest.Digest]bool{}}
	var err error
	s.conn, err = grpc.NewClient("passthrough:///"+address,
		grpc.WithTransportCredentials(credentials.NewTLS(identity.ClientTLS(credential,
			identity.ID{TrustDomain: domain, Role: identity.Hub}))),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: 30 * time.Second, Timeout: 10 * time.Second,
			PermitWithoutStream: true}),
		grpc.WithDisableServiceConfig(),
		grpc.WithContextDialer(func(ctx context.Context, address string) (net.Conn, error) {
			conn, err := new(net.Dialer).DialContext(ctx, "tcp", address)
			return countedConn{conn, s.bytes}, err
		}),
	)
	if err != nil {
		return nil, err
	}
	s.client = spokev1.NewSpokeServiceClient(s.conn)
	return s, nil
}

// hello opens the session of a spoke that has no bundle and knows no feature.
func (s *scripted) hello(ctx context.Context) error {
	return s.open(ctx, &spokev1.Hello{Protocol: version.Protocol, Version: "bench", KubernetesVersion: "v1.37.2",
		Verified: &spokev1.BundleId{}})
}

// open opens the session and waits for the welcome.
func (s *scripted) open(ctx context.Context, hello *spokev1.Hello) (err error) {
	if s.stream, err = s.client.Session(ctx); err != nil {
		return err
	}
	err = s.stream.Send(&spokev1.SessionRequest{Message: &spokev1.SessionRequest_Hello{Hello: hello}})
	message, recvErr := s.stream.Recv()
	if recvErr != nil {
		return recvErr // says why a Send failed, too
	}
	if message.GetWelcome() == nil {
		return errors.Join(err, errors.New("the first message is no welcome"))
	}
	return err
}

// outcome is that a spoke has acknowledged a bundle.
type outcome struct {
	revision string
	at       time.Time // when APPLIED was sent
	reported bool
}

// crowd is many scripted spokes.
type crowd struct {
	ctx    context.Context
	cancel context.CancelFunc
	spokes []*scripted
	blobs  library
	work   sync.WaitGroup

	mu       sync.Mutex
	outcomes []outcome // the latest of each spoke
	failed   error     // the first spoke that could not go on
	changed  chan struct{}
}

func newCrowd(ctx context.Context, n int) *crowd {
	c := &crowd{spokes: make([]*scripted, n), outcomes: make([]outcome, n), changed: make(chan struct{}, 1)}
	c.ctx, c.cancel = context.WithCancel(ctx)
	return c
}

// add opens the session of the i-th spoke and lets it work.
func (c *crowd) add(i int, s *scripted) error {
	c.spokes[i] = s
	if err := s.hello(c.ctx); err != nil {
		return fmt.Errorf("session of %s: %w", s.name, err)
	}
	c.work.Go(func() {
		for {
			if err := c.take(i, s); err != nil {
				c.fail(fmt.Errorf("%s: %w", s.name, err))
				return
			}
		}
	})
	return nil
}

// take carries out the next offer.
func (c *crowd) take(i int, s *scripted) error {
	message, err := s.stream.Recv()
	if err != nil {
		return err
	}
	offer := message.GetOffer()
	if offer == nil {
		return nil
	}
	entry, err := c.receive(s, offer)
	if err != nil {
		return err
	}
	for stage := spokev1.AckStage_ACK_STAGE_RECEIVED; stage <= spokev1.AckStage_ACK_STAGE_HEALTHY; stage++ {
		ack := &spokev1.Ack{Bundle: offer.GetBundle(), Stage: stage}
		if err := s.stream.Send(&spokev1.SessionRequest{Message: &spokev1.SessionRequest_Ack{Ack: ack}}); err != nil {
			return err
		}
		if stage == spokev1.AckStage_ACK_STAGE_APPLIED {
			c.note(i, outcome{revision: entry.Revision, at: time.Now()})
		}
	}
	c.work.Go(func() {
		if err := c.report(s, entry); err != nil {
			c.fail(fmt.Errorf("report of %s: %w", s.name, err))
			return
		}
		c.noteReported(i, entry.Revision)
	})
	return nil
}

// receive opens an offer, takes from it what the spoke lacks and fetches the rest; it returns the only application.
func (c *crowd) receive(s *scripted, offer *spokev1.Offer) (entry bundle.Entry, err error) {
	envelope, err := signing.DecodeEnvelope(offer.GetEnvelope())
	if err != nil {
		return entry, err
	}
	b, err := bundle.DecodeBundle(envelope.Payload)
	if err != nil {
		return entry, err
	}
	if len(b.Applications) == 0 {
		return entry, nil
	}
	entry = b.Applications[0]
	if err := c.obtain(s, offer, []manifest.Digest{entry.Digest}); err != nil {
		return entry, err
	}
	objects, err := c.blobs.objects(entry.Digest)
	if err != nil {
		return entry, err
	}
	return entry, c.obtain(s, offer, objects)
}

// obtain takes those of the blobs that the spoke lacks from the offer, and fetches what is not in it.
func (c *crowd) obtain(s *scripted, offer *spokev1.Offer, digests []manifest.Digest) error {
	for _, b := range offer.GetBlobs() {
		d, err := manifest.DigestFromBytes(b.GetDigest())
		if err != nil {
			return err
		}
		if slices.Contains(digests, d) && !s.have[d] {
			s.have[d] = true
			c.blobs.put(d, b.GetFrame())
		}
	}
	return c.fetch(s, digests)
}

// fetch fetches those of the blobs that the spoke lacks.
func (c *crowd) fetch(s *scripted, digests []manifest.Digest) error {
	request := &spokev1.FetchRequest{}
	for _, d := range digests {
		if !s.have[d] {
			request.Digests = append(request.Digests, d[:])
		}
	}
	if len(request.Digests) == 0 {
		return nil
	}
	stream, err := s.client.Fetch(c.ctx, request)
	if err != nil {
		return err
	}
	var digest manifest.Digest
	var frame []byte
	for {
		chunk, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("fetch %d blobs: %w", len(request.Digests), err)
		}
		if len(chunk.GetDigest()) > 0 {
			digest, frame = manifest.Digest(chunk.GetDigest()), nil
		}
		if frame = append(frame, chunk.GetData()...); chunk.GetLast() {
			s.have[digest] = true
			c.blobs.put(digest, frame)
		}
	}
}

// report sends what nave-spoke would, after the moment that it gathers for.
func (c *crowd) report(s *scripted, e bundle.Entry) error {
	select {
	case <-time.After(reportGather):
	case <-c.ctx.Done():
		return c.ctx.Err()
	}
	r := &spokev1.ApplicationReport{
		Name: e.Name.Message(), Digest: e.Digest[:], Revision: e.Revision,
		AppliedDigest: e.Digest[:], AppliedRevision: e.Revision, Ready: "True", Reason: "ReconciliationSucceeded",
		Message: "Applied revision: " + e.Revision, Since: timestamppb.Now(), Current: smallTree,
	}
	for i := range smallTree {
		r.Inventory = append(r.Inventory,
			&bundlev1.ObjectIdentity{Version: "v1", Kind: "ConfigMap", Namespace: "default", Name: objectName(i)})
	}
	_, err := s.client.Report(c.ctx, &spokev1.ReportRequest{Applications: []*spokev1.ApplicationReport{r}})
	return err
}

func (c *crowd) note(i int, o outcome) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.outcomes[i] = o
	c.signal()
}

func (c *crowd) noteReported(i int, revision string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.outcomes[i].revision == revision {
		c.outcomes[i].reported = true
	}
	c.signal()
}

func (c *crowd) fail(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.failed == nil && c.ctx.Err() == nil {
		c.failed = err
	}
	c.signal()
}

func (c *crowd) signal() {
	select {
	case c.changed <- struct{}{}:
	default:
	}
}

// await waits until every spoke has acknowledged a revision that contains a text.
func (c *crowd) await(ctx context.Context, revision string) error {
	return c.wait(ctx, "acknowledged "+revision, func(o outcome) bool { return strings.Contains(o.revision, revision) })
}

// reported waits until every spoke has reported what it acknowledged last.
func (c *crowd) reported(ctx context.Context) error {
	return c.wait(ctx, "reported", func(o outcome) bool { return o.reported })
}

func (c *crowd) wait(ctx context.Context, what string, done func(outcome) bool) error {
	for first := 0; ; {
		c.mu.Lock()
		for first < len(c.outcomes) && done(c.outcomes[first]) {
			first++
		}
		missing, failed := len(c.outcomes)-first, c.failed
		c.mu.Unlock()
		if failed != nil || missing == 0 {
			return failed
		}
		select {
		case <-c.changed:
		case <-ctx.Done():
			return fmt.Errorf("%d or fewer spokes have not %s: %w", missing, what, context.Cause(ctx))
		}
	}
}

// latencies are the milliseconds from then to each spoke's APPLIED.
func (c *crowd) latencies(then time.Time) (samples []float64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, o := range c.outcomes {
		samples = append(samples, milliseconds(o.at.Sub(then)))
	}
	return samples
}

func (c *crowd) resetBytes() {
	for _, s := range c.spokes {
		s.bytes.received.Store(0)
		s.bytes.sent.Store(0)
	}
}

func (c *crowd) medianBytes() (received, sent float64) {
	var down, up []float64
	for _, s := range c.spokes {
		down, up = append(down, float64(s.bytes.received.Load())), append(up, float64(s.bytes.sent.Load()))
	}
	return median(down), median(up)
}

func (c *crowd) close() error {
	c.cancel()
	var errs []error
	for _, s := range c.spokes {
		if s != nil {
			errs = append(errs, s.conn.Close())
		}
	}
	c.work.Wait()
	return errors.Join(errs...)
}

// library is what the spokes fetched. Each has fetched its own copy; it is read once.
type library struct {
	mu     sync.Mutex
	frames map[manifest.Digest][]byte
	apps   map[manifest.Digest][]manifest.Digest
}

func (l *library) put(d manifest.Digest, frame []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.frames == nil {
		l.frames = map[manifest.Digest][]byte{}
	}
	l.frames[d] = frame
}

// objects returns the blobs that an application reaches.
func (l *library) objects(d manifest.Digest) ([]manifest.Digest, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if digests, read := l.apps[d]; read {
		return slices.Clone(digests), nil
	}
	reader, err := zstd.NewReader(nil)
	if err != nil {
		return nil, err
	}
	defer reader.Close()
	data, err := reader.DecodeAll(l.frames[d], nil)
	if err != nil {
		return nil, fmt.Errorf("application %s: %w", d, err)
	}
	app, err := bundle.DecodeApplication(data)
	if err != nil {
		return nil, err
	}
	if l.apps == nil {
		l.apps = map[manifest.Digest][]manifest.Digest{}
	}
	l.apps[d] = app.Digests()
	return slices.Clone(l.apps[d]), nil
}
