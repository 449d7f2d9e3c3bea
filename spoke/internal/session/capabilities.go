package session

import (
	"fmt"

	"google.golang.org/protobuf/proto"

	"github.com/navefleet/nave/shared/manifest"
	"github.com/navefleet/nave/shared/reporting"
	"github.com/navefleet/nave/shared/telemetry"

	spokev1 "github.com/navefleet/nave/proto/nave/spoke/v1"
)

// capabilities are the bytes of a Capabilities message, none before the API server answered, with their digest.
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

// Capabilities says what the API server of this cluster serves now. A hub that lacks it hears it in this session, or in
// the next one. Versions of groups that do not fit into a message are left out, from the end of the list.
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
	if hub.protocol < 2 || served.digest == hub.has || !s.told.AllowN(s.Now(), 1) {
		return nil
	}
	hub.has = served.digest
	message := &spokev1.SessionRequest_Capabilities{Capabilities: served.data}
	return hub.stream.Send(&spokev1.SessionRequest{Message: message})
}
