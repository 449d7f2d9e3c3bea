package apply_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/spoke/internal/apply"
	"github.com/navefleet/nave/spoke/internal/inventory"
	"github.com/navefleet/nave/spoke/internal/kube"
)

// live looks at one ConfigMap of the test's namespace.
func (w *world) live(name string) (kube.Live, error) {
	return w.client.Look(w.t.Context(), bundle.ObjectIdentity{Version: "v1", Kind: "ConfigMap", Namespace: w.namespace,
		Name: name}, false)
}

// byHand applies YAML as another user. $NS is the test's namespace.
func (w *world) byHand(yaml string) {
	w.t.Helper()
	w.must(w.admin.Apply(w.t.Context(), []byte(strings.ReplaceAll(yaml, "$NS", w.namespace))))
}

// brokenWebhook makes the API server ask a webhook that is down before it carries out operations on ConfigMaps of the
// test's namespace, until the returned function is called.
func (w *world) brokenWebhook(operations string) (mend func()) {
	w.t.Helper()
	name := w.namespace + "-hook"
	w.byHand(`
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingWebhookConfiguration
metadata: {name: ` + name + `}
webhooks:
- name: down.example.com
  admissionReviewVersions: [v1]
  sideEffects: None
  failurePolicy: Fail
  timeoutSeconds: 1
  clientConfig: {url: "https://127.0.0.1:1/x"}
  namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: $NS}}
  rules: [{apiGroups: [""], apiVersions: [v1], resources: [configmaps], operations: [` + operations + `]}]
`)
	w.until("the webhook is asked", w.probe(false))
	return func() {
		w.t.Helper()
		w.must(w.admin.Delete(w.t.Context(), "ValidatingWebhookConfiguration.admissionregistration.k8s.io", "", name))
		w.until("the webhook is forgotten", w.probe(true))
	}
}

// probe makes and deletes a ConfigMap. The check that it returns fails unless want is whether that succeeded.
func (w *world) probe(want bool) func(context.Context) error {
	return func(ctx context.Context) error {
		err := w.admin.Apply(ctx, []byte("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: probe, namespace: "+
			""+w.namespace+"}"))
		if err == nil {
			err = w.admin.Delete(ctx, "ConfigMap", w.namespace, "probe")
		}
		if (err == nil) != want {
			return fmt.Errorf("requests go well: %t, %v", err == nil, err)
		}
		return nil
	}
}

func TestPruneForeign(t *testing.T) {
	for name, interrupt := range map[string]func(w *world, yaml string){
		"killed_before_sending": func(w *world, yaml string) {
			ctx, cancel := context.WithCancelCause(w.t.Context())
			s := w.set(yaml)
			s.Save = func(v *inventory.Inventory) error {
				defer cancel(errors.New("killed"))
				return w.save(v)
			}
			if _, err := w.applier.Apply(ctx, s); err == nil {
				w.t.Fatal("it was not cut off")
			}
			w.restart(w.saved[0])
		},
		"webhook_down": func(w *world, yaml string) {
			mend := w.brokenWebhook("CREATE, UPDATE")
			if changes := w.try(w.set(yaml)); changes.Count(apply.Refused) != 1 || len(w.inventory.Items) != 0 {
				w.t.Fatal(changes, w.inventory.IDs())
			}
			mend()
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.byHand(configMap("precious", "somebody else's"))
			before, err := w.live("precious")
			w.must(err)
			interrupt(w, configMap("precious", "git"))
			changes := w.apply("") // the commit is reverted
			after, err := w.live("precious")
			if err != nil || after.UID != before.UID || w.data("precious", "k") != "somebody else's" ||
				len(w.inventory.Items) != 0 {
				t.Errorf("%v, %v", changes, err)
			}
		})
	}
}

// TestBeforeTheLabel adopts the objects that a spoke from before the label applied. Each object is sent once more,
// which adds the label and makes no other change, and objects that left are pruned.
func TestBeforeTheLabel(t *testing.T) {
	w := newWorld(t)
	yaml := configMap("kept", "1") + configMap("changed", "1") + configMap("pruned", "1")
	old := inventory.New(w.app)
	for _, d := range w.desired(yaml) {
		loaded, err := d.Load(t.Context())
		w.must(err)
		loaded.Object.SetLabels(map[string]string{"kustomize.toolkit.fluxcd.io/name": w.app.Name,
			"kustomize.toolkit.fluxcd.io/namespace": w.app.Namespace})
		applied, err := w.client.Apply(t.Context(), loaded.Object, kube.ApplyOptions{})
		w.must(err)
		old.Items[d.ID()] = inventory.Item{
			Version: d.Version, Resource: applied.Mapping.Resource, UID: applied.UID, ResourceVersion: applied.ResourceVersion,
			Digest: d.Digest, Managed: applied.Managed, AppliedAt: applied.AppliedAt,
		}
	}
	disk, err := old.Encode()
	w.must(err)
	w.restart(disk)
	yaml = configMap("kept", "1") + configMap("changed", "2")
	if changes := w.apply(yaml); changes.Count(apply.Configured) != 2 || changes.Count(apply.Deleted) != 1 {
		t.Error(changes)
	}
	for _, name := range []string{"kept", "changed"} {
		if l, err := w.live(name); err != nil || l.Labels[inventory.Label] != inventory.LabelOf(w.app) {
			t.Errorf("%s: %v, %v", name, l.Labels, err)
		}
	}
	before := w.client.Requests()
	if w.apply(yaml); w.client.Requests() != before {
		t.Errorf("%d requests for what is adopted", w.client.Requests()-before)
	}
	w.watch(func() string { return yaml })
	for _, name := range []string{"kept", "changed"} {
		w.must(w.admin.Edit(t.Context(), "ConfigMap", w.namespace, name, `{"data":{"k":"by hand"}}`))
	}
	w.wantData("kept", "k", "1")
	w.wantData("changed", "k", "2")
}

// An object that has our label but was not applied by us, such as a copy, stays.
func TestPruneCopy(t *testing.T) {
	w := newWorld(t)
	w.apply(configMap("a", "1"))
	w.must(w.admin.Delete(t.Context(), "ConfigMap", w.namespace, "a"))
	w.byHand(strings.Replace(configMap("a", "copied"), "namespace: $NS",
		"namespace: $NS, labels: {"+inventory.Label+": "+inventory.LabelOf(w.app)+"}", 1))
	if changes := w.apply(""); changes.Count(apply.Released) != 1 || w.data("a", "k") != "copied" {
		t.Error(changes)
	}
}

func TestForceLeavesForeign(t *testing.T) {
	w := newWorld(t)
	w.byHand(strings.Replace(configMap("a", "theirs"), "\ndata:", "\nimmutable: true\ndata:", 1))
	s := w.set(configMap("a", "git"))
	s.Force = true
	changes := w.try(s)
	if changes.Count(apply.Refused) != 1 || !strings.Contains(changes.Err().Error(), "delete it by hand") ||
		w.data("a", "k") != "theirs" {
		t.Error(changes)
	}
}
