package publish

import (
	"time"

	"github.com/navefleet/nave/shared/bundle"
)

// previewTTL is how long a preview is valid. It is asked again and again while the spoke is busy.
const previewTTL = 5 * time.Minute

// SignPreview returns the encoded envelope of a preview of Applications for a cluster, and the features that a spoke
// must know to answer it. SignPreview is safe for concurrent use.
func (p *Publisher) SignPreview(cluster string, apps []bundle.Entry) (envelope []byte, needs bundle.FeatureSet,
	err error) {
	now := p.Now()
	preview := &bundle.Preview{Cluster: p.spiffe(cluster), IssuedAt: now, ExpiresAt: now.Add(previewTTL),
		Applications: apps}
	payload, err := preview.Encode()
	if err != nil {
		return nil, "", err
	}
	envelope, err = p.Signer.Sign(bundle.PreviewType, payload).Encode()
	return envelope, preview.Features(), err
}
