package identity

import (
	"context"
	"errors"
	"fmt"
	"time"

	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/peer"
)

// ErrNoPeer says that the other end of a connection has not proved who it is.
var ErrNoPeer = errors.New("the peer shows no verified client certificate")

// Caller is who calls, by the certificate that was shown.
type Caller struct {
	ID
	// Registration is what the certificate of a cluster's spoke says it is of; see Authority.IssueRegistered. Empty: the
	// certificate does not say.
	Registration string
	// IssuedAt is when the certificate was issued, to the second, by the clock of who issued it.
	IssuedAt time.Time
}

// callerKey is the key of a Caller in the context of a call.
type callerKey struct{}

// WithCaller returns the context of a call by the caller. An interceptor that has verified who calls sets it: from the
// certificate, as Peer does, or from another proof.
func WithCaller(ctx context.Context, c Caller) context.Context {
	return context.WithValue(ctx, callerKey{}, c)
}

// CallerOf returns who calls, as WithCaller noted it. If nobody did, the error wraps ErrNoPeer.
func CallerOf(ctx context.Context) (Caller, error) {
	c, ok := ctx.Value(callerKey{}).(Caller)
	if !ok {
		return Caller{}, ErrNoPeer
	}
	return c, nil
}

// PeerID returns the identity at the other end of a gRPC call, from the certificate that the TLS handshake verified.
// Without a certificate the error wraps ErrNoPeer.
func PeerID(ctx context.Context) (ID, error) {
	caller, err := Peer(ctx)
	return caller.ID, err
}

// Peer is PeerID, with what else the certificate says.
func Peer(ctx context.Context) (Caller, error) {
	p, ok := peer.FromContext(ctx)
	if !ok {
		return Caller{}, ErrNoPeer
	}
	info, ok := p.AuthInfo.(credentials.TLSInfo)
	if !ok || len(info.State.VerifiedChains) == 0 {
		return Caller{}, ErrNoPeer
	}
	id, err := identityOf(info.State.VerifiedChains)
	if err != nil {
		return Caller{}, fmt.Errorf("%w: %w", ErrNoPeer, err)
	}
	leaf := info.State.VerifiedChains[0][0]
	return Caller{ID: id, Registration: leaf.Subject.SerialNumber, IssuedAt: IssuedAt(leaf)}, nil
}
