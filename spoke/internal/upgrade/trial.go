package upgrade

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/navefleet/nave/shared/condition"
	"github.com/navefleet/nave/shared/manifest"
	"github.com/navefleet/nave/shared/telemetry"
	"github.com/navefleet/nave/shared/wait"
	"github.com/navefleet/nave/spoke/internal/kube"
)

// trialName is the name of trial Pods, and of their label: the Deployment must not take them for its own.
const trialName = "nave-spoke-trial"

// sweepAgain is the pause after an API server that did not answer.
const sweepAgain = 10 * time.Second

// try runs an image in a trial Pod. If the Pod does not succeed, try returns the reason. It leaves no Pod behind.
func (u *Upgrader) try(ctx context.Context, own *manifest.Object, image string) (err error) {
	ctx, cancel := context.WithTimeout(ctx, trialTimeout)
	defer cancel()
	if err := u.clear(ctx); err != nil {
		return err
	}
	if _, err := u.Client.Create(ctx, trialPod(own, image), kube.ApplyOptions{}); err != nil {
		return fmt.Errorf("the image cannot be tried: %w", err)
	}
	defer func() {
		rest := context.WithoutCancel(ctx)
		rest, end := context.WithTimeout(rest, imageTimeout)
		defer end()
		err = errors.Join(err, ignoreMissing(u.Client.Delete(rest, u.pod(trialName), kube.DeleteOptions{})))
	}()
	last := "it has no status"
	for wait.For(ctx, pollEvery) == nil {
		live, err := u.Client.Look(ctx, u.pod(trialName), true)
		if err != nil && !kube.Retryable(err) {
			return fmt.Errorf("the trial of the image was lost: %w", err)
		} else if err != nil {
			continue
		}
		done, state, err := judgeTrial(live.Object)
		if done || err != nil {
			return err
		}
		last = state
	}
	return fmt.Errorf("the image did not run within %s: %s", trialTimeout, last)
}

// clear deletes the trial Pod of an earlier attempt, and waits until it is gone.
func (u *Upgrader) clear(ctx context.Context) error {
	for {
		err := u.Client.Delete(ctx, u.pod(trialName), kube.DeleteOptions{})
		if missing := ignoreMissing(err) == nil && err != nil; missing {
			return nil
		}
		if err != nil && !kube.Retryable(err) {
			return fmt.Errorf("the Pod of an earlier trial cannot be deleted: %w", err)
		}
		if wait.For(ctx, pollEvery) != nil {
			return fmt.Errorf("the Pod of an earlier trial is not gone after %s", trialTimeout)
		}
	}
}

// sweep deletes the trial Pod that this Pod made before its process was killed: nobody may want an image any more, so
// that no trial clears it. That of another Pod goes with its Pod.
func (u *Upgrader) sweep(ctx context.Context) {
	if u.Pod == "" || u.Refused != nil {
		return
	}
	for {
		live, err := u.Client.Look(ctx, u.pod(trialName), true)
		if err == nil && isOf(live.Object, u.Pod) {
			err = u.Client.Delete(ctx, u.pod(trialName), kube.DeleteOptions{})
		}
		switch {
		case ignoreMissing(err) == nil || ctx.Err() != nil:
			return
		case !kube.Retryable(err):
			u.Log.Warn("the Pod of an earlier trial of an image may be left", telemetry.Err(err))
			return
		}
		if wait.For(ctx, sweepAgain) != nil {
			return
		}
	}
}

// isOf reports whether a Pod of a name owns an object.
func isOf(o *manifest.Object, pod string) bool {
	return slices.ContainsFunc(o.GetOwnerReferences(), func(r metav1.OwnerReference) bool {
		return r.Kind == "Pod" && r.Name == pod
	})
}

// ignoreMissing returns nil if an error says that an object does not exist.
func ignoreMissing(err error) error {
	if failed := (*kube.Error)(nil); errors.As(err, &failed) && failed.Reason == kube.NotFound {
		return nil
	}
	return err
}

// trialPod returns the Pod that tries an image: on the node of the spoke's own Pod, with its security settings and its
// pull secrets, and without its rights and volumes. It gets the flags of the spoke, so that an image that does not know
// one of them fails, and only prints its version.
func trialPod(own *manifest.Object, image string) *manifest.Object {
	spec := map[string]any{
		"restartPolicy": "Never", "automountServiceAccountToken": false, "enableServiceLinks": false,
		"terminationGracePeriodSeconds": int64(1), "activeDeadlineSeconds": int64(trialTimeout / time.Second),
	}
	for _, field := range []string{"nodeName", "imagePullSecrets", "securityContext", "tolerations", "runtimeClassName"} {
		if value := child(own.Object["spec"], field); value != nil {
			spec[field] = value
		}
	}
	args, _ := container(own.Object["spec"])["args"].([]any)
	trial := map[string]any{
		"name": containerName, "image": image, "args": append(slices.Clone(args), "--version"),
		"resources": map[string]any{"requests": map[string]any{"cpu": "1m", "memory": "16Mi"},
			"limits": map[string]any{"memory": "256Mi"}},
	}
	if value := container(own.Object["spec"])["securityContext"]; value != nil {
		trial["securityContext"] = value
	}
	spec["containers"] = []any{trial}
	return &manifest.Object{Object: map[string]any{
		"apiVersion": "v1", "kind": "Pod",
		"metadata": map[string]any{"name": trialName, "namespace": own.GetNamespace(),
			"labels": map[string]any{nameLabel: trialName},
			"ownerReferences": []any{map[string]any{"apiVersion": "v1", "kind": "Pod", "name": own.GetName(),
				"uid": string(own.GetUID())}}},
		"spec": spec,
	}}
}

// starting are the reasons of a container that waits and may still start by itself.
var starting = []string{"", "ContainerCreating", "PodInitializing", "ErrImagePull"}

// judgeTrial reports whether a trial Pod has succeeded, and otherwise how far it is. If it cannot succeed any more, the
// error has the reason and the message of its container.
func judgeTrial(pod *manifest.Object) (done bool, state string, err error) {
	status := pod.Object["status"]
	phase := text(status, "phase")
	current := child(item(child(status, "containerStatuses"), containerName), "state")
	waiting, ended := child(current, "waiting"), child(current, "terminated")
	reason := text(waiting, "reason")
	switch {
	case phase == condition.Succeeded:
		return true, "", nil
	case phase == "Failed" && ended != nil:
		return false, "", fmt.Errorf("the image does not work: it ended with code %d: %s", number(ended, "exitCode"),
			described(text(ended, "reason"), text(ended, "message")))
	case phase == "Failed":
		return false, "", fmt.Errorf("the image does not work: %s", described(text(status, "reason"),
			text(status, "message")))
	case !slices.Contains(starting, reason):
		return false, "", fmt.Errorf("the image does not run: %s", described(reason, text(waiting, "message")))
	case reason != "":
		return false, described(reason, text(waiting, "message")), nil
	}
	return false, "its Pod is " + phase, nil
}

// described returns a reason with its message, if it has one.
func described(reason, message string) string {
	if message == "" {
		return reason
	}
	return reason + ": " + message
}
