package identity

import (
	"context"
	"errors"
	"fmt"
	"time"

	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/peer"
)

// ErrNoPeer means that the other end of a connection has not proved its identity.
var ErrNoPeer = errors.New("the peer shows no verified client certificate")

// Caller is the identity of a caller, with more facts from the certificate.
type Caller struct {
	ID
	// Registration is the registration of the spoke or operator that the certificate was issued for; see
	// Authority.IssueRegistered. It is empty if the certificate has none.
	Registration string
	// IssuedAt is the second in which the certificate was issued, by the clock of the issuer.
	IssuedAt time.Time
	// ExpiresAt is the end of the certificate.
	ExpiresAt time.Time
	// Serial is the serial number of the certificate, in lower-case hexadecimal digits.
	Serial string
}

// callerKey is the key of a Caller in the context of a call.
type callerKey struct{}

// WithCaller returns a context that holds the caller of a call. An interceptor sets it after it verified the caller, by
// the certificate as Peer does, or by another proof.
func WithCaller(ctx context.Context, c Caller) context.Context {
	return context.WithValue(ctx, callerKey{}, c)
}

// CallerOf returns the caller from WithCaller. If the context has none, the error wraps ErrNoPeer.
func CallerOf(ctx context.Context) (Caller, error) {
	c, ok := ctx.Value(callerKey{}).(Caller)
	if !ok {
		return Caller{}, ErrNoPeer
	}
	return c, nil
}

// Peer returns the other end of a gRPC call, from the certificate that the TLS handshake verified. If there is no such
// certificate, the error wraps ErrNoPeer.
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
	return Caller{ID: id, Registration: leaf.Subject.SerialNumber, IssuedAt: IssuedAt(leaf),
		ExpiresAt: leaf.NotAfter, Serial: leaf.SerialNumber.Text(16)}, nil
}
