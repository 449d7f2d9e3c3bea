package upgrade

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/navefleet/nave/e2e/kubetest"
	"github.com/navefleet/nave/shared/wait"
	"github.com/navefleet/nave/spoke/internal/kube"
)

var shared = kubetest.Shared{Options: kubetest.Options{Name: "upgrade"}}

func TestMain(m *testing.M) {
	code := m.Run()
	if err := shared.Stop(); err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
	os.Exit(code)
}

// realWorld is a cluster with a spoke that runs r/s:v1 on a node without a kubelet, whose part the test plays.
type realWorld struct {
	*testing.T
	*kubetest.Cluster
	*Upgrader
	namespace string
	reports   []string
}

const realSpoke = `
apiVersion: v1
kind: Pod
metadata: {name: nave-spoke-1, namespace: $NS, labels: {app.kubernetes.io/name: nave-spoke}}
spec: {nodeName: by-hand, automountServiceAccountToken: false, containers: [{name: spoke, image: "r/s:v1"}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: nave-spoke, namespace: $NS}
spec:
  replicas: 0
  selector: {matchLabels: {app.kubernetes.io/name: nave-spoke}}
  template:
    metadata: {labels: {app.kubernetes.io/name: nave-spoke}}
    spec: {containers: [{name: spoke, image: "r/s:v1"}]}
`

func newRealWorld(t *testing.T) *realWorld {
	t.Helper()
	if testing.Short() {
		t.Skip("needs a real cluster")
	}
	t.Parallel()
	c, err := shared.Get()
	if err != nil {
		t.Fatal(err)
	}
	client, err := kube.Connect(c.Kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	w := &realWorld{T: t, Cluster: c,
		namespace: strings.ToLower(strings.NewReplacer("_", "-", "/", "-").Replace(t.Name()))}
	w.apply("apiVersion: v1\nkind: Namespace\nmetadata: {name: " + w.namespace + "}\n")
	w.apply(realSpoke)
	w.Upgrader = New(Config{Client: client, Namespace: w.namespace, Pod: "nave-spoke-1",
		Log:    slog.New(slog.DiscardHandler),
		Report: func(image, failure string) { w.reports = append(w.reports, image+"|"+failure) }})
	return w
}

// apply waits for the API server to take an object: that of a new namespace needs its service account first.
func (w *realWorld) apply(manifest string) {
	w.Helper()
	err := kubetest.Until(w.Context(), "the objects", func(ctx context.Context) error {
		return w.Apply(ctx, []byte(strings.ReplaceAll(manifest, "$NS", w.namespace)))
	})
	if err != nil {
		w.Fatal(err)
	}
}

// kubelet gives the trial Pod of an image one status after the other, and ends each trial Pod that is to be deleted,
// until ctx ends.
func (w *realWorld) kubelet(ctx context.Context, image string, statuses []string) error {
	pods, err := w.Resource("Pod", w.namespace)
	if err != nil {
		return err
	}
	now := int64(0)
	for wait.For(ctx, 100*time.Millisecond) == nil {
		pod, err := pods.Get(ctx, trialName, metav1.GetOptions{})
		switch {
		case err != nil:
		case pod.GetDeletionTimestamp() != nil:
			err = pods.Delete(ctx, trialName, metav1.DeleteOptions{GracePeriodSeconds: &now})
		case len(statuses) > 0 && text(container(pod.Object["spec"]), "image") == image:
			err = w.EditStatus(ctx, "Pod", w.namespace, trialName, `{"status":`+statuses[0]+`}`)
			statuses = statuses[1:]
			_ = wait.For(ctx, 2*pollEvery) // until the spoke has seen it; ended by the end of ctx
		}
		if err != nil && !apierrors.IsNotFound(err) && !apierrors.IsConflict(err) && ctx.Err() == nil {
			return err
		}
	}
	return nil
}

// attemptAs attempts the upgrade to an image while the kubelet gives statuses to the trial Pod.
func (w *realWorld) attemptAs(image string, statuses ...string) {
	w.Helper()
	ctx, stop := context.WithCancel(w.Context())
	ended := make(chan error, 1)
	go func() { ended <- w.kubelet(ctx, image, statuses) }()
	w.Want(image)
	w.attempt(w.Context())
	err := kubetest.Until(w.Context(), "the end of the trial Pod", func(ctx context.Context) error {
		_, err := w.Get(ctx, "Pod", w.namespace, trialName)
		if apierrors.IsNotFound(err) {
			return nil
		}
		return fmt.Errorf("it is there: %w", err)
	})
	stop()
	if kubelet := <-ended; err != nil || kubelet != nil {
		w.Fatal(err, kubelet)
	}
}

// deployed returns the image of the Deployment.
func (w *realWorld) deployed() string {
	w.Helper()
	d, err := w.Get(w.Context(), "Deployment.apps", w.namespace, name)
	if err != nil {
		w.Fatal(err)
	}
	return text(container(child(d.Object, "spec", "template", "spec")), "image")
}

// waits and ends are the statuses of a Pod whose container waits or has ended.
func waits(reason, message string) string {
	return fmt.Sprintf(`{"phase":"Pending","containerStatuses":[{"name":"spoke","image":"x","imageID":"","ready":false,`+
		`"restartCount":0,"state":{"waiting":{"reason":%q,"message":%q}}}]}`, reason, message)
}

func ends(phase string, code int, reason, message string) string {
	return fmt.Sprintf(`{"phase":%q,"containerStatuses":[{"name":"spoke","image":"x","imageID":"","ready":false,`+
		`"restartCount":0,"state":{"terminated":{"exitCode":%d,"reason":%q,"message":%q}}}]}`, phase, code, reason, message)
}

// TestCluster tries images with Pods of a real API server: one that cannot be pulled or does not work changes nothing.
func TestCluster(t *testing.T) {
	creating := waits("ContainerCreating", "")
	for _, c := range []struct {
		name     string
		statuses []string
		failure  string // empty: the Deployment gets the image
	}{
		{"works", []string{creating, ends("Succeeded", 0, "Completed", "")}, ""},
		{"slow_registry", []string{waits("ErrImagePull", "i/o timeout"), ends("Succeeded", 0, "Completed", "")}, ""},
		{"not_pulled", []string{waits("ErrImagePull", "no such tag"), waits("ImagePullBackOff", "back-off: no such tag")},
			"the image does not run: ImagePullBackOff: back-off: no such tag"},
		{"wrong_platform", []string{waits("CreateContainerError", "exec format error")},
			"the image does not run: CreateContainerError: exec format error"},
		{"unknown_flag", []string{creating, ends("Failed", 2, "Error", "unknown flag: --pod")},
			"the image does not work: it ended with code 2: Error: unknown flag: --pod"},
		{"killed", []string{creating, ends("Failed", 137, "OOMKilled", "")},
			"the image does not work: it ended with code 137: OOMKilled"},
		{"no_room", []string{`{"phase":"Failed","reason":"OutOfmemory","message":"node is full"}`},
			"the image does not work: OutOfmemory: node is full"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newRealWorld(t)
			w.attemptAs("r/s:v2", c.statuses...)
			want, deployed := []string{"r/s:v2|"}, "r/s:v2"
			if c.failure != "" {
				want, deployed = append(want, "r/s:v2|"+c.failure), "r/s:v1"
			}
			if got := w.deployed(); got != deployed || fmt.Sprint(w.reports) != fmt.Sprint(want) {
				t.Errorf("the Deployment has %s, reported %q, want %s and %q", got, w.reports, deployed, want)
			}
		})
	}
}

// TestCluster_killed begins the trial anew when the spoke was killed in the middle of one.
func TestCluster_killed(t *testing.T) {
	w := newRealWorld(t)
	own, err := w.Client.Look(t.Context(), w.pod(w.Pod), true)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Client.Create(t.Context(), trialPod(own.Object, "r/s:old"), kube.ApplyOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := w.EditStatus(t.Context(), "Pod", w.namespace, trialName,
		`{"status":`+ends("Succeeded", 0, "Completed", "")+`}`); err != nil {
		t.Fatal(err)
	}
	w.attemptAs("r/s:v2", ends("Failed", 1, "Error", "broken"))
	if got := w.deployed(); got != "r/s:v1" || !strings.Contains(w.reports[len(w.reports)-1], "code 1: Error: broken") {
		t.Errorf("the old trial counts: the Deployment has %s, reported %q", got, w.reports)
	}
}

// TestCluster_withdrawn ends the trial when the old image is wanted again, and reports no failure.
func TestCluster_withdrawn(t *testing.T) {
	w := newRealWorld(t)
	ended := make(chan error, 1)
	go func() {
		ended <- kubetest.Until(t.Context(), "the trial Pod", func(ctx context.Context) error {
			pod, err := w.Get(ctx, "Pod", w.namespace, trialName)
			if err == nil && child(pod.Object, "status", "containerStatuses") == nil {
				err = errors.New("its container has no status")
			}
			return err
		})
		w.Want("r/s:v1")
	}()
	w.attemptAs("r/s:v2", waits("ContainerCreating", ""))
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	w.attempt(t.Context())
	if got := w.deployed(); got != "r/s:v1" || fmt.Sprint(w.reports) != "[r/s:v2| r/s:v1|]" {
		t.Errorf("the Deployment has %s, reported %q", got, w.reports)
	}
}
