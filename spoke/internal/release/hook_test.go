package release_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/navefleet/nave/e2e/kubetest"
	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/manifest"
	"github.com/navefleet/nave/shared/wait"
	"github.com/navefleet/nave/spoke/internal/kube"
	"github.com/navefleet/nave/spoke/internal/release"
)

func namesOf(hooks []release.PlannedHook) (names []string) {
	for _, h := range hooks {
		names = append(names, h.Name)
	}
	return names
}

func TestHooksOf(t *testing.T) {
	hook := func(name string, weight int, events ...string) release.PlannedHook {
		h := bundle.Hook{Weight: weight, Events: events}
		h.Name = name
		return release.PlannedHook{Hook: h}
	}
	hooks := []release.PlannedHook{hook("b", 0, bundle.PreInstall, bundle.TestHook), hook("z", -1, bundle.PreInstall),
		hook("a", 0, bundle.PreInstall), hook("c", 5, bundle.TestHook), hook("d", 0, bundle.PreUpgrade),
		hook("e", 1, bundle.TestHook)}
	if got := fmt.Sprint(namesOf(release.HooksOf(hooks, bundle.PreInstall))); got != "[z a b]" {
		t.Error(got)
	}
	for want, test := range map[string]bundle.ReleaseTest{
		"[b e c]": {}, "[e]": {Only: []string{"e", "d"}}, "[b c]": {Except: []string{"e"}},
		"[c]": {Only: []string{"c", "e"}, Except: []string{"e"}}, "[]": {Only: []string{"a"}},
	} {
		if got := fmt.Sprint(namesOf(release.TestsOf(hooks, test))); got != want {
			t.Errorf("%+v: %s, want %s", test, got, want)
		}
	}
}

func TestRecord_testResult(t *testing.T) {
	const ok, failed, never = release.HookSucceeded, release.HookFailed, release.Phase("")
	tests := map[string]struct {
		phases []release.Phase // of the tests t0, t1, …
		test   bundle.ReleaseTest
		want   release.TestResult
	}{
		"none":         {nil, bundle.ReleaseTest{}, release.NotTested},
		"never_ran":    {[]release.Phase{never}, bundle.ReleaseTest{}, release.NotTested},
		"passed":       {[]release.Phase{ok, ok}, bundle.ReleaseTest{}, release.TestsPassed},
		"one_failed":   {[]release.Phase{ok, failed}, bundle.ReleaseTest{}, release.TestsFailed},
		"stopped":      {[]release.Phase{failed, never}, bundle.ReleaseTest{}, release.TestsFailed},
		"one_missing":  {[]release.Phase{ok, never}, bundle.ReleaseTest{}, release.NotTested},
		"running":      {[]release.Phase{release.HookRunning}, bundle.ReleaseTest{}, release.NotTested},
		"filtered_out": {[]release.Phase{ok, failed}, bundle.ReleaseTest{Except: []string{"t1"}}, release.TestsPassed},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			r := release.Record{Hooks: []release.Hook{{Name: "other", Events: []string{bundle.PreInstall}}}}
			for i, phase := range test.phases {
				r.Hooks = append(r.Hooks, release.Hook{Name: fmt.Sprint("t", i), Events: []string{bundle.TestHook},
					LastRun: release.Run{Phase: phase}})
			}
			if got := r.TestResult(test.test); got != test.want {
				t.Errorf("%q, want %q", got, test.want)
			}
		})
	}
}

// hookWorld is a namespace of the cluster in which hooks run. Its Pods end as the test says.
type hookWorld struct {
	*helmWorld
	notes []string
}

func newHookWorld(t *testing.T) *hookWorld {
	t.Helper()
	w := &hookWorld{helmWorld: newHelmWorld(t)}
	err := kubetest.Until(t.Context(), "the ServiceAccount of Pods", func(ctx context.Context) error {
		_, err := w.cluster.Get(ctx, "ServiceAccount", w.namespace, "default")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// endPods gives every Pod a phase until the test ends: Failed if its name begins with "bad", and none if it begins with
// "slow".
func (w *hookWorld) endPods() {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	w.t.Cleanup(func() { cancel(); <-done })
	pods := kube.Mapping{Version: "v1", Kind: "Pod", Resource: "pods", Namespaced: true}
	go func() {
		defer close(done)
		for wait.For(ctx, 20*time.Millisecond) == nil {
			_, _ = w.client.List(ctx, pods, kube.Scope{Namespace: w.namespace}, func(p kube.Live) error {
				phase := "Succeeded"
				if strings.HasPrefix(p.ID.Name, "bad") {
					phase = "Failed"
				}
				if !strings.HasPrefix(p.ID.Name, "slow") {
					_ = w.cluster.EditStatus(ctx, "Pod", w.namespace, p.ID.Name, `{"status":{"phase":"`+phase+`"}}`)
				}
				return nil
			})
		}
	}()
}

// hook returns a hook, of a kind that its name ends with.
func (w *hookWorld) hook(name string, policies ...string) release.PlannedHook {
	w.t.Helper()
	pod := "containers: [{name: a, image: a}]"
	yaml := map[string]string{
		"pod":    "apiVersion: v1\nkind: Pod\nspec: {" + pod + "}\n",
		"job":    "apiVersion: batch/v1\nkind: Job\nspec: {template: {spec: {restartPolicy: Never, " + pod + "}}}\n",
		"config": "apiVersion: v1\nkind: ConfigMap\n",
	}[name[strings.LastIndex(name, "-")+1:]]
	objects, err := manifest.Parse([]byte(yaml + "metadata: {name: " + name + ", namespace: " + w.namespace + "}\n"))
	if err != nil {
		w.t.Fatal(err)
	}
	h := bundle.Hook{Events: []string{bundle.PreInstall}, DeletePolicies: policies}
	h.ObjectIdentity = kube.Identify(objects[0])
	return release.PlannedHook{Hook: h, Load: func(context.Context) (release.LoadedHook, error) {
		return release.LoadedHook{Object: objects[0].DeepCopy()}, nil
	}}
}

// runHooks runs hooks, and returns how they ended as "a-pod Running, a-pod Succeeded".
func (w *hookWorld) runHooks(ctx context.Context, name string, from int, hooks ...release.PlannedHook) (string, error) {
	w.t.Helper()
	runner := release.HookRunner{Client: w.client, Now: func() time.Time { return noon }}
	w.notes = nil
	err := runner.Run(ctx, release.HookRun{Hooks: hooks, Name: name, From: from, Note: func(i int, run release.Run) error {
		w.notes = append(w.notes, hooks[i].Name+" "+string(run.Phase))
		return nil
	}})
	return strings.Join(w.notes, ", "), err
}

// uid returns the UID of a hook's object; empty if it does not exist.
func (w *hookWorld) uid(h release.PlannedHook) string {
	w.t.Helper()
	live, err := w.client.Look(w.t.Context(), h.ObjectIdentity, false)
	if err != nil && kube.ReasonOf(err) != kube.NotFound {
		w.t.Fatal(err)
	}
	return live.UID
}

func TestRunHooks(t *testing.T) {
	w := newHookWorld(t)
	w.endPods()
	pod, config, job := w.hook("a-pod", bundle.HookSucceeded), w.hook("b-config"), w.hook("c-job")
	const want = "a-pod Running, a-pod Succeeded, b-config Running, b-config Succeeded, c-job Running, c-job Succeeded"
	if got, err := w.runHooks(t.Context(), "1 pre-install", 0, pod, config, job); got != want || err != nil {
		t.Error(got, err)
	}
	first := w.uid(config)
	if w.uid(pod) != "" || first == "" || w.uid(job) == "" {
		t.Error("the policies of the hooks were not kept")
	}
	got, err := w.runHooks(t.Context(), "2 pre-install", 1, pod, config, job)
	if !strings.HasPrefix(got, "b-config Running") || err != nil {
		t.Error(got, err)
	}
	if second := w.uid(config); second == "" || second == first {
		t.Error("a hook without a policy was not created anew")
	}
}

func TestRunHooks_failure(t *testing.T) {
	w := newHookWorld(t)
	w.endPods()
	good, kept, bad, never := w.hook("a-pod", bundle.HookSucceeded), w.hook("b-config"),
		w.hook("bad-pod", bundle.HookFailed), w.hook("never-config")
	got, err := w.runHooks(t.Context(), "1 pre-install", 0, good, kept, bad, never)
	if failed, ok := errors.AsType[*release.HookError](err); !ok || failed.Hook.Name != "bad-pod" {
		t.Error(err)
	}
	if !strings.HasSuffix(got, "bad-pod Running, bad-pod Failed") {
		t.Error(got)
	}
	if w.uid(good) != "" || w.uid(kept) == "" || w.uid(bad) != "" || w.uid(never) != "" {
		t.Error("the policies of the hooks were not kept")
	}
}

// TestRunHooks_resumed interrupts a run while a hook works. The next run waits for the same hook.
func TestRunHooks_resumed(t *testing.T) {
	w := newHookWorld(t)
	slow := w.hook("slow-pod")
	ctx, cancel := context.WithCancel(t.Context())
	watched := w.client.Requests()
	go func() {
		_ = kubetest.Until(t.Context(), "the hook", func(ctx context.Context) error {
			if _, err := w.cluster.Get(ctx, "Pod", w.namespace, "slow-pod"); err != nil || w.client.Requests() < watched+4 {
				return errors.New("not yet")
			}
			return nil
		})
		cancel()
	}()
	got, err := w.runHooks(ctx, "1 pre-install", 0, slow)
	if _, failed := errors.AsType[*release.HookError](err); err == nil || failed || got != "slow-pod Running" {
		t.Error(got, err)
	}
	first := w.uid(slow)
	if err := w.cluster.EditStatus(t.Context(), "Pod", w.namespace, "slow-pod", `{"status":{"phase":"Succeeded"}}`); err != nil {
		t.Fatal(err)
	}
	got, err = w.runHooks(t.Context(), "1 pre-install", 0, slow)
	if err != nil || !strings.HasSuffix(got, "slow-pod Succeeded") {
		t.Error(got, err)
	}
	if w.uid(slow) != first {
		t.Error("the hook ran twice")
	}
}

func TestRunHooks_errors(t *testing.T) {
	w := newHookWorld(t)
	w.endPods()
	if _, err := w.runHooks(t.Context(), "1 pre-install", 0, w.hook("old-config")); err != nil {
		t.Fatal(err)
	}
	secret := w.hook("secret-config")
	secret.Load = func(context.Context) (release.LoadedHook, error) {
		o := &manifest.Object{Object: map[string]any{"apiVersion": "v1", "kind": "ConfigMap", "metadata": map[string]any{
			"name": "secret-config", "namespace": w.namespace, "labels": map[string]any{"a": "s3cret!"}}}}
		return release.LoadedHook{Object: o, Sealed: true}, nil
	}
	tests := map[string]struct {
		hook    release.PlannedHook
		timeout time.Duration
		want    string
	}{
		"exists":   {w.hook("old-config", bundle.HookSucceeded), time.Minute, "ConfigMap " + w.namespace + "/old-config: it exists already; give the hook"},
		"deadline": {w.hook("slow-pod"), time.Second, "not completed in time: its phase is "},
		"invalid":  {secret, time.Minute, "hook ConfigMap " + w.namespace + "/secret-config: create"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), test.timeout)
			defer cancel()
			_, err := w.runHooks(ctx, "2 pre-install", 0, test.hook)
			if err == nil || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "s3cret") {
				t.Errorf("%v, want %s", err, test.want)
			}
			if !slices.Contains(w.notes, test.hook.Name+" Failed") {
				t.Error(w.notes)
			}
		})
	}
}
