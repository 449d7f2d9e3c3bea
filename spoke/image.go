package spoke

import (
	"context"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/manifest"
	"github.com/navefleet/nave/shared/telemetry"
)

// Names of deploy/spoke.
const (
	spokeContainer = "spoke"
	spokeName      = "nave-spoke"
	nameLabel      = "app.kubernetes.io/name"
)

// imageTimeout limits how long a hello waits for the spoke's own Pod.
const imageTimeout = 5 * time.Second

// ownImage returns a function for the image that this process runs. If the process does not run in a Pod, ownImage
// returns nil. The function reads the Pod until the digest of the image is known.
func (s *Spoke) ownImage() func(context.Context) string {
	if s.config.Kubeconfig != "" {
		return nil
	}
	name, err := os.Hostname() // that of the Pod, unless the Pod uses the network of its node
	if err != nil {
		return nil
	}
	var known atomic.Pointer[string]
	pod := bundle.ObjectIdentity{Version: "v1", Kind: "Pod", Namespace: s.config.Namespace, Name: name}
	return func(ctx context.Context) string {
		if image := known.Load(); image != nil {
			return *image
		}
		ctx, cancel := context.WithTimeout(ctx, imageTimeout)
		defer cancel()
		live, err := s.client.Get(ctx, pod)
		if err != nil {
			s.config.Log.Debug("the spoke's own Pod cannot be read", telemetry.Err(err))
			return ""
		}
		image, resolved := imageOf(live)
		if resolved {
			known.Store(&image)
		}
		return image
	}
}

// imageOf returns the image of the spoke in a Pod, with its digest if that is known; then resolved is true. If the Pod
// is not the spoke's, imageOf returns "".
func imageOf(pod *manifest.Object) (image string, resolved bool) {
	spec, _ := pod.Object["spec"].(map[string]any)
	image = fieldOf(spec["containers"], spokeContainer, "image")
	if pod.GetLabels()[nameLabel] != spokeName || image == "" {
		return "", false
	}
	if strings.Contains(image, "@") {
		return image, true
	}
	status, _ := pod.Object["status"].(map[string]any)
	id := fieldOf(status["containerStatuses"], spokeContainer, "imageID")
	if _, digest, ok := strings.Cut(id, "@"); ok {
		return image + "@" + digest, true
	}
	return image, false
}

// fieldOf returns a text of the item with a name in a list. If there is none, fieldOf returns "".
func fieldOf(list any, name, field string) string {
	items, _ := list.([]any)
	for _, item := range items {
		if m, _ := item.(map[string]any); m["name"] == name {
			text, _ := m[field].(string)
			return text
		}
	}
	return ""
}
