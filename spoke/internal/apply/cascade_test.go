package apply_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/spoke/internal/apply"
	"github.com/navefleet/nave/spoke/internal/kube"
)

// webDeployment is a Deployment in the namespace $NS-x.
const webDeployment = `
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: $NS-x}
spec:
  replicas: 1
  selector: {matchLabels: {app: web}}
  template: {metadata: {labels: {app: web}}, spec: {containers: [{name: web, image: example.com/web:1}]}}
---
`

// namespaceUse is an object that another user makes in a namespace.
type namespaceUse struct {
	create func(w *world, namespace string) // nil: no object is made
	want   string                           // part of the refusal to delete the namespace; empty: it is deleted
}

func TestNamespaceInUse(t *testing.T) {
	inside := strings.NewReplacer("$NS", "$NS-x")
	for name, use := range map[string]namespaceUse{
		"nothing_else": {nil, ""},
		"by_hand": {func(w *world, namespace string) {
			w.byHand(inside.Replace(configMap("theirs", "1")))
		}, "ConfigMap .*/theirs (put there by kubectl"},
		"helm": {func(w *world, namespace string) {
			w.as("helm", inside.Replace(configMap("theirs", "1")))
		}, "put there by helm"},
		"a_controller": {func(w *world, namespace string) {
			w.as("some-controller", inside.Replace(configMap("made", "1")))
		}, ""},
		"another_application": {func(w *world, namespace string) {
			other := bundle.ApplicationName{Kind: "Kustomization", Namespace: "flux-system", Name: "other"}
			changes, err := w.applier.Apply(w.t.Context(),
				apply.Set{Target: apply.Target{Application: other},
					Objects: w.desired(inside.Replace(configMap("theirs", "1")))})
			w.must(err)
			w.must(changes.Err())
		}, "of application Kustomization.flux-system.other"},
		"kept": {func(w *world, namespace string) {
			w.must(w.admin.Edit(w.t.Context(), "ConfigMap", namespace, "a",
				`{"metadata":{"annotations":{"kustomize.toolkit.fluxcd.io/prune":"disabled"}}}`))
		}, "labels or annotations say to keep it"},
		"kept_by_label": {func(w *world, namespace string) {
			w.must(w.admin.Edit(w.t.Context(), "ConfigMap", namespace, "a",
				`{"metadata":{"labels":{"kustomize.toolkit.fluxcd.io/prune":"disabled"}}}`))
		}, "labels or annotations say to keep it"},
	} {
		t.Run(name, func(t *testing.T) { newWorld(t).leaveNamespace(use, inside.Replace(configMap("a", "1"))) })
	}
}

// leaveNamespace applies a namespace with objects, lets another user use it, and removes all objects from Git.
func (w *world) leaveNamespace(use namespaceUse, objects string) {
	w.t.Helper()
	namespace := w.namespace + "-x"
	w.t.Cleanup(func() { _ = w.admin.Delete(context.Background(), "Namespace", "", namespace) })
	w.apply("apiVersion: v1\nkind: Namespace\nmetadata: {name: $NS-x}\n---\n" + objects + webDeployment)
	w.until("the namespace has the objects of every namespace", func(ctx context.Context) error {
		_, err := w.admin.Get(ctx, "ConfigMap", namespace, "kube-root-ca.crt")
		return err
	})
	if use.create != nil {
		use.create(w, namespace)
	}
	changes := w.try(w.set(""))
	if use.want == "" {
		if changes.Err() != nil || len(w.inventory.Items) != 0 {
			w.t.Error(changes)
		}
		return
	}
	before, after, _ := strings.Cut(use.want, ".*")
	if changes.Count(apply.Held) != 1 || !strings.Contains(changes.Err().Error(), before) ||
		!strings.Contains(changes.Err().Error(), after) {
		w.t.Fatal(changes)
	}
	if ns, err := w.admin.Get(w.t.Context(), "Namespace", "", namespace); err != nil || ns.GetDeletionTimestamp() != nil {
		w.t.Error("the namespace is going", err)
	}
}

// A Namespace that leaves Git while something in it stays in Git is kept.
func TestNamespaceStillWanted(t *testing.T) {
	w := newWorld(t)
	in := strings.ReplaceAll(configMap("a", "1"), "$NS", "$NS-x")
	t.Cleanup(func() { _ = w.admin.Delete(context.Background(), "Namespace", "", w.namespace+"-x") })
	w.apply("apiVersion: v1\nkind: Namespace\nmetadata: {name: $NS-x}\n---\n" + in)
	if changes := w.try(w.set(in)); changes.Count(apply.Held) != 1 ||
		!strings.Contains(changes.Err().Error(), "a (still in Git)") {
		t.Error(changes)
	}
}

// as applies YAML under another field manager.
func (w *world) as(manager, yaml string) {
	w.t.Helper()
	for _, d := range w.desired(yaml) {
		loaded, err := d.Load(w.t.Context())
		w.must(err)
		_, err = w.client.Apply(w.t.Context(), loaded.Object, kube.ApplyOptions{FieldManager: manager})
		w.must(err)
	}
}

// A CustomResourceDefinition whose objects cannot be listed is kept.
func TestDefinitionUnserved(t *testing.T) {
	w := newWorld(t)
	crd := func(served string) string {
		return `
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: lamps.unserved.example.com}
spec:
  group: unserved.example.com
  scope: Namespaced
  names: {kind: Lamp, plural: lamps, singular: lamp}
  versions: [{name: v1, served: ` + served + `, storage: true, schema: {openAPIV3Schema: {type: object}}}]
---
`
	}
	w.apply(crd("true"))
	w.until("the kind is served", func(ctx context.Context) error {
		return w.admin.Apply(ctx, []byte("apiVersion: unserved.example.com/v1\nkind: Lamp\nmetadata: {name: by-hand, "+
			"namespace: "+w.namespace+"}"))
	})
	definition := bundle.ObjectIdentity{Group: "apiextensions.k8s.io", Version: "v1", Kind: "CustomResourceDefinition",
		Name: "lamps.unserved.example.com"}
	lamp := bundle.ObjectIdentity{Group: "unserved.example.com", Version: "v1", Kind: "Lamp", Namespace: w.namespace,
		Name: "by-hand"}
	w.apply(crd("false"))
	w.until("the version is not served", func(ctx context.Context) error {
		if _, err := w.client.Look(ctx, lamp, false); kube.ReasonOf(err) != kube.NoMatch {
			return fmt.Errorf("it is: %v", err)
		}
		return nil
	})
	changes := w.try(w.set(""))
	if changes.Count(apply.Held) != 1 || !strings.Contains(changes.Err().Error(), "it serves no version") {
		t.Fatal(changes)
	}
	w.apply(crd("true"))
	w.until("the version is served again", func(ctx context.Context) error {
		w.client.Invalidate("unserved.example.com")
		_, err := w.client.Look(ctx, lamp, false)
		return err
	})
	w.must(w.admin.Delete(t.Context(), "Lamp.unserved.example.com", w.namespace, "by-hand"))
	if w.apply(""); len(w.inventory.Items) != 0 {
		t.Error(w.inventory.IDs())
	}
	if _, err := w.client.Look(t.Context(), definition, false); kube.ReasonOf(err) != kube.NotFound && err != nil {
		t.Error(err)
	}
}

// An object is pruned although the version that it was applied in is not served any more.
func TestPruneInAnotherVersion(t *testing.T) {
	w := newWorld(t)
	crd := func(v1beta1 string) string {
		const schema = "schema: {openAPIV3Schema: {type: object}}"
		return `
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: bulbs.moved.example.com}
spec:
  group: moved.example.com
  scope: Namespaced
  names: {kind: Bulb, plural: bulbs, singular: bulb}
  versions: [{name: v1, served: true, storage: true, ` + schema + `}, {name: v1beta1, served: ` + v1beta1 + `, storage: false, ` + schema + `}]
---
`
	}
	w.apply(crd("true") + "apiVersion: moved.example.com/v1beta1\nkind: Bulb\nmetadata: {name: x, namespace: $NS}\n")
	bulb := bundle.ObjectIdentity{Group: "moved.example.com", Version: "v1", Kind: "Bulb", Namespace: w.namespace,
		Name: "x"}
	w.must(w.admin.Edit(t.Context(), "CustomResourceDefinition.apiextensions.k8s.io", "", "bulbs.moved.example.com",
		`{"spec":{"versions":[{"name":"v1","served":true,"storage":true,"schema":{"openAPIV3Schema":{"type":"object"}}},{"name":"v1beta1","served":false,"storage":false,"schema":{"openAPIV3Schema":{"type":"object"}}}]}}`))
	w.until("v1beta1 is not served", func(ctx context.Context) error {
		old := bulb
		old.Version = "v1beta1"
		if _, err := w.client.Look(ctx, old, false); kube.ReasonOf(err) != kube.NoMatch {
			return fmt.Errorf("it is: %v", err)
		}
		return nil
	})
	if changes := w.apply(crd("false")); changes.Count(apply.Deleted) != 1 {
		t.Error(changes)
	}
	if _, err := w.client.Look(t.Context(), bulb, false); kube.ReasonOf(err) != kube.NotFound {
		t.Errorf("it is still there: %v", err)
	}
	w.apply("")
}
