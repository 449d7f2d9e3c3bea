package hub

import (
	"container/list"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// connLimit bounds how many connections of one kind are open at the same moment. If there is no room for a new one, the
// oldest connection of a source that has more than the new one's source is closed. If no source has more, the oldest of
// the new one's own source is closed, provided it is older than grace. Else the new one is refused. So one source
// cannot block another one, and idle connections block those of the same source for no longer than grace.
type connLimit struct {
	bounds
	refused prometheus.Counter

	mu     sync.Mutex
	order  *list.List // of *place, the oldest first
	places map[*conn]*list.Element
	counts map[string]int // by source
}

// bounds are the limits of a connLimit.
type bounds struct {
	max       int           // of all sources; 0: any number
	perSource int           // 0: any number up to max
	grace     time.Duration // how long a connection is safe from those of its own source
}

// place is one connection in a limit.
type place struct {
	conn   *conn
	source string
	since  time.Time
}

func newConnLimit(b bounds, refused prometheus.Counter) *connLimit {
	return &connLimit{bounds: b, refused: refused, order: list.New(), places: map[*conn]*list.Element{},
		counts: map[string]int{}}
}

// add counts a connection of a source, and closes another one if needed. It returns false if there is no room.
func (l *connLimit) add(c *conn, source string) bool {
	closed, ok := l.insert(c, source, time.Now())
	if closed != nil || !ok {
		l.refused.Inc()
	}
	if closed != nil {
		_ = closed.Close()
	}
	return ok
}

// insert counts a connection as add does; the caller must close the connection that insert returns.
func (l *connLimit) insert(c *conn, source string, now time.Time) (replaced *conn, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	crowded := l.perSource > 0 && l.counts[source] >= l.perSource
	if crowded || l.max > 0 && len(l.places) >= l.max {
		if replaced = l.replaceable(source, crowded, now); replaced == nil {
			return nil, false
		}
		l.drop(replaced)
	}
	l.places[c] = l.order.PushBack(&place{c, source, now})
	l.counts[source]++
	return replaced, true
}

// replaceable returns the connection that a new one of the source may replace, or nil. If crowded is set, it must be of
// the same source. The caller holds mu.
func (l *connLimit) replaceable(source string, crowded bool, now time.Time) *conn {
	own := l.counts[source]
	largest := crowded || 2*own >= len(l.places) // no other source has more, or it does not matter
	var oldest *place                            // of the same source
	for e := l.order.Front(); e != nil && (oldest == nil || !largest); e = e.Next() {
		p := e.Value.(*place)
		if !largest && l.counts[p.source] > own {
			return p.conn
		}
		if oldest == nil && p.source == source {
			oldest = p
		}
	}
	if oldest == nil || now.Sub(oldest.since) < l.grace {
		return nil
	}
	return oldest.conn
}

// remove stops counting a connection.
func (l *connLimit) remove(c *conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.drop(c)
}

// drop stops counting a connection. The caller holds mu.
func (l *connLimit) drop(c *conn) {
	e, ok := l.places[c]
	if !ok {
		return
	}
	p := l.order.Remove(e).(*place)
	delete(l.places, c)
	if l.counts[p.source]--; l.counts[p.source] == 0 {
		delete(l.counts, p.source)
	}
}

func (l *connLimit) count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.places)
}

// conn is a connection that counts in one limit until it is closed.
type conn struct {
	net.Conn

	mu sync.Mutex
	in *connLimit
}

// move counts the connection in another limit. If there is no room, move returns false and changes nothing.
func (c *conn) move(to *connLimit, source string) bool {
	if !to.add(c, source) {
		return false
	}
	c.mu.Lock()
	from := c.in
	c.in = to
	c.mu.Unlock()
	if from != nil {
		from.remove(c)
	}
	return true
}

// Close implements net.Conn. It may be called more than once.
func (c *conn) Close() error {
	err := c.Conn.Close()
	c.mu.Lock()
	in := c.in
	c.mu.Unlock()
	if in != nil {
		in.remove(c)
	}
	return err
}

// limited is a listener whose connections count in a limit by their remote address.
type limited struct {
	net.Listener
	limit *connLimit
}

// Accept returns the next connection within the limit, a *conn. It closes connections beyond the limit.
func (l limited) Accept() (net.Conn, error) {
	for {
		accepted, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		c := &conn{Conn: accepted}
		if c.move(l.limit, sourceOf(accepted.RemoteAddr())) {
			return c, nil
		}
		_ = c.Close()
	}
}

// sourceOf returns the source of an address: an IPv4 address, or the /64 network of an IPv6 address, because one host
// can have all addresses of its network.
func sourceOf(address net.Addr) string {
	from, err := netip.ParseAddrPort(address.String())
	if err != nil {
		return address.String()
	}
	ip := from.Addr().Unmap()
	if ip.Is4() {
		return ip.String()
	}
	network, err := ip.WithZone("").Prefix(64)
	if err != nil {
		return ip.String()
	}
	return network.String()
}
