// Package proxy forwards TCP connections on loopback and spoils them: latency, loss, a narrow line, black holes, peers
// that vanish, resets in the middle of a message.
//
//	p, err := proxy.Listen(target)
//	p.SetLatency(500 * time.Millisecond) // from now on, for connections that are open too
//	p.Clear()                            // everything passes again
//
// A fault holds from the moment it is set. Loss is played as TCP shows it to whoever reads: a segment that was lost
// arrives late, and all behind it with it. The toxiproxy module was looked at: it resets and stops connections only as
// a whole or after a time, tells no test what passed, and brings an HTTP API, a router and a logger along.
package proxy

import (
	"errors"
	"math/rand/v2"
	"net"
	"sync"
	"time"
)

// Direction is one of the two ways through a proxy.
type Direction int

// The two directions.
const (
	ToTarget Direction = iota
	ToClient
)

// Faults are what a proxy does to the bytes that pass. The zero value does nothing.
type Faults struct {
	Latency time.Duration // of each byte, in each direction
	Rate    int           // bytes per second of each connection in each direction; 0: no limit
	Loss    float64       // the part of segments that are lost and sent again, 0 to 1
	Resend  time.Duration // how late a lost segment arrives
	Hold    [2]bool       // by Direction: bytes wait inside of the proxy until this is false again
	Refuse  bool          // new connections are reset
}

// segment is how many bytes are lost together.
const segment = 1400

// Proxy forwards connections to one address. Its methods are safe for concurrent use.
type Proxy struct {
	listener net.Listener
	target   string
	work     sync.WaitGroup

	mu      sync.Mutex // guards what follows
	faults  Faults
	changed chan struct{} // closed when faults change, or a connection's do
	chance  *rand.Rand
	links   map[*link]bool
	opened  int
	resets  [2]resets
	passed  [2]int64
	waiting [2]int64
	closed  bool
}

// Listen returns a proxy on a loopback address of its own that forwards to target.
func Listen(target string) (*Proxy, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p := &Proxy{
		listener: listener, target: target, changed: make(chan struct{}), links: map[*link]bool{},
		chance: rand.New(rand.NewPCG(1, 2)), // the same in every run
	}
	p.work.Go(p.accept)
	return p, nil
}

// Addr returns the address to dial instead of the target's.
func (p *Proxy) Addr() string { return p.listener.Addr().String() }

// Close ends the proxy and resets its connections.
func (p *Proxy) Close() error {
	p.change(func() { p.closed = true })
	err := p.listener.Close()
	p.Cut()
	p.work.Wait()
	return err
}

// Set replaces the faults.
func (p *Proxy) Set(f Faults) { p.change(func() { p.faults = f }) }

// Clear takes every fault away: bytes that were held pass, and connections that Vanish took are reset.
func (p *Proxy) Clear() {
	var gone []*link
	p.change(func() {
		p.faults, p.resets = Faults{}, [2]resets{}
		for l := range p.links {
			if l.vanished {
				gone = append(gone, l)
			}
		}
	})
	for _, l := range gone {
		l.reset()
	}
}

// Vanish makes the peers of all connections that are open vanish: nothing passes any more, and neither end is told.
func (p *Proxy) Vanish() {
	p.change(func() {
		for l := range p.links {
			l.vanished = true
		}
	})
}

// Cut resets the connections that are open. Bytes that are held are lost.
func (p *Proxy) Cut() {
	p.mu.Lock()
	links := make([]*link, 0, len(p.links))
	for l := range p.links {
		links = append(links, l)
	}
	p.mu.Unlock()
	for _, l := range links {
		l.reset()
	}
}

// Reset resets the connection over which the n-th byte from now on passes in a direction, in the middle of whatever
// that is; and the connection over which the n-th byte after that passes, so many times.
func (p *Proxy) Reset(d Direction, n int64, times int) {
	p.change(func() { p.resets[d] = resets{at: p.passed[d] + n, every: n, left: times} })
}

// resets says when to reset connections: by the bytes that passed, of all connections together.
type resets struct {
	at, every int64
	left      int
}

// Passed returns how many bytes left the proxy in a direction.
func (p *Proxy) Passed(d Direction) int64 { return p.count(&p.passed, d) }

// Waiting returns how many bytes came into the proxy in a direction and did not leave it.
func (p *Proxy) Waiting(d Direction) int64 { return p.count(&p.waiting, d) }

// Opened returns how many connections there ever were.
func (p *Proxy) Opened() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.opened
}

func (p *Proxy) count(counts *[2]int64, d Direction) int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return counts[d]
}

// change changes something that connections wait for.
func (p *Proxy) change(fn func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	fn()
	close(p.changed)
	p.changed = make(chan struct{})
}

func (p *Proxy) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		p.mu.Lock()
		refuse := p.faults.Refuse
		p.mu.Unlock()
		if refuse {
			reset(client)
			continue
		}
		p.work.Go(func() { p.serve(client) })
	}
}

func (p *Proxy) serve(client net.Conn) {
	target, err := net.Dial("tcp", p.target)
	if err != nil {
		reset(client)
		return
	}
	l := &link{proxy: p, ends: [2]net.Conn{ToTarget: target, ToClient: client}, ended: make(chan struct{})}
	p.mu.Lock()
	p.links[l] = true
	p.opened++
	closed := p.closed
	p.mu.Unlock()
	if closed {
		l.reset()
	}
	l.run()
	p.change(func() { delete(p.links, l) })
}

// errReset ends a connection.
var errReset = errors.New("reset")

// reset closes a connection without a goodbye.
func reset(c net.Conn) {
	if tcp, ok := c.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = c.Close()
}
