package agent

import (
	"testing"
	"time"

	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/spoke/internal/session"
)

// TestSpokeImage hands on the image that the newest bundle names for the spoke, also after a start from the disk.
func TestSpokeImage(t *testing.T) {
	r := newRig(t)
	images := make(chan string, 10)
	r.wantImage = func(image string) { images <- image }
	offer := func(sequence uint64, image string) *session.Offer {
		return r.hub.signBundle(t, &bundle.Bundle{Cluster: self.String(), Epoch: 1, Sequence: sequence, SpokeImage: image,
			IssuedAt: time.Now().Add(-time.Minute), ExpiresAt: time.Now().Add(time.Hour)})
	}
	stop := r.start(t)
	for i, image := range []string{"r/s:v2", "", "r/s:v3"} {
		r.hub.send(offer(uint64(i+1), image))
		if got := <-images; got != image {
			t.Errorf("bundle %d: image %q, want %q", i+1, got, image)
		}
	}
	stop()
	r.start(t)
	if got := <-images; got != "r/s:v3" {
		t.Errorf("after a start: image %q", got)
	}
}
