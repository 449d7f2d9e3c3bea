package hub

import (
	"context"
	"errors"
	"net"
	"sync"
	"time"

	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/peer"

	"github.com/navefleet/nave/shared/identity"
)

var errTooMany = errors.New("too many connections")

// admission makes the TLS handshake and then counts the connection: one with a certificate by its identity, one without
// by its address. It passes connections without a certificate on to the server for strangers.
type admission struct {
	credentials.TransportCredentials

	clusters, operators, strangers *connLimit
	pass                           *passed
}

// ServerHandshake implements credentials.TransportCredentials. Connections must be of a limited listener.
func (h *admission) ServerHandshake(accepted net.Conn) (net.Conn, credentials.AuthInfo, error) {
	secure, info, err := h.TransportCredentials.ServerHandshake(accepted)
	if err != nil {
		return nil, nil, err
	}
	c := accepted.(*conn)
	caller, err := identity.Peer(peer.NewContext(context.Background(), &peer.Peer{AuthInfo: info}))
	limit, source := h.clusters, caller.ID.String()
	switch {
	case err != nil: // there is no certificate: a bad one fails the handshake
		limit, source = h.strangers, sourceOf(accepted.RemoteAddr())
	case caller.Role == identity.Operator:
		limit = h.operators
	}
	if !c.move(limit, source) {
		return nil, nil, errors.Join(errTooMany, secure.Close())
	}
	if limit != h.strangers {
		return secure, info, nil
	}
	if !h.pass.on(secure, info) {
		return nil, nil, errors.Join(net.ErrClosed, secure.Close())
	}
	return nil, nil, credentials.ErrConnDispatched
}

// passed is a listener of connections whose handshake another server has made. It closes each connection after life.
type passed struct {
	address net.Addr
	life    time.Duration
	conns   chan *stranger
	closed  chan struct{}
	once    sync.Once
}

func newPassed(address net.Addr, life time.Duration) *passed {
	return &passed{address: address, life: life, conns: make(chan *stranger), closed: make(chan struct{})}
}

// on passes a connection on. It returns false if the listener is closed.
func (p *passed) on(c net.Conn, info credentials.AuthInfo) bool {
	s := &stranger{Conn: c, info: info, end: time.AfterFunc(p.life, func() { _ = c.Close() })}
	select {
	case p.conns <- s:
		return true
	case <-p.closed:
		s.end.Stop()
		return false
	}
}

// Accept implements net.Listener.
func (p *passed) Accept() (net.Conn, error) {
	select {
	case s := <-p.conns:
		return s, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener.
func (p *passed) Close() error {
	p.once.Do(func() { close(p.closed) })
	return nil
}

// Addr implements net.Listener.
func (p *passed) Addr() net.Addr { return p.address }

// stranger is a connection without a certificate.
type stranger struct {
	net.Conn
	info credentials.AuthInfo
	end  *time.Timer
}

// Close implements net.Conn. It may be called more than once.
func (s *stranger) Close() error {
	s.end.Stop()
	return s.Conn.Close()
}

// handshaken are the credentials of a server whose connections are strangers.
type handshaken struct {
	credentials.TransportCredentials
}

// ServerHandshake implements credentials.TransportCredentials.
func (handshaken) ServerHandshake(c net.Conn) (net.Conn, credentials.AuthInfo, error) {
	return c, c.(*stranger).info, nil
}
