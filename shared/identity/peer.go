package identity

import (
	"context"
	"errors"
	"fmt"
	"time"

	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/peer"
)

// ErrNoPeer says that the other end of a connection has not shown who it is.
var ErrNoPeer = errors.New("the peer shows no verified client certificate")

// PeerID returns the identity at the other end of a gRPC call, from the certificate that the TLS handshake verified. There
// is no other source of it. Without one the error wraps ErrNoPeer.
func PeerID(ctx context.Context) (ID, error) {
	id, _, err := Peer(ctx)
	return id, err
}

// Peer is PeerID, with the time at which the certificate was issued (see IssuedAt).
func Peer(ctx context.Context) (id ID, issued time.Time, err error) {
	p, ok := peer.FromContext(ctx)
	if !ok {
		return ID{}, time.Time{}, ErrNoPeer
	}
	info, ok := p.AuthInfo.(credentials.TLSInfo)
	if !ok || len(info.State.VerifiedChains) == 0 {
		return ID{}, time.Time{}, ErrNoPeer
	}
	if id, err = identityOf(info.State.VerifiedChains); err != nil {
		return ID{}, time.Time{}, fmt.Errorf("%w: %w", ErrNoPeer, err)
	}
	return id, IssuedAt(info.State.VerifiedChains[0][0]), nil
}
