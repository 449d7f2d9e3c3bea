package health

import (
	"context"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/navefleet/nave/shared/bundle"
	words "github.com/navefleet/nave/shared/condition"
	"github.com/navefleet/nave/shared/health"
	"github.com/navefleet/nave/shared/manifest"
	"github.com/navefleet/nave/spoke/internal/kube"
)

// waitForFirstConsumer is the volumeBindingMode of a StorageClass whose volumes are made when a Pod needs them.
const waitForFirstConsumer = "WaitForFirstConsumer"

// awaitsConsumer reports whether a PersistentVolumeClaim is pending because no Pod uses it yet. The scheduler names a
// node in an annotation when one does. Such a claim counts as healthy, because the Pod may be in an Application that
// depends on the claim's.
func (a *Assessor) awaitsConsumer(o *manifest.Object) bool {
	if a == nil || a.bindingMode == nil || o == nil || o.GroupVersionKind().GroupKind() !=
		(schema.GroupKind{Kind: "PersistentVolumeClaim"}) || text(o, "status", "phase") != words.Pending {
		return false
	}
	class := text(o, "spec", "storageClassName")
	return class != "" && o.GetAnnotations()["volume.kubernetes.io/selected-node"] == "" &&
		a.bindingMode(class) == waitForFirstConsumer
}

// BindingModes returns a function that returns the volumeBindingMode of a StorageClass; empty if it cannot be read. The
// field never changes, but the class may be made anew, so the mode is read again after ten minutes, and after a failure
// in five seconds.
func BindingModes(client *kube.Client) func(class string) string {
	const keep, keepFailed, timeout = 10 * time.Minute, 5 * time.Second, 5 * time.Second
	type answer struct {
		mode  string
		until time.Time
	}
	var mu sync.Mutex
	known := map[string]answer{}
	return func(class string) string {
		mu.Lock()
		defer mu.Unlock()
		if a, ok := known[class]; ok && time.Now().Before(a.until) {
			return a.mode
		}
		ctx, cancel := context.WithTimeout(context.Background(), timeout)
		defer cancel()
		o, err := client.Get(ctx, bundle.ObjectIdentity{Group: "storage.k8s.io", Version: "v1", Kind: "StorageClass",
			Name: class})
		a := answer{until: time.Now().Add(keepFailed)}
		if err == nil {
			a = answer{text(o, "volumeBindingMode"), time.Now().Add(keep)}
		}
		known[class] = a
		return a.mode
	}
}

// claimed returns Current if r is InProgress and the object is a claim that waits for its first consumer; else r.
func (a *Assessor) claimed(r Report, o *manifest.Object) Report {
	if r.Status == health.InProgress && a.awaitsConsumer(o) {
		return Report{Status: health.Current}
	}
	return r
}
