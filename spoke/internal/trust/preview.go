package trust

import (
	"fmt"

	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/identity"
	"github.com/navefleet/nave/shared/signing"
	"github.com/navefleet/nave/shared/wording"
)

// OpenPreview returns the Preview in an encoded envelope. If the preview cannot be trusted, OpenPreview returns one of
// the errors of this package. A bundle is no preview: its signature is over another payload type.
func OpenPreview(envelope []byte, in Inputs) (*bundle.Preview, error) {
	e, err := signing.DecodeEnvelope(envelope)
	if err != nil {
		return nil, fmt.Errorf("envelope of a preview: %w: %w", ErrMalformed, err)
	}
	payload, err := in.Keyring.Verify(e, bundle.PreviewType)
	if err != nil {
		return nil, fmt.Errorf("envelope of a preview: %w: %w", ErrSignature, err)
	}
	p, err := bundle.DecodePreview(payload)
	if err != nil {
		return nil, fmt.Errorf("preview: %w: %w", ErrMalformed, err)
	}
	recipient, err := identity.ParseID(p.Cluster)
	switch unknown := p.Features().Without(bundle.Known); {
	case err != nil:
		return nil, fmt.Errorf("preview: cluster: %w: %w", ErrMalformed, err)
	case recipient != in.Cluster || in.Cluster.Role != identity.Cluster:
		return nil, fmt.Errorf("preview: %w: it names %s, this is %s", ErrCluster, recipient, in.Cluster)
	case unknown != "":
		return nil, fmt.Errorf("preview: %w: this spoke does not know bundle feature %s; upgrade the spoke", ErrFeature,
			unknown)
	case !in.Now.Before(p.ExpiresAt):
		return nil, fmt.Errorf("preview: %w at %s, and it is %s here: set the clocks of the hub and of this machine right",
			ErrExpired, wording.Time(p.ExpiresAt), wording.Time(in.Now))
	case p.IssuedAt.After(in.Now.Add(MaxSkew)):
		return nil, fmt.Errorf("preview: %w, at %s, and it is %s here: set the clocks of the hub and of this machine right",
			ErrFuture, wording.Time(p.IssuedAt), wording.Time(in.Now))
	}
	return p, nil
}
