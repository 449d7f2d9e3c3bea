package release

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/condition"
	"github.com/navefleet/nave/shared/manifest"
	"github.com/navefleet/nave/shared/wait"
	"github.com/navefleet/nave/spoke/internal/kube"
)

// runAnnotation names the run that created a hook, so that a spoke that was killed does not run the hook twice.
const runAnnotation = "fleet.nave.io/release-run"

const (
	firstPause = 100 * time.Millisecond // between attempts
	mostPause  = 5 * time.Second
	// clearTimeout is for the deletion of hooks after one has failed.
	clearTimeout = 30 * time.Second
)

// HookCluster is the part of the API server that a HookRunner uses.
type HookCluster interface {
	Create(ctx context.Context, o *manifest.Object, opts kube.ApplyOptions) (kube.Applied, error)
	Look(ctx context.Context, id bundle.ObjectIdentity, whole bool) (kube.Live, error)
	Delete(ctx context.Context, id bundle.ObjectIdentity, opts kube.DeleteOptions) error
	Mapping(ctx context.Context, gvk schema.GroupVersionKind) (kube.Mapping, error)
	Watch(ctx context.Context, m kube.Mapping, s kube.Scope, resourceVersion string) (*kube.Stream, error)
}

// HookRunner runs hooks. Their output is neither read nor reported.
type HookRunner struct {
	Client HookCluster // with the account of the application
	// Allow is asked before an object is created or deleted: by the cluster's policy, and whether the object belongs to
	// another application. nil allows everything.
	Allow func(bundle.ObjectIdentity) error
	Now   func() time.Time
}

// HookRun is the hooks of one event that run one after the other.
type HookRun struct {
	Hooks []PlannedHook // in the order of HooksOf or TestsOf
	Name  string        // of this run and no other: the revision and the event
	From  int           // the hooks before it have succeeded
	// Note stores how far a hook is, before the next request. If Note returns an error, the run ends.
	Note func(i int, run Run) error
}

// Run runs the hooks until one fails, and deletes those whose policies say so. A run that was interrupted goes on: a
// hook that it created is not created again. The error of a hook is a *HookError.
func (r *HookRunner) Run(ctx context.Context, h HookRun) error {
	for i := h.From; i < len(h.Hooks); i++ {
		err := r.runOne(ctx, h, i)
		if err == nil {
			continue
		}
		if _, failed := errors.AsType[*HookError](err); failed {
			ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), clearTimeout) // the deadline may have passed
			defer cancel()
			return errors.Join(err, r.clear(ctx, h.Hooks[i:i+1], bundle.HookFailed),
				r.clear(ctx, h.Hooks[:i], bundle.HookSucceeded))
		}
		return err
	}
	last := slices.Clone(h.Hooks)
	slices.Reverse(last)
	return r.clear(ctx, last, bundle.HookSucceeded)
}

// HookError is the error of a hook that failed. Other errors of a run are of the spoke.
type HookError struct {
	Hook manifest.ID
	Err  error
}

// Error names the hook and the cause.
func (e *HookError) Error() string { return fmt.Sprintf("hook %s: %v", e.Hook, e.Err) }

// Unwrap returns the cause.
func (e *HookError) Unwrap() error { return e.Err }

// runOne runs one hook and notes how it ended. A context that was cancelled, and not because of the deadline, is no
// failure of the hook: the run goes on later.
func (r *HookRunner) runOne(ctx context.Context, h HookRun, i int) error {
	hook := h.Hooks[i]
	run := Run{StartedAt: r.Now(), Phase: HookRunning}
	if err := h.Note(i, run); err != nil {
		return err
	}
	err := r.create(ctx, hook, h.Name)
	if err == nil && awaited(hook.ID().GroupKind()) {
		err = r.await(ctx, hook)
	}
	if err != nil && ctx.Err() != nil && !errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return err
	}
	run.CompletedAt, run.Phase = r.Now(), HookSucceeded
	if err != nil {
		run.Phase = HookFailed
		err = &HookError{hook.ID(), err}
	}
	return errors.Join(err, h.Note(i, run))
}

// create creates a hook unless this run did. It tries again after errors that may pass, until the context ends.
func (r *HookRunner) create(ctx context.Context, hook PlannedHook, run string) error {
	if err := r.allow(hook.ObjectIdentity); err != nil {
		return err
	}
	pauses := wait.Backoff{First: firstPause, Most: mostPause}
	for {
		created, err := r.tryCreate(ctx, hook, run)
		if created || err != nil && !kube.Retryable(err) {
			return err
		}
		if stopped := pauses.Pause(ctx); stopped != nil {
			return cmp.Or(err, stopped)
		}
	}
}

// tryCreate creates a hook. It returns false if it has to be called again.
func (r *HookRunner) tryCreate(ctx context.Context, hook PlannedHook, run string) (bool, error) {
	live, err := r.Client.Look(ctx, hook.ObjectIdentity, false)
	switch reason := kube.ReasonOf(err); {
	case reason == kube.NotFound:
		return r.send(ctx, hook, run)
	case err != nil:
		return false, err
	case live.Annotations[runAnnotation] == run && !live.Deleting:
		return true, nil
	case deletedOn(hook.Hook, bundle.BeforeCreation):
		return false, r.delete(ctx, hook.ObjectIdentity, live.UID)
	case holdsOthers(hook.ObjectIdentity):
		return true, nil // it stays
	}
	return true, fmt.Errorf("it exists already; give the hook the delete policy %s", bundle.BeforeCreation)
}

// send sends a hook that does not exist.
func (r *HookRunner) send(ctx context.Context, hook PlannedHook, run string) (bool, error) {
	loaded, err := hook.Load(ctx)
	if err != nil {
		return true, err
	}
	annotations := loaded.Object.GetAnnotations()
	if annotations == nil {
		annotations = map[string]string{}
	}
	annotations[runAnnotation] = run
	loaded.Object.SetAnnotations(annotations)
	_, err = r.Client.Create(ctx, loaded.Object, kube.ApplyOptions{FieldManager: manager})
	if kube.ReasonOf(err) == kube.Exists {
		return false, nil // a request whose answer was lost
	}
	return err == nil, loaded.hide(err)
}

// hide takes sealed values out of an answer of the API server.
func (l LoadedHook) hide(err error) error {
	e, ok := errors.AsType[*kube.Error](err)
	if !ok {
		return err
	}
	redact := l.Redact
	if redact == nil {
		redact = func(text string) string { return text }
	}
	return e.Redacted(redact, l.Sealed || isSecret(l.Object))
}

func isSecret(o *manifest.Object) bool {
	return o.GroupVersionKind().GroupKind() == schema.GroupKind{Kind: "Secret"}
}

func (r *HookRunner) allow(id bundle.ObjectIdentity) error {
	if r.Allow == nil {
		return nil
	}
	return r.Allow(id)
}

// clear deletes the hooks that a policy deletes.
func (r *HookRunner) clear(ctx context.Context, hooks []PlannedHook, policy string) error {
	var errs []error
	for _, h := range hooks {
		if !deletedOn(h.Hook, policy) {
			continue
		}
		err := r.allow(h.ObjectIdentity)
		if err == nil {
			err = r.delete(ctx, h.ObjectIdentity, "")
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("delete hook %s: %w", h.ID(), err))
		}
	}
	return errors.Join(errs...)
}

// delete deletes an object and waits until it is gone.
func (r *HookRunner) delete(ctx context.Context, id bundle.ObjectIdentity, uid string) error {
	pauses := wait.Backoff{First: firstPause, Most: mostPause}
	for {
		err := r.Client.Delete(ctx, id, kube.DeleteOptions{UID: uid})
		switch reason := kube.ReasonOf(err); {
		case reason == kube.NotFound || reason == kube.Conflict && uid != "":
			return nil // gone, or another object by now
		case err != nil && !kube.Retryable(err):
			return err
		}
		if stopped := pauses.Pause(ctx); stopped != nil {
			return cmp.Or(err, fmt.Errorf("it is not gone: %w", stopped))
		}
	}
}

// awaited reports whether a hook of the kind runs to completion.
func awaited(kind schema.GroupKind) bool {
	return kind == schema.GroupKind{Kind: "Pod"} || kind == schema.GroupKind{Group: "batch", Kind: "Job"}
}

// await waits until a Job or Pod has completed.
func (r *HookRunner) await(ctx context.Context, hook PlannedHook) error {
	pauses := wait.Backoff{First: firstPause, Most: mostPause}
	for progress := "it did not start"; ; {
		live, err := r.Client.Look(ctx, hook.ObjectIdentity, true)
		if kube.ReasonOf(err) == kube.NotFound {
			return errors.New("it was deleted before it was seen to complete")
		}
		if err == nil {
			var done bool
			if done, progress, err = Outcome(live.Object); done {
				return err
			}
			err = r.follow(ctx, hook.ObjectIdentity, live.ResourceVersion)
		}
		if err == nil {
			pauses.Reset()
			continue
		}
		if stopped := pauses.Pause(ctx); stopped != nil {
			return fmt.Errorf("not completed in time: %s", progress)
		}
	}
}

// follow waits until an object changes.
func (r *HookRunner) follow(ctx context.Context, id bundle.ObjectIdentity, from string) error {
	m, err := r.Client.Mapping(ctx, schema.GroupVersionKind{Group: id.Group, Version: id.Version, Kind: id.Kind})
	if err != nil {
		return err
	}
	stream, err := r.Client.Watch(ctx, m, kube.Scope{Namespace: id.Namespace, Name: id.Name}, from)
	if err != nil {
		return err
	}
	defer stream.Close()
	for {
		event, err := stream.Next()
		if err != nil || event.Type != kube.Bookmark {
			return err
		}
	}
}

// Outcome returns whether a Job or Pod has completed, how far it is, and the error if it failed. Nothing that a
// container wrote is part of these texts.
func Outcome(o *manifest.Object) (done bool, progress string, err error) {
	status, _ := o.Object["status"].(map[string]any)
	if o.GetKind() == "Pod" {
		phase, _ := status["phase"].(string)
		reason, _ := status["reason"].(string)
		switch phase {
		case string(HookSucceeded):
			return true, "", nil
		case string(HookFailed):
			return true, "", errors.New(cmp.Or(reason, "its containers failed"))
		}
		return false, "its phase is " + cmp.Or(phase, "not known"), nil
	}
	conditions, _ := status["conditions"].([]any)
	for _, c := range conditions {
		fields, _ := c.(map[string]any)
		if fields["status"] != condition.True {
			continue
		}
		switch fields["type"] {
		case "Complete":
			return true, "", nil
		case "Failed":
			reason, _ := fields["reason"].(string)
			message, _ := fields["message"].(string)
			return true, "", fmt.Errorf("%s: %s", cmp.Or(reason, "it failed"), cmp.Or(message, "no message"))
		}
	}
	return false, fmt.Sprintf("%v Pods are active, %v failed", count(status["active"]), count(status["failed"])), nil
}

// count returns a number of a status that may be missing.
func count(value any) any {
	if value == nil {
		return 0
	}
	return value
}
