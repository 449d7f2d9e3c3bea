package hub

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"

	"github.com/navefleet/nave/e2e/level"
	registrationv1 "github.com/navefleet/nave/proto/nave/registration/v1"
	spokev1 "github.com/navefleet/nave/proto/nave/spoke/v1"
	"github.com/navefleet/nave/shared/identity"
)

// patience is how long a test waits for an event that should come at once.
const patience = 20 * time.Second

// Two addresses of callers.
const (
	here  = "127.0.0.1"
	there = "127.0.0.2"
)

func dialer(from string) *net.Dialer {
	return &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}, Timeout: patience}
}

// strangerTLS returns a configuration that verifies the hub and shows no certificate.
func (h *Hub) strangerTLS() *tls.Config { return identity.PinnedClientTLS(h.authority.Pin()) }

// spokeTLS returns a configuration that shows a certificate of a cluster.
func (h *Hub) spokeTLS(t *testing.T, cluster string) *tls.Config {
	t.Helper()
	domain := h.authority.TrustDomain()
	c := h.credentialFor(t, h.authority, identity.ID{TrustDomain: domain, Role: identity.Cluster, Name: cluster})
	return identity.ClientTLS(c, identity.ID{TrustDomain: domain})
}

// dialFrom connects as a real client, which tries again soon.
func (h *Hub) dialFrom(t *testing.T, from string, config *tls.Config) *grpc.ClientConn {
	t.Helper()
	soon := backoff.Config{BaseDelay: 10 * time.Millisecond, Multiplier: 1.5, Jitter: .5, MaxDelay: 200 * time.Millisecond}
	conn, err := grpc.NewClient("passthrough:///"+h.Addr().String(),
		grpc.WithTransportCredentials(credentials.NewTLS(config)),
		grpc.WithConnectParams(grpc.ConnectParams{Backoff: soon, MinConnectTimeout: 5 * time.Second}),
		grpc.WithContextDialer(func(ctx context.Context, address string) (net.Conn, error) {
			return dialer(from).DialContext(ctx, "tcp", address)
		}))
	must(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// works returns the error of a call that a spoke may make.
func works(t *testing.T, conn *grpc.ClientConn) error {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	_, err := healthv1.NewHealthClient(conn).Check(ctx, &healthv1.HealthCheckRequest{}, grpc.WaitForReady(true))
	return err
}

// registers returns an error unless the hub answers a call of Register.
func registers(t *testing.T, conn *grpc.ClientConn) error {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	key, err := identity.NewKey()
	must(t, err)
	csr, err := identity.NewCSR(key)
	must(t, err)
	request := &registrationv1.RegisterRequest{Token: "nobody made it", Csr: csr}
	_, err = registrationv1.NewRegistrationServiceClient(conn).Register(ctx, request, grpc.WaitForReady(true))
	if status.Code(err) != codes.Unauthenticated {
		return fmt.Errorf("want an answer of Register, got %w", err)
	}
	return nil
}

// tcp opens n idle connections, and closes them at the end of the test.
func (h *Hub) tcp(t *testing.T, from string, n int) (conns []net.Conn) {
	t.Helper()
	for range n {
		c, err := dialer(from).Dial("tcp", h.Addr().String())
		must(t, err)
		t.Cleanup(func() { _ = c.Close() })
		conns = append(conns, c)
	}
	return conns
}

// ends returns when the hub has ended the connection, and fails the test when it does not.
func ends(t *testing.T, c net.Conn) {
	t.Helper()
	must(t, c.SetReadDeadline(time.Now().Add(patience)))
	if _, err := io.Copy(io.Discard, c); errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatal("the hub does not end it")
	}
}

// rawPeer speaks HTTP/2 frame by frame.
type rawPeer struct {
	*tls.Conn
	*http2.Framer
	block   bytes.Buffer
	headers *hpack.Encoder
	stream  uint32
}

func (h *Hub) raw(t *testing.T, from string, config *tls.Config) *rawPeer {
	t.Helper()
	c, err := tls.DialWithDialer(dialer(from), "tcp", h.Addr().String(), config)
	must(t, err)
	t.Cleanup(func() { _ = c.Close() })
	p := &rawPeer{Conn: c, Framer: http2.NewFramer(c, c), stream: 1}
	p.headers = hpack.NewEncoder(&p.block)
	return p
}

// begin sends the preface, and returns when the hub has admitted or refused the connection. It reads on in the
// background.
func (p *rawPeer) begin() {
	if _, err := io.WriteString(p.Conn, http2.ClientPreface); err != nil || p.WriteSettings() != nil {
		return
	}
	if _, err := p.ReadFrame(); err == nil {
		go func() { _, _ = io.Copy(io.Discard, p.Conn) }()
	}
}

// call writes the headers of a call, and returns its stream.
func (p *rawPeer) call(path string) (uint32, error) {
	stream := p.stream
	p.stream += 2
	p.block.Reset()
	for _, f := range [][2]string{
		{":method", "POST"}, {":scheme", "https"}, {":path", path}, {":authority", "hub"}, {"content-type",
			"application/grpc"}, {"te", "trailers"},
	} {
		if err := p.headers.WriteField(hpack.HeaderField{Name: f[0], Value: f[1]}); err != nil {
			return 0, err
		}
	}
	return stream, p.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, BlockFragment: p.block.Bytes(),
		EndHeaders: true})
}

const registerPath = registrationv1.RegistrationService_Register_FullMethodName

// TestStrangersEnd checks that the hub ends every connection without a certificate, and that none of them leaks.
func TestStrangersEnd(t *testing.T) {
	limits := defaultConnections
	limits.life = time.Second
	h := startHubWith(t, limits)
	must(t, registers(t, h.dial(t, h.strangerTLS())))
	for name, do := range map[string]func(t *testing.T, p *rawPeer){
		"no_preface": func(*testing.T, *rawPeer) {},
		"no_call":    func(_ *testing.T, p *rawPeer) { p.begin() },
		"no_body": func(t *testing.T, p *rawPeer) {
			p.begin()
			for range 2 * maxStreams {
				_, err := p.call(registerPath)
				must(t, err)
			}
		},
		"half_a_body": func(t *testing.T, p *rawPeer) {
			p.begin()
			stream, err := p.call(registerPath)
			must(t, err)
			must(t, p.WriteData(stream, false, []byte{0, 0, 0, 1, 0, 1, 2, 3}))
		},
		"a_byte_at_a_time": func(t *testing.T, p *rawPeer) {
			p.begin()
			stream, err := p.call(registerPath)
			must(t, err)
			must(t, p.WriteData(stream, false, []byte{0, 0, 0, 0x3f, 0xff}))
			for err == nil {
				time.Sleep(20 * time.Millisecond)
				err = p.WriteData(stream, false, []byte{1})
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			before := level.Take()
			var peers []*rawPeer
			for range 30 {
				peers = append(peers, h.raw(t, there, h.strangerTLS()))
			}
			var all sync.WaitGroup
			for _, p := range peers {
				all.Go(func() { do(t, p) })
			}
			all.Wait()
			for _, p := range peers {
				ends(t, p.Conn)
				_ = p.Close()
			}
			must(t, before.Return(patience))
		})
	}
}

// TestStreams opens more streams than a connection may have.
func TestStreams(t *testing.T) {
	h := startHub(t)
	for name, tt := range map[string]struct {
		config *tls.Config
		path   string
		max    uint32
	}{
		"stranger": {h.strangerTLS(), registerPath, maxStrangerStreams},
		"spoke":    {h.spokeTLS(t, "a"), spokev1.SpokeService_Report_FullMethodName, maxStreams},
	} {
		t.Run(name, func(t *testing.T) {
			p := h.raw(t, here, tt.config)
			_, err := io.WriteString(p.Conn, http2.ClientPreface)
			must(t, err)
			must(t, p.WriteSettings())
			for range tt.max + 1 {
				_, err := p.call(tt.path)
				must(t, err)
			}
			must(t, p.SetReadDeadline(time.Now().Add(patience)))
			for {
				frame, err := p.ReadFrame()
				must(t, err)
				if reset, ok := frame.(*http2.RSTStreamFrame); ok {
					if reset.ErrCode != http2.ErrCodeRefusedStream || reset.StreamID != 2*tt.max+1 {
						t.Errorf("stream %d ends with %s", reset.StreamID, reset.ErrCode)
					}
					return
				}
			}
		})
	}
}

// TestStrangersMakeRoom has one source open the maximum number of connections without a certificate.
func TestStrangersMakeRoom(t *testing.T) {
	limits := defaultConnections
	limits.strangers, limits.grace, limits.life = 8, 100*time.Millisecond, time.Minute
	h := startHubWith(t, limits)
	for range 40 {
		h.raw(t, there, h.strangerTLS()).begin()
	}
	began := time.Now()
	must(t, registers(t, h.dialFrom(t, here, h.strangerTLS())))
	must(t, works(t, h.dialFrom(t, there, h.spokeTLS(t, "a"))))
	must(t, registers(t, h.dialFrom(t, there, h.strangerTLS())))
	if took := time.Since(began); took > limits.life/2 {
		t.Errorf("took %s", took)
	}
}

// TestIdleHandshakes has one source open the maximum number of idle connections, and try to open many more.
func TestIdleHandshakes(t *testing.T) {
	limits := defaultConnections
	limits.handshakes, limits.grace = 32, 100*time.Millisecond
	h := startHubWith(t, limits)
	known := h.dialFrom(t, here, h.spokeTLS(t, "known"))
	must(t, works(t, known))
	before := level.Take()
	idle := h.tcp(t, there, 300)
	if n := h.listener.(limited).limit.count(); n > limits.handshakes {
		t.Errorf("%d wait", n)
	}
	for name, conn := range map[string]*grpc.ClientConn{
		"a spoke that is there":                 known,
		"a spoke from elsewhere":                h.dialFrom(t, here, h.spokeTLS(t, "a")),
		"a spoke from the same place":           h.dialFrom(t, there, h.spokeTLS(t, "b")),
		"a spoke with an old session's ticket":  h.dialFrom(t, there, h.spokeTLS(t, "known")),
		"another spoke of the same cluster's":   h.dialFrom(t, here, h.spokeTLS(t, "known")),
		"a spoke that comes after all of these": h.dialFrom(t, there, h.spokeTLS(t, "c")),
	} {
		if err := works(t, conn); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if conn != known {
			_ = conn.Close()
		}
	}
	for _, c := range idle {
		_ = c.Close()
	}
	must(t, before.Return(patience))
}

// TestReconnectStorm has many more spokes come back at once, from one address, than may be in a handshake.
func TestReconnectStorm(t *testing.T) {
	const spokes = 200
	limits := defaultConnections
	limits.handshakes = 16
	h := startHubWith(t, limits)
	configs := make([]*tls.Config, spokes)
	for i := range configs {
		configs[i] = h.spokeTLS(t, fmt.Sprint("c", i))
	}
	before := level.Take()
	errs := make(chan error, spokes)
	var conns []*grpc.ClientConn
	for _, config := range configs {
		conn := h.dialFrom(t, here, config)
		conns = append(conns, conn)
		go func() { errs <- works(t, conn) }()
	}
	for range spokes {
		if err := <-errs; err != nil {
			t.Fatal(err)
		}
	}
	for _, conn := range conns {
		_ = conn.Close()
	}
	must(t, before.Return(patience))
}

// TestClusterConnections has one cluster open more connections than it may have. The newest ones stay, and other
// clusters are not affected.
func TestClusterConnections(t *testing.T) {
	limits := defaultConnections
	limits.cluster = 4
	h := startHubWith(t, limits)
	other := h.dialFrom(t, here, h.spokeTLS(t, "b"))
	must(t, works(t, other))
	config := h.spokeTLS(t, "a")
	var peers []*rawPeer
	for range 3 * limits.cluster {
		p := h.raw(t, there, config)
		p.begin()
		peers = append(peers, p)
	}
	for _, p := range peers[:len(peers)-limits.cluster] {
		ends(t, p.Conn)
	}
	newest := peers[len(peers)-1]
	_, err := newest.call(spokev1.SpokeService_Session_FullMethodName)
	must(t, err)
	must(t, works(t, other))
	must(t, works(t, h.dialFrom(t, here, config)))
}

// TestRapidReset opens streams and resets them at once, as fast as it can.
func TestRapidReset(t *testing.T) {
	h := startHub(t)
	for name, c := range map[string]struct {
		config *tls.Config
		path   string
	}{
		"stranger":       {h.strangerTLS(), registerPath},
		"spoke_sessions": {h.spokeTLS(t, "evil"), spokev1.SpokeService_Session_FullMethodName},
		"spoke_reports":  {h.spokeTLS(t, "evil"), spokev1.SpokeService_Report_FullMethodName},
	} {
		t.Run(name, func(t *testing.T) {
			good := h.dialFrom(t, here, h.spokeTLS(t, "good"))
			must(t, works(t, good))
			before := level.Take()
			p := h.raw(t, there, c.config)
			p.begin()
			for i := range 5000 {
				stream, err := p.call(c.path)
				if err == nil {
					err = p.WriteRSTStream(stream, http2.ErrCodeCancel)
				}
				if err != nil {
					break // the hub has had enough
				}
				if i%1000 == 0 {
					must(t, works(t, good))
				}
			}
			must(t, works(t, good))
			_ = p.Close()
			must(t, before.Return(patience))
		})
	}
}

// TestHeaderFloods sends headers without end, and headers that unpack to thousands of times their size.
func TestHeaderFloods(t *testing.T) {
	h := startHub(t)
	for name, flood := range map[string]func(p *rawPeer) error{
		"continuation": func(p *rawPeer) error {
			err := p.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: []byte{0x82}})
			for n := 0; err == nil && n < 64<<20; n += 16 << 10 {
				p.block.Reset()
				_ = p.headers.WriteField(hpack.HeaderField{Name: "x", Value: strings.Repeat("x", 15<<10), Sensitive: true})
				err = p.WriteContinuation(1, false, p.block.Bytes())
			}
			return err
		},
		"hpack": func(p *rawPeer) error {
			p.block.Reset()
			_ = p.headers.WriteField(hpack.HeaderField{Name: "x", Value: strings.Repeat("x", 4000)}) // goes into the table
			block := append(p.block.Bytes(), bytes.Repeat([]byte{0x80 | 62}, 15<<10)...)             // and comes out again
			var err error
			for stream := uint32(1); err == nil && stream < 2001; stream += 2 {
				err = p.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, BlockFragment: block, EndHeaders: true})
			}
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			must(t, works(t, h.dialFrom(t, here, h.spokeTLS(t, "good"))))
			before := level.Take()
			p := h.raw(t, there, h.spokeTLS(t, "evil"))
			p.begin()
			if err := flood(p); err == nil && name == "continuation" {
				t.Error("the hub reads on")
			}
			must(t, works(t, h.dialFrom(t, here, h.spokeTLS(t, "good"))))
			_ = p.Close()
			must(t, before.Return(patience))
		})
	}
}

// TestHTTPFloods checks the limits of the listener for metrics.
func TestHTTPFloods(t *testing.T) {
	limits := defaultConnections
	limits.http, limits.grace = 8, 100*time.Millisecond
	h := startHubWith(t, limits)
	dial := func(from string) net.Conn {
		c, err := dialer(from).Dial("tcp", h.HTTPAddr().String())
		must(t, err)
		t.Cleanup(func() { _ = c.Close() })
		return c
	}
	slow := dial(here)
	_, err := io.WriteString(slow, "POST /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nx") // and no more
	must(t, err)
	ends(t, slow)
	for range 40 {
		dial(there)
	}
	client := &http.Client{Timeout: patience, Transport: &http.Transport{DialContext: dialer(here).DialContext,
		DisableKeepAlives: true}}
	answer, err := client.Get("http://" + h.HTTPAddr().String() + "/healthz")
	must(t, err)
	_ = answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		t.Errorf("%s", answer.Status)
	}
}
