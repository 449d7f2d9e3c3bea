package publish

import (
	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/signing"
)

// open reads an envelope that this hub signed, with the key it has now.
func (p *Publisher) open(envelope []byte) (*bundle.Bundle, error) {
	e, err := signing.DecodeEnvelope(envelope)
	if err != nil {
		return nil, err
	}
	payload, err := p.keyring.Verify(e, bundle.PayloadType)
	if err != nil {
		return nil, err
	}
	return bundle.DecodeBundle(payload)
}
