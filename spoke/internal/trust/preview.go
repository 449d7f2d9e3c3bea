package trust

import (
	"fmt"

	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/wording"
)

// OpenPreview returns the Preview in an encoded envelope. If the preview cannot be trusted, OpenPreview returns one of
// the errors of this package. A bundle is no preview: its signature is over another payload type.
func OpenPreview(envelope []byte, in Inputs) (*bundle.Preview, error) {
	payload, err := verify("envelope of a preview", envelope, bundle.PreviewType, in.Keyring)
	if err != nil {
		return nil, err
	}
	p, err := bundle.DecodePreview(payload)
	if err != nil {
		return nil, fmt.Errorf("preview: %w: %w", ErrMalformed, err)
	}
	if err := judgeRecipient("preview", p.Cluster, p.Features(), in); err != nil {
		return nil, err
	}
	switch {
	case !in.Now.Before(p.ExpiresAt):
		return nil, fmt.Errorf("preview: %w at %s, and it is %s here: "+setClocks, ErrExpired,
			wording.Time(p.ExpiresAt), wording.Time(in.Now))
	case p.IssuedAt.After(in.Now.Add(MaxSkew)):
		return nil, fmt.Errorf("preview: %w, at %s, and it is %s here: "+setClocks, ErrFuture,
			wording.Time(p.IssuedAt), wording.Time(in.Now))
	}
	return p, nil
}
