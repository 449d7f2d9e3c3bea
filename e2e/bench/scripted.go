package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/status"

	registrationv1 "github.com/navefleet/nave/proto/nave/registration/v1"
	spokev1 "github.com/navefleet/nave/proto/nave/spoke/v1"
	"github.com/navefleet/nave/shared/identity"
	"github.com/navefleet/nave/shared/manifest"
	"github.com/navefleet/nave/shared/version"
)

// Times of nave-spoke.
const (
	reportGather   = 20 * time.Millisecond
	heartbeat      = 20 * time.Second
	welcomeTimeout = 30 * time.Second
	firstPause     = time.Second
	longPause      = 120 * time.Second
	livedLong      = 10 * time.Second
)

// scripted is one spoke of a crowd.
type scripted struct {
	name  string
	dial  func() (*grpc.ClientConn, error)
	bytes *traffic
	have  map[manifest.Digest]bool
	index int // in its crowd

	verified *spokev1.BundleId
	stage    spokev1.AckStage

	mu     sync.Mutex // held while a message is sent
	conn   *grpc.ClientConn
	client spokev1.SpokeServiceClient
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

// register trades a join token for a certificate, as a spoke does, and returns a spoke that can connect.
func register(ctx context.Context, t ticket) (*scripted, error) {
	key, err := identity.NewKey()
	if err != nil {
		return nil, err
	}
	csr, err := identity.NewCSR(key)
	if err != nil {
		return nil, err
	}
	conn, err := grpc.NewClient("passthrough:///"+t.Hub,
		grpc.WithTransportCredentials(credentials.NewTLS(identity.PinnedClientTLS(t.Pin))))
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	answer, err := registrationv1.NewRegistrationServiceClient(conn).Register(ctx,
		&registrationv1.RegisterRequest{Token: t.Token, Csr: csr})
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
	return newScripted(t.Name, t.Hub, t.TrustDomain, pair, authorities), nil
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

// newScripted returns a spoke whose connection is set up as nave-spoke's is, but for its smaller buffers, so that many
// fit into one process.
func newScripted(name, address, domain string, pair tls.Certificate, authorities []*x509.Certificate) *scripted {
	credential := &identity.Credential{}
	credential.Set(pair, authorities)
	s := &scripted{name: name, bytes: &traffic{}, have: map[manifest.Digest]bool{}, verified: &spokev1.BundleId{}}
	s.dial = func() (*grpc.ClientConn, error) {
		return grpc.NewClient("passthrough:///"+address,
			grpc.WithTransportCredentials(credentials.NewTLS(identity.ClientTLS(credential,
				identity.ID{TrustDomain: domain, Role: identity.Hub}))),
			grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: 30 * time.Second, Timeout: 10 * time.Second,
				PermitWithoutStream: true}),
			grpc.WithDisableServiceConfig(), grpc.WithReadBufferSize(4<<10), grpc.WithWriteBufferSize(4<<10),
			grpc.WithContextDialer(func(ctx context.Context, address string) (net.Conn, error) {
				conn, err := new(net.Dialer).DialContext(ctx, "tcp", address)
				return countedConn{conn, s.bytes}, err
			}),
		)
	}
	return s
}

// hello is that of a spoke that knows no feature.
func (s *scripted) hello() *spokev1.Hello {
	return &spokev1.Hello{Protocol: version.Protocol, Version: "bench", KubernetesVersion: "v1.37.2",
		Verified: s.verified, Stage: s.stage}
}

// open makes a connection, opens the session and waits for the welcome.
func (s *scripted) open(ctx context.Context, hello *spokev1.Hello) (err error) {
	conn, err := s.dial()
	if err != nil {
		return err
	}
	s.mu.Lock()
	s.conn, s.client = conn, spokev1.NewSpokeServiceClient(conn)
	s.mu.Unlock()
	// A stream has no deadline of its own, so a watchdog ends it when no welcome comes.
	ctx, cancel := context.WithCancel(ctx)
	watchdog := time.AfterFunc(welcomeTimeout, cancel)
	stream, err := s.client.Session(ctx)
	if err != nil {
		cancel()
		return err
	}
	err = stream.Send(&spokev1.SessionRequest{Message: &spokev1.SessionRequest_Hello{Hello: hello}})
	message, recvErr := stream.Recv()
	if recvErr == nil && !watchdog.Stop() {
		recvErr = status.Errorf(codes.DeadlineExceeded, "no welcome in %s", welcomeTimeout)
	}
	if recvErr != nil {
		cancel()
		return recvErr // says why a Send failed, too
	}
	if message.GetWelcome() == nil {
		cancel()
		return errors.Join(err, errors.New("the first message is no welcome"))
	}
	s.mu.Lock()
	s.stream = stream
	s.mu.Unlock()
	context.AfterFunc(stream.Context(), cancel)
	return err
}

// send sends a message.
func (s *scripted) send(m *spokev1.SessionRequest) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stream.Send(m)
}

// hangUp ends the connection.
func (s *scripted) hangUp() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.conn != nil {
		_ = s.conn.Close() // that it is closed already is fine
	}
}
