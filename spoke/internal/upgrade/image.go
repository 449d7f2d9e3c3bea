package upgrade

import (
	"context"
	"strings"
	"time"

	"github.com/navefleet/nave/shared/manifest"
	"github.com/navefleet/nave/shared/telemetry"
	"github.com/navefleet/nave/shared/wait"
	"github.com/navefleet/nave/spoke/internal/kube"
)

// imageTimeout limits how long a hello waits for the spoke's own Pod.
const imageTimeout = 5 * time.Second

// Image returns the image that this process runs. If the process runs in no Pod, or the Pod cannot be read, Image
// returns "". Image reads the Pod until the digest of the image is known.
func (u *Upgrader) Image(ctx context.Context) string {
	if image := u.runs.Load(); image != nil {
		return *image
	}
	if u.Pod == "" {
		return ""
	}
	ctx, cancel := context.WithTimeout(ctx, imageTimeout)
	defer cancel()
	live, err := u.Client.Look(ctx, u.pod(u.Pod), true)
	for err != nil && kube.Retryable(err) && wait.For(ctx, pollEvery) == nil {
		live, err = u.Client.Look(ctx, u.pod(u.Pod), true)
	}
	if err != nil {
		u.Log.Debug("the spoke's own Pod cannot be read", telemetry.Err(err))
		return ""
	}
	image, resolved := imageOf(live.Object)
	if resolved {
		u.runs.Store(&image)
	}
	return image
}

// imageOf returns the image of the spoke in a Pod, with its digest if that is known; then resolved is true. If the Pod
// is not the spoke's, imageOf returns "".
func imageOf(pod *manifest.Object) (image string, resolved bool) {
	image = text(container(pod.Object["spec"]), "image")
	if pod.GetLabels()[nameLabel] != name || image == "" {
		return "", false
	}
	if strings.Contains(image, "@") {
		return image, true
	}
	id := text(item(child(pod.Object["status"], "containerStatuses"), containerName), "imageID")
	if _, digest, ok := strings.Cut(id, "@"); ok {
		return image + "@" + digest, true
	}
	return image, false
}

// container returns the container of the spoke in the spec of a Pod; nil if there is none.
func container(podSpec any) map[string]any { return item(child(podSpec, "containers"), containerName) }

// item returns the item of a list with a name; nil if there is none.
func item(list any, name string) map[string]any {
	items, _ := list.([]any)
	for _, i := range items {
		if m, _ := i.(map[string]any); m["name"] == name {
			return m
		}
	}
	return nil
}

// child returns a field of an object at a path; nil if there is none.
func child(object any, path ...string) any {
	for _, field := range path {
		m, _ := object.(map[string]any)
		object = m[field]
	}
	return object
}

// text returns a text of an object at a path; "" if there is none.
func text(object any, path ...string) string {
	s, _ := child(object, path...).(string)
	return s
}

// number returns a whole number of an object at a path; 0 if there is none.
func number(object any, path ...string) int64 {
	switch n := child(object, path...).(type) {
	case int64:
		return n
	case float64:
		return int64(n)
	}
	return 0
}
