package session

import (
	"context"
	"crypto/rand"
	"errors"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"

	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/manifest"

	spokev1 "github.com/navefleet/nave/proto/nave/spoke/v1"
)

// line is a network between a spoke and its hub whose time is the test's. It is a listener, too.
type line struct {
	conns chan net.Conn
	done  chan struct{}
	stop  func()

	carriers sync.WaitGroup

	mu    sync.Mutex
	rate  int           // bytes per second in each direction
	late  time.Duration // of all that is sent from now on
	links map[*link]struct{}
}

// link is one connection: what each end writes passes through here.
type link struct {
	spoke, hub net.Conn
	mute       bool // takes everything and passes on nothing; guarded by the line's mu
}

func newLine(rate int) *line {
	l := &line{conns: make(chan net.Conn), done: make(chan struct{}), rate: rate, links: map[*link]struct{}{}}
	l.stop = sync.OnceFunc(func() { close(l.done) })
	return l
}

func (l *line) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

func (l *line) Close() error   { l.stop(); return nil }
func (l *line) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1} }

// dial is the spoke's way in.
func (l *line) dial(ctx context.Context, _ string) (net.Conn, error) {
	near, a := net.Pipe()
	b, far := net.Pipe()
	x := &link{spoke: a, hub: b}
	l.mu.Lock()
	l.links[x] = struct{}{}
	l.mu.Unlock()
	l.carriers.Go(func() { l.carry(x, a, b) })
	l.carriers.Go(func() { l.carry(x, b, a) })
	select {
	case l.conns <- far:
		return near, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-l.done:
		return nil, net.ErrClosed
	}
}

// carry passes on what comes from one end, in pieces, at the line's rate.
func (l *line) carry(x *link, from, to net.Conn) {
	piece := make([]byte, 1<<10)
	for {
		n, err := from.Read(piece)
		if err != nil {
			l.cut(x)
			return
		}
		l.mu.Lock()
		wait := l.late
		if l.rate > 0 {
			wait += time.Duration(n) * time.Second / time.Duration(l.rate)
		}
		mute := x.mute
		l.late = 0
		l.mu.Unlock()
		time.Sleep(wait)
		if mute {
			continue
		}
		if _, err := to.Write(piece[:n]); err != nil {
			l.cut(x)
			return
		}
	}
}

// cut ends a connection for both ends, in the middle of whatever it is.
func (l *line) cut(x *link) {
	l.mu.Lock()
	delete(l.links, x)
	l.mu.Unlock()
	_ = x.spoke.Close()
	_ = x.hub.Close()
}

// reset cuts all connections.
func (l *line) reset() {
	l.mu.Lock()
	var all []*link
	for x := range l.links {
		all = append(all, x)
	}
	l.mu.Unlock()
	for _, x := range all {
		l.cut(x)
	}
}

// set changes the line.
func (l *line) set(change func(l *line)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	change(l)
}

// overLine runs a session over a line in a bubble of time. connected has a value for each session that begins or ends.
func overLine(t *testing.T, rate int, do func(t *testing.T, l *line, h *hub, s *Session, connected chan bool)) {
	synctest.Test(t, func(t *testing.T) {
		l := newLine(rate)
		h := newHubOn(t, l)
		connected := make(chan bool, 64)
		s := newSession(h, &drawer{}, func(c *settings) { c.OnConnected = func(yes bool) { connected <- yes } })
		s.network = []grpc.DialOption{grpc.WithContextDialer(l.dial)}
		stop := run(t, s)
		defer func() {
			stop()
			h.server.Stop()
			l.reset()
			l.carriers.Wait()
		}()
		if !<-connected {
			t.Fatal("no session")
		}
		do(t, l, h, s, connected)
	})
}

const slow = 8 << 10 // bytes per second: 64 kbit/s

// blob is one of noise, and its chunks.
func blob(size, chunk int) (manifest.Digest, []*spokev1.FetchResponse) {
	data := make([]byte, size)
	_, _ = rand.Read(data)
	d := manifest.DigestOf(data)
	chunks := []*spokev1.FetchResponse{{Digest: d[:], Size: uint64(size)}}
	for from := 0; from < size; from += chunk {
		chunks = append(chunks, &spokev1.FetchResponse{Data: data[from:min(size, from+chunk)]})
	}
	chunks[len(chunks)-1].Last = true
	return d, chunks
}

// fetch fetches one blob and returns how much of it came.
func fetch(s *Session, d manifest.Digest) (got int, err error) {
	err = s.Fetch(context.Background(), []manifest.Digest{d}, func(_ manifest.Digest, _ uint64, frame []byte) error {
		got = len(frame)
		return nil
	})
	return got, err
}

// TestSlowLine fetches and reports over 64 kbit/s, which takes minutes, on one session.
func TestSlowLine(t *testing.T) {
	for name, tt := range map[string]struct {
		work  func(t *testing.T, h *hub, s *Session)
		least time.Duration
	}{
		"fetch":                {fetches(4<<20, 64<<10), 8 * time.Minute},
		"fetch_from_older_hub": {fetches(4<<20, 512<<10), 8 * time.Minute},
		"report":               {reports(900 << 10), time.Minute},
		"both": {func(t *testing.T, h *hub, s *Session) {
			var both sync.WaitGroup
			both.Go(func() { fetches(1<<20, 512<<10)(t, h, s) })
			both.Go(func() { reports(900<<10)(t, h, s) })
			both.Wait()
		}, 2 * time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			overLine(t, slow, func(t *testing.T, _ *line, h *hub, s *Session, connected chan bool) {
				began := time.Now()
				tt.work(t, h, s)
				if took := time.Since(began); took < tt.least {
					t.Errorf("took only %s", took)
				}
				if len(connected) > 0 {
					t.Error("the session was lost meanwhile")
				}
			})
		})
	}
}

// fetches fetches a blob that comes in chunks.
func fetches(size, chunk int) func(t *testing.T, h *hub, s *Session) {
	return func(t *testing.T, h *hub, s *Session) {
		d, chunks := blob(size, chunk)
		h.chunks = func(*spokev1.FetchRequest) []*spokev1.FetchResponse { return chunks }
		if got, err := fetch(s, d); err != nil || got != size {
			t.Errorf("%d bytes, %v", got, err)
		}
	}
}

// reports sends a report.
func reports(size int) func(t *testing.T, h *hub, s *Session) {
	return func(t *testing.T, _ *hub, s *Session) {
		if err := s.Report(context.Background(), &spokev1.ReportRequest{Events: []*spokev1.Event{
			{Message: strings.Repeat("x", size)},
		}}); err != nil {
			t.Error(err)
		}
	}
}

// TestStall has a hub that answers pings and nothing else: the calls end, and the session goes on.
func TestStall(t *testing.T) {
	for name, call := range map[string]func(h *hub, s *Session) error{
		"fetch": func(h *hub, s *Session) error {
			d, chunks := blob(1<<20, 64<<10)
			h.chunks = func(*spokev1.FetchRequest) []*spokev1.FetchResponse { return chunks[:3] }
			_, err := fetch(s, d)
			return err
		},
		"fetch_ends": func(h *hub, s *Session) error {
			d, chunks := blob(1<<10, 64<<10)
			h.chunks = func(*spokev1.FetchRequest) []*spokev1.FetchResponse { return chunks }
			_, err := fetch(s, d)
			return err
		},
		"report": func(h *hub, s *Session) error {
			for range cap(h.reports) {
				h.reports <- nil
			}
			return s.Report(context.Background(), &spokev1.ReportRequest{})
		},
	} {
		t.Run(name, func(t *testing.T) {
			overLine(t, 0, func(t *testing.T, _ *line, h *hub, s *Session, connected chan bool) {
				h.hang = true
				began := time.Now()
				err := call(h, s)
				if !errors.Is(err, errStalled) || errors.Is(err, ErrProtocol) {
					t.Errorf("got %v, want errStalled", err)
				}
				if took := time.Since(began); took > 2*stallTimeout {
					t.Errorf("after %s", took)
				}
				time.Sleep(10 * time.Minute)
				if len(connected) > 0 {
					t.Error("the session was lost")
				}
				for len(h.reports) > 0 {
					<-h.reports
				}
			})
		})
	}
}

// TestBlackHole has the network take everything for 5 s and pass it on then.
func TestBlackHole(t *testing.T) {
	overLine(t, slow, func(t *testing.T, l *line, h *hub, s *Session, connected chan bool) {
		hole := func() { l.set(func(l *line) { l.late = 5 * time.Second }) }
		var holes sync.WaitGroup
		holes.Go(func() {
			for range 6 {
				time.Sleep(20 * time.Second)
				hole()
			}
		})
		fetches(1<<20, 64<<10)(t, h, s)
		reports(100<<10)(t, h, s)
		holes.Wait()
		hole()
		s.Progress(id(1), bundle.Received)
		for m := range h.said {
			if a := m.GetAck(); a.GetBundle().GetSequence() == 1 {
				break // all before it are heartbeats
			}
		}
		if len(connected) > 0 {
			t.Error("the session was lost")
		}
	})
}

// TestHalfOpen has the network take everything and pass on nothing, for the connection that is there.
func TestHalfOpen(t *testing.T) {
	for name, call := range map[string]func(s *Session) error{
		"idle":   func(*Session) error { return errors.New("nothing was asked") },
		"fetch":  func(s *Session) error { _, err := fetch(s, manifest.Digest{1}); return err },
		"report": func(s *Session) error { return s.Report(context.Background(), &spokev1.ReportRequest{}) },
	} {
		t.Run(name, func(t *testing.T) {
			overLine(t, 0, func(t *testing.T, l *line, h *hub, s *Session, connected chan bool) {
				<-h.hellos
				l.set(func(l *line) {
					for x := range l.links {
						x.mute = true
					}
				})
				began := time.Now()
				if err := call(s); err == nil || errors.Is(err, ErrProtocol) {
					t.Errorf("the call ended with %v", err)
				}
				if <-connected || !<-connected {
					t.Error("want the session to be lost, and another one")
				}
				if took := time.Since(began); took > keepaliveTime+keepaliveTimeout+5*time.Second {
					t.Errorf("took %s", took)
				}
				if len(h.hellos) != 1 {
					t.Errorf("%d hellos", len(h.hellos))
				}
			})
		})
	}
}

// TestReset cuts the connection in the middle of a chunk, and again after the last one. It is no fault of the bundle's.
func TestReset(t *testing.T) {
	for name, sent := range map[string]int{"in_a_chunk": 64 << 10, "after_the_last": 1 << 20} {
		t.Run(name, func(t *testing.T) {
			overLine(t, slow, func(t *testing.T, l *line, h *hub, s *Session, connected chan bool) {
				d, chunks := blob(1<<20, 64<<10)
				h.chunks = func(*spokev1.FetchRequest) []*spokev1.FetchResponse { return chunks }
				h.hang = true
				before := s.client.Load().meter.moved.Load()
				go func() {
					for s.client.Load().meter.moved.Load() < before+int64(sent) {
						time.Sleep(time.Second)
					}
					time.Sleep(2 * time.Second)
					l.reset()
				}()
				if _, err := fetch(s, d); err == nil || errors.Is(err, ErrProtocol) || errors.Is(err, errStalled) {
					t.Errorf("the fetch ended with %v", err)
				}
				if <-connected || !<-connected {
					t.Error("want the session to be lost, and another one")
				}
				h.hang = false
				fetches(1<<20, 64<<10)(t, h, s)
			})
		})
	}
}
