package upgrade

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"sigs.k8s.io/yaml"

	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/manifest"
	"github.com/navefleet/nave/spoke/internal/kube"
)

func object(t *testing.T, text string) *manifest.Object {
	t.Helper()
	o := &manifest.Object{}
	if err := yaml.Unmarshal([]byte(text), &o.Object); err != nil {
		t.Fatal(err)
	}
	return o
}

const ownPod = `
kind: Pod
metadata: {name: nave-spoke-1, namespace: nave-system, uid: u1, labels: {app.kubernetes.io/name: nave-spoke}}
spec:
  nodeName: n1
  serviceAccountName: nave-spoke
  imagePullSecrets: [{name: pull}]
  securityContext: {runAsNonRoot: true}
  tolerations: [{key: infra}]
  volumes: [{name: state, emptyDir: {}}]
  containers:
  - {name: sidecar, image: x}
  - name: spoke
    image: r/s:v1
    args: [--namespace=nave-system]
    securityContext: {readOnlyRootFilesystem: true}
    volumeMounts: [{name: state, mountPath: /s}]
`

const ownDeployment = `
kind: Deployment
metadata: {name: nave-spoke, namespace: nave-system, generation: 3}
spec: {template: {spec: {containers: [{name: spoke, image: "r/s:v1"}]}}}
status: {observedGeneration: 3}
`

// cluster answers the requests of an upgrade. trial is the status that trial Pods get.
type cluster struct {
	deployment, pod *manifest.Object
	trial           string

	mu      sync.Mutex
	tried   *manifest.Object // nil: there is no trial Pod
	tries   []string         // images
	applied []*manifest.Object
	refuses error // of Create
	unready int   // how many calls of Look fail
}

func (c *cluster) Look(_ context.Context, id bundle.ObjectIdentity, _ bool) (kube.Live, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.unready--; c.unready >= 0 {
		return kube.Live{}, &kube.Error{Op: "get", Reason: kube.Unavailable, Message: "starting"}
	}
	o := map[string]*manifest.Object{name: c.deployment, "nave-spoke-1": c.pod, trialName: c.tried}[id.Name]
	if o == nil {
		return kube.Live{}, missing
	}
	return kube.Live{ID: id, Object: o}, nil
}

func (c *cluster) Create(_ context.Context, o *manifest.Object, _ kube.ApplyOptions) (kube.Applied, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.tries = append(c.tries, text(container(o.Object["spec"]), "image"))
	if c.refuses != nil {
		return kube.Applied{}, c.refuses
	}
	c.tried = &manifest.Object{Object: map[string]any{"spec": o.Object["spec"]}}
	if err := yaml.Unmarshal([]byte(c.trial), &c.tried.Object); err != nil {
		return kube.Applied{}, err
	}
	return kube.Applied{}, nil
}

func (c *cluster) Apply(_ context.Context, o *manifest.Object, _ kube.ApplyOptions) (kube.Applied, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.applied = append(c.applied, o)
	return kube.Applied{}, nil
}

func (c *cluster) Delete(_ context.Context, id bundle.ObjectIdentity, _ kube.DeleteOptions) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if id.Name != trialName {
		return errors.New("deletes " + id.Name)
	}
	if c.tried == nil {
		return missing
	}
	c.tried = nil
	return nil
}

var missing = &kube.Error{Op: "get", Reason: kube.NotFound, Message: "not found"}

// newUpgrader returns an Upgrader in a cluster, and the failures that it reports.
func newUpgrader(c *cluster) (*Upgrader, chan string) {
	reports := make(chan string, 100)
	return New(Config{Client: c, Namespace: "nave-system", Pod: "nave-spoke-1", Log: slog.New(slog.DiscardHandler),
		Report: func(image, failure string) { reports <- image + "|" + failure }}), reports
}

// TestUpgrade upgrades a spoke whose image works, and leaves every other one as it is.
func TestUpgrade(t *testing.T) {
	works := "status: {phase: Succeeded}"
	for _, c := range []struct {
		name, image     string
		trial           string
		pod, deployment string
		change          func(*Upgrader, *cluster)
		tries, upgrades bool
		done            bool
		failure         string
	}{
		{name: "works", image: "r/s:v2", trial: works, tries: true, upgrades: true},
		{name: "runs_already", image: "r/s:v1", trial: works, done: true},
		{name: "not_pulled", image: "r/s:v2", tries: true,
			trial: "status: {phase: Pending, containerStatuses: [{name: spoke, state: {waiting: " +
				"{reason: ImagePullBackOff, message: no such tag}}}]}",
			failure: "the image does not run: ImagePullBackOff: no such tag"},
		{name: "ends", image: "r/s:v2", tries: true,
			trial: "status: {phase: Failed, containerStatuses: [{name: spoke, state: {terminated: " +
				"{exitCode: 2, reason: Error, message: unknown flag}}}]}",
			failure: "the image does not work: it ended with code 2: Error: unknown flag"},
		{name: "evicted", image: "r/s:v2", tries: true, trial: "status: {phase: Failed, reason: OutOfmemory, message: full}",
			failure: "the image does not work: OutOfmemory: full"},
		{name: "denied", image: "r/s:v2", tries: true, change: func(_ *Upgrader, c *cluster) {
			c.refuses = &kube.Error{Op: "create", Object: "Pod", Reason: kube.Denied, Message: "only signed images"}
		}, failure: "the image cannot be tried: create Pod: only signed images"},
		{name: "policy", image: "r/s:v2", change: func(u *Upgrader, _ *cluster) { u.Refused = errors.New("upgrades is false") },
			failure: "upgrades is false"},
		{name: "no_pod", image: "r/s:v2", change: func(u *Upgrader, _ *cluster) { u.Pod = "" },
			failure: "this spoke runs in no Pod"},
		{name: "owned", image: "r/s:v2", change: func(_ *Upgrader, c *cluster) {
			c.deployment.Object["metadata"].(map[string]any)["ownerReferences"] = []any{map[string]any{"apiVersion": "x/v1",
				"kind": "Agent", "name": "a", "uid": "u"}}
		}, failure: "Deployment.apps nave-system/nave-spoke belongs to Agent a, which would change it back"},
		{name: "rewritten", image: "r/s:v1", change: func(_ *Upgrader, c *cluster) {
			container(c.pod.Object["spec"])["image"] = "mirror/s:v1"
		}, failure: "has the image already, but its Pod runs mirror/s:v1"},
		{name: "about_to_end", image: "r/s:v1", change: func(_ *Upgrader, c *cluster) {
			container(c.pod.Object["spec"])["image"] = "r/s:v0"
			c.deployment.Object["metadata"].(map[string]any)["generation"] = int64(4)
		}},
		{name: "leftover", image: "r/s:v2", trial: works, tries: true, upgrades: true, change: func(_ *Upgrader, c *cluster) {
			c.tried = &manifest.Object{Object: map[string]any{}}
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			in := &cluster{pod: object(t, ownPod), deployment: object(t, ownDeployment), trial: c.trial}
			u, reports := newUpgrader(in)
			if c.change != nil {
				c.change(u, in)
			}
			u.Want(c.image)
			done := u.attempt(t.Context())
			if done != c.done || (len(in.tries) > 0) != c.tries || (len(in.applied) > 0) != c.upgrades || in.tried != nil {
				t.Errorf("done %t, tried %v, applied %v, left %v", done, in.tries, in.applied, in.tried)
			}
			if first := <-reports; first != c.image+"|" {
				t.Errorf("reported %q first", first)
			}
			last := "none"
			if len(reports) > 0 {
				last = <-reports
			}
			if (last == "none") != (c.failure == "") || !strings.Contains(last, c.failure) && c.failure != "" {
				t.Errorf("reported %s, want %q", last, c.failure)
			}
		})
	}
}

// TestSweep: a spoke that was killed in a trial deletes its trial Pod when it starts again, whether an image is
// wanted or not, also if the API server does not answer at first. It leaves that of another Pod.
func TestSweep(t *testing.T) {
	for owner, left := range map[string]bool{"nave-spoke-1": false, "nave-spoke-2": true} {
		synctest.Test(t, func(t *testing.T) {
			in := &cluster{pod: object(t, ownPod), deployment: object(t, ownDeployment), unready: 2}
			in.tried = object(t, "kind: Pod\nmetadata: {name: nave-spoke-trial, ownerReferences: [{apiVersion: v1, kind: Pod, "+
				"name: "+owner+", uid: u1}]}")
			u, _ := newUpgrader(in)
			ctx, cancel := context.WithCancel(t.Context())
			go u.Run(ctx)
			time.Sleep(time.Minute)
			cancel()
			synctest.Wait()
			if (in.tried != nil) != left {
				t.Errorf("the trial Pod of %s is left: %t", owner, in.tried != nil)
			}
		})
	}
}

// TestImage tells the image of the spoke's own Pod, also if the API server does not answer at first.
func TestImage(t *testing.T) {
	in := &cluster{pod: object(t, ownPod), unready: 1}
	u, _ := newUpgrader(in)
	if got := u.Image(t.Context()); got != "r/s:v1" {
		t.Errorf("image %q", got)
	}
	in.pod = nil
	if got := u.Image(t.Context()); got != "" {
		t.Errorf("image %q of no Pod", got)
	}
}

// TestTrialPod gives a trial the node and the security of the spoke, and none of its rights and volumes.
func TestTrialPod(t *testing.T) {
	pod := trialPod(object(t, ownPod), "r/s:v2")
	got, err := yaml.Marshal(pod.Object)
	if err != nil {
		t.Fatal(err)
	}
	const want = `apiVersion: v1
kind: Pod
metadata:
  labels:
    app.kubernetes.io/name: nave-spoke-trial
  name: nave-spoke-trial
  namespace: nave-system
  ownerReferences:
  - apiVersion: v1
    kind: Pod
    name: nave-spoke-1
    uid: u1
spec:
  activeDeadlineSeconds: 300
  automountServiceAccountToken: false
  containers:
  - args:
    - --namespace=nave-system
    - --version
    image: r/s:v2
    name: spoke
    resources:
      limits:
        memory: 256Mi
      requests:
        cpu: 1m
        memory: 16Mi
    securityContext:
      readOnlyRootFilesystem: true
  enableServiceLinks: false
  imagePullSecrets:
  - name: pull
  nodeName: n1
  restartPolicy: Never
  securityContext:
    runAsNonRoot: true
  terminationGracePeriodSeconds: 1
  tolerations:
  - key: infra
`
	if string(got) != want {
		t.Errorf("got:\n%s", got)
	}
}

// TestPatch changes the image of the spoke's own Deployment, and no other field.
func TestPatch(t *testing.T) {
	u, _ := newUpgrader(&cluster{})
	got, err := yaml.Marshal(u.patch("r/s:v2").Object)
	if err != nil {
		t.Fatal(err)
	}
	const want = `apiVersion: apps/v1
kind: Deployment
metadata:
  name: nave-spoke
  namespace: nave-system
spec:
  template:
    spec:
      containers:
      - image: r/s:v2
        name: spoke
`
	if string(got) != want {
		t.Errorf("got:\n%s", got)
	}
}

// TestWant_other ends the trial of an image that is no longer wanted, and reports no failure of it.
func TestWant_other(t *testing.T) {
	in := &cluster{pod: object(t, ownPod), deployment: object(t, ownDeployment), trial: "status: {phase: Pending}"}
	u, reports := newUpgrader(in)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	stopped := make(chan struct{})
	go func() { defer close(stopped); u.Run(ctx) }()
	u.Want("r/s:v2")
	if got := <-reports; got != "r/s:v2|" {
		t.Errorf("reported %q", got)
	}
	u.Want("")
	if got := <-reports; got != "|" {
		t.Errorf("reported %q after the end of the upgrade", got)
	}
	cancel()
	<-stopped
	if len(in.applied) > 0 || in.tried != nil {
		t.Errorf("applied %v, left %v", in.applied, in.tried)
	}
}
