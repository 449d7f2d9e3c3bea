package identity

import (
	"context"
	"errors"
	"fmt"

	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/peer"
)

// ErrNoPeer says that the other end of a connection has not shown who it is.
var ErrNoPeer = errors.New("the peer shows no verified client certificate")

// PeerID returns the identity at the other end of a gRPC call, from the certificate that the TLS handshake verified. There
// is no other source of it. Without one the error wraps ErrNoPeer.
func PeerID(ctx context.Context) (ID, error) {
	p, ok := peer.FromContext(ctx)
	if !ok {
		return ID{}, ErrNoPeer
	}
	info, ok := p.AuthInfo.(credentials.TLSInfo)
	if !ok || len(info.State.VerifiedChains) == 0 {
		return ID{}, ErrNoPeer
	}
	id, err := identityOf(info.State.VerifiedChains)
	if err != nil {
		return ID{}, fmt.Errorf("%w: %w", ErrNoPeer, err)
	}
	return id, nil
}
