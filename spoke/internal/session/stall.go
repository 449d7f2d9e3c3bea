package session

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	"github.com/navefleet/nave/shared/manifest"

	spokev1 "github.com/navefleet/nave/proto/nave/spoke/v1"
)

// Limits after which a call is given up. Bytes are counted instead of messages: over 64 kbit/s a message of 512 KiB
// takes more than a minute.
const (
	stallTimeout = 30 * time.Second
	stallBytes   = 1 << 10          // in stallTimeout, both ways; pings and heartbeats are less
	callTimeout  = 10 * time.Minute // for one message, while other calls keep the connection busy
)

// errStalled means that a connection exists but moves no data.
var errStalled = fmt.Errorf("the connection to the hub moved almost no data for %s", stallTimeout)

// client is the hub of one connection.
type client struct {
	spokev1.SpokeServiceClient
	conn     *grpc.ClientConn
	stream   spokev1.SpokeService_SessionClient // only serve sends
	meter    *meter
	protocol uint32          // the newest that the hub speaks
	sent     progress        // the progress that the hub knows
	has      manifest.Digest // digest of the capabilities that the hub has
}

// meter counts the bytes that one connection moves, both ways.
type meter struct{ moved atomic.Int64 }

// watch returns a context that ends with the cause errStalled when the connection moves fewer than stallBytes in
// stallTimeout.
func (m *meter) watch(ctx context.Context) (context.Context, context.CancelCauseFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	go func() {
		tick := time.NewTicker(stallTimeout)
		defer tick.Stop()
		for last := m.moved.Load(); ; {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			now := m.moved.Load()
			if now-last < stallBytes {
				cancel(errStalled)
			}
			last = now
		}
	}()
	return ctx, cancel
}

// causeOf returns the cause of a failed call. If the context ended, that is the cause of its end, which gRPC leaves
// out.
func causeOf(ctx context.Context, err error) error {
	if err != nil && errors.Is(context.Cause(ctx), errStalled) {
		return errStalled
	}
	return err
}

// metered are credentials that count the bytes of their connections. Counting below TLS leaves gRPC its own dialler,
// which supports proxies.
type metered struct {
	credentials.TransportCredentials
	meter *meter
}

// ClientHandshake implements credentials.TransportCredentials.
func (m metered) ClientHandshake(ctx context.Context, authority string, c net.Conn) (net.Conn, credentials.AuthInfo,
	error) {
	return m.TransportCredentials.ClientHandshake(ctx, authority, meteredConn{c, m.meter})
}

// Clone implements credentials.TransportCredentials.
func (m metered) Clone() credentials.TransportCredentials {
	return metered{m.TransportCredentials.Clone(), m.meter}
}

type meteredConn struct {
	net.Conn
	meter *meter
}

func (c meteredConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.meter.moved.Add(int64(n))
	return n, err
}

func (c meteredConn) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	c.meter.moved.Add(int64(n))
	return n, err
}
