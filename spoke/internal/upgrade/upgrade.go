package upgrade

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/manifest"
	"github.com/navefleet/nave/shared/telemetry"
	"github.com/navefleet/nave/shared/wait"
	"github.com/navefleet/nave/spoke/internal/kube"
)

// Names of deploy/spoke.
const (
	name          = "nave-spoke"
	containerName = "spoke"
	nameLabel     = "app.kubernetes.io/name"
)

// fieldManager owns the image in the Deployment.
const fieldManager = "nave-spoke-upgrade"

const (
	retryAfter   = 10 * time.Minute // until a failed upgrade is tried again
	trialTimeout = 5 * time.Minute  // for a trial Pod
	pollEvery    = time.Second      // how often a trial Pod is looked at
)

// Kubernetes has the requests to the API server that an upgrade needs. *kube.Client has them.
type Kubernetes interface {
	Look(ctx context.Context, id bundle.ObjectIdentity, whole bool) (kube.Live, error)
	Create(ctx context.Context, o *manifest.Object, opts kube.ApplyOptions) (kube.Applied, error)
	Apply(ctx context.Context, o *manifest.Object, opts kube.ApplyOptions) (kube.Applied, error)
	Delete(ctx context.Context, id bundle.ObjectIdentity, opts kube.DeleteOptions) error
}

// Config configures an Upgrader.
type Config struct {
	Client    Kubernetes
	Namespace string // where the spoke runs
	Pod       string // the Pod that this process runs in; empty: none
	Refused   error  // why the owner of the cluster allows no upgrade; nil: upgrades are allowed
	// Report tells the hub about the upgrade to an image. failure is empty while the upgrade is under way. Without an
	// image there is no upgrade.
	Report func(image, failure string)
	Log    *slog.Logger
}

// Upgrader keeps the spoke's Deployment at the image that bundles name.
type Upgrader struct {
	Config
	wake wait.Signal
	runs atomic.Pointer[string] // the image of this process, once its digest is known

	mu     sync.Mutex // guards the following
	wanted string
	cancel context.CancelFunc // of the attempt that is running; nil: none is running
}

// New returns an Upgrader. Run starts it.
func New(c Config) *Upgrader { return &Upgrader{Config: c, wake: wait.NewSignal()} }

// Want sets the image that the spoke should run; empty: it stays as it is. An attempt with another image ends.
func (u *Upgrader) Want(image string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.wanted == image {
		return
	}
	u.wanted = image
	if u.cancel != nil {
		u.cancel()
	}
	u.wake.Raise()
}

// Run upgrades the spoke until ctx ends.
func (u *Upgrader) Run(ctx context.Context) {
	again := time.NewTimer(math.MaxInt64)
	defer again.Stop()
	u.sweep(ctx)
	for {
		select {
		case <-ctx.Done():
			return
		case <-u.wake:
		case <-again.C:
		}
		if again.Stop(); !u.attempt(ctx) {
			again.Reset(retryAfter)
		}
	}
}

// attempt tries to upgrade the spoke once, and reports whether nothing is left to do.
func (u *Upgrader) attempt(ctx context.Context) (done bool) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	u.mu.Lock()
	image := u.wanted
	u.cancel = cancel
	u.mu.Unlock()
	u.Report(image, "")
	if image == "" {
		return true
	}
	done, err := u.upgrade(ctx, image)
	if ctx.Err() == nil && err != nil { // else another image is wanted, or the process ends
		u.Log.Warn("the spoke cannot be upgraded, and stays as it is", slog.String("image", image), telemetry.Err(err))
		u.Report(image, err.Error())
	}
	return done
}

// upgrade changes the image of the spoke's Deployment, if another one runs and the image works. It reports whether this
// process runs the image.
func (u *Upgrader) upgrade(ctx context.Context, image string) (done bool, err error) {
	switch {
	case u.Pod == "":
		return false, errors.New("this spoke runs in no Pod: upgrade it where it is started")
	case u.Refused != nil:
		return false, u.Refused
	}
	pod, err := u.Client.Look(ctx, u.pod(u.Pod), true)
	if err != nil {
		return false, fmt.Errorf("the spoke's own Pod cannot be read: %w", err)
	}
	runs, _ := imageOf(pod.Object)
	if bundle.IsImage(runs, image) {
		return true, nil
	}
	has, err := u.judge(ctx, runs, image)
	if err != nil || has || pod.Deleting {
		return false, err
	}
	u.Log.Info("trying another image of the spoke", slog.String("image", image), slog.String("runs", runs))
	if err := u.try(ctx, pod.Object, image); err != nil {
		return false, err
	}
	u.Log.Info("upgrading the spoke: its Deployment gets another image", slog.String("image", image))
	_, err = u.Client.Apply(ctx, u.patch(image), kube.ApplyOptions{FieldManager: fieldManager})
	return false, err
}

// judge returns whether the Deployment of the spoke has the image already. If the Deployment must not be changed, judge
// returns an error.
func (u *Upgrader) judge(ctx context.Context, runs, image string) (has bool, err error) {
	id := u.deployment()
	d, err := u.Client.Look(ctx, id, true)
	if err != nil {
		return false, fmt.Errorf("the spoke's own Deployment cannot be read: %w", err)
	}
	owners := d.Object.GetOwnerReferences()
	switch {
	case len(owners) > 0:
		return false, fmt.Errorf("%s belongs to %s %s, which would change it back: upgrade the spoke there", id.ID(),
			owners[0].Kind, owners[0].Name)
	case len(d.Predecessors) > 0:
		return false, fmt.Errorf("%s is managed by %s, which would change it back: upgrade the spoke there", id.ID(),
			d.Predecessors[0].Manager)
	case text(container(child(d.Object.Object, "spec", "template", "spec")), "image") != image:
		return false, nil
	case number(d.Object.Object, "status", "observedGeneration") < number(d.Object.Object, "metadata", "generation"):
		return true, nil // this Pod is about to end
	}
	return false, fmt.Errorf("%s has the image already, but its Pod runs %s: see what changes the images of Pods there, "+
		"or name the image by its digest", id.ID(), runs)
}

// patch returns the one field of the Deployment that an upgrade applies.
func (u *Upgrader) patch(image string) *manifest.Object {
	return &manifest.Object{Object: map[string]any{
		"apiVersion": "apps/v1", "kind": "Deployment",
		"metadata": map[string]any{"name": name, "namespace": u.Namespace},
		"spec": map[string]any{"template": map[string]any{"spec": map[string]any{
			"containers": []any{map[string]any{"name": containerName, "image": image}},
		}}},
	}}
}

func (u *Upgrader) deployment() bundle.ObjectIdentity {
	return bundle.ObjectIdentity{Group: "apps", Version: "v1", Kind: "Deployment", Namespace: u.Namespace, Name: name}
}

func (u *Upgrader) pod(name string) bundle.ObjectIdentity {
	return bundle.ObjectIdentity{Version: "v1", Kind: "Pod", Namespace: u.Namespace, Name: name}
}
