package session

import (
	"fmt"

	"google.golang.org/protobuf/proto"

	"github.com/navefleet/nave/shared/manifest"
	"github.com/navefleet/nave/shared/reporting"
	"github.com/navefleet/nave/shared/telemetry"

	spokev1 "github.com/navefleet/nave/proto/nave/spoke/v1"
)

// capabilities is an encoded Capabilities message with its digest. Before the API server answered it is empty.
type capabilities struct {
	data   []byte
	digest manifest.Digest
}

func (c capabilities) wireDigest() []byte {
	if c.digest.IsZero() {
		return nil
	}
	return c.digest[:]
}

// Capabilities replaces the capabilities of this cluster's API server. They are sent to a hub that lacks them, in this
// session or the next one. If the list exceeds the limit of a message, its last entries are left out.
func (s *Session) Capabilities(c *spokev1.Capabilities) error {
	c.KubernetesVersion = telemetry.Printable(c.KubernetesVersion, reporting.MaxFact)
	for len(c.GroupVersions) > 0 && proto.Size(c) > reporting.MaxCapabilities {
		c.Incomplete = true
		c.GroupVersions = c.GroupVersions[:len(c.GroupVersions)-1]
	}
	data, err := proto.MarshalOptions{Deterministic: true}.Marshal(c)
	if err != nil {
		return fmt.Errorf("encode the capabilities of the cluster: %w", err)
	}
	s.mu.Lock()
	s.served = capabilities{data, manifest.DigestOf(data)}
	s.mu.Unlock()
	s.wake.Raise()
	return nil
}

// sendCapabilities sends the capabilities unless the hub has them, or is too old to understand them. While they change
// too often, the latest wait for a heartbeat.
func (s *Session) sendCapabilities(hub *client) error {
	s.mu.Lock()
	served := s.served
	s.mu.Unlock()
	if hub.protocol < 2 || served.digest == hub.has || !s.reported.AllowN(s.Now(), 1) {
		return nil
	}
	hub.has = served.digest
	message := &spokev1.SessionRequest_Capabilities{Capabilities: served.data}
	return hub.stream.Send(&spokev1.SessionRequest{Message: message})
}
