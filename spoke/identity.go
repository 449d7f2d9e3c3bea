package spoke

import (
	"context"
	"encoding/base64"
	"time"

	"github.com/navefleet/nave/shared/manifest"
	"github.com/navefleet/nave/spoke/internal/kube"
)

// IdentitySecret is the Secret in the spoke's own namespace that holds its key and certificate, so that a new Pod is the
// same spoke.
const IdentitySecret = "nave-spoke-identity"

const versionTimeout = 5 * time.Second

// secretKeeper keeps the identity in IdentitySecret.
type secretKeeper struct {
	client    *kube.Client
	namespace string
}

// Load returns the Secret's entries; none when there is no Secret.
func (k secretKeeper) Load(ctx context.Context) (map[string][]byte, error) {
	entries, err := k.client.Secret(ctx, k.namespace, IdentitySecret)
	if kube.ReasonOf(err) == kube.NotFound {
		return nil, nil
	}
	return entries, err
}

// Save replaces the Secret's entries.
func (k secretKeeper) Save(ctx context.Context, entries map[string][]byte) error {
	data := make(map[string]any, len(entries))
	for name, value := range entries {
		data[name] = base64.StdEncoding.EncodeToString(value)
	}
	secret := &manifest.Object{Object: map[string]any{
		"apiVersion": "v1", "kind": "Secret", "type": "Opaque",
		"metadata": map[string]any{"namespace": k.namespace, "name": IdentitySecret},
		"data":     data,
	}}
	_, err := k.client.Apply(ctx, secret, kube.ApplyOptions{Force: true})
	return err
}

// kubernetesVersion asks the cluster for its version, for the hub to know; empty when it does not answer.
func (s *Spoke) kubernetesVersion(ctx context.Context) string {
	ctx, cancel := context.WithTimeout(ctx, versionTimeout)
	defer cancel()
	v, err := s.client.ServerVersion(ctx)
	if err != nil {
		return ""
	}
	return v
}
