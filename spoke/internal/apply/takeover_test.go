package apply_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/navefleet/nave/shared/manifest"
	"github.com/navefleet/nave/spoke/internal/apply"
	"github.com/navefleet/nave/spoke/internal/kube"
)

// asFlux applies YAML as a manager of Flux does, with the labels of the test's application.
func (w *world) asFlux(manager, yaml string) {
	w.t.Helper()
	for _, d := range w.desired(w.labelled(yaml)) {
		loaded, err := d.Load(w.t.Context())
		w.must(err)
		_, err = w.client.Apply(w.t.Context(), loaded.Object, kube.ApplyOptions{FieldManager: manager})
		w.must(err)
	}
}

// labelled puts Flux's labels into the metadata of ConfigMaps and of the test's Deployment, as the hub does too.
func (w *world) labelled(yaml string) string {
	return strings.ReplaceAll(yaml, "namespace: $NS", fmt.Sprintf("namespace: $NS, labels: {"+
		"kustomize.toolkit.fluxcd.io/name: %s, kustomize.toolkit.fluxcd.io/namespace: %s}", w.app.Name, w.app.Namespace))
}

// both is a ConfigMap with a key that Git is about to remove.
func both(name string) string {
	return strings.Replace(configMap(name, "1"), "\ndata: {", "\ndata: {removed: x, ", 1)
}

func withMode(yaml, mode string) string {
	return strings.Replace(yaml, "namespace: $NS", "annotations: {kustomize.toolkit.fluxcd.io/ssa: "+mode+"}, "+
		"namespace: $NS", 1)
}

func TestTakeOverFlux(t *testing.T) {
	for name, c := range map[string]struct {
		mode, manager, want string
		others              bool // the labels name another application
	}{
		"override":             {"Override", "kustomize-controller", "none", false},
		"merge":                {"Merge", "kustomize-controller", "none", false},
		"if_not_present":       {"IfNotPresent", "kustomize-controller", "x", false},
		"somebody_else":        {"Override", "somebody", "x", false},
		"another_applications": {"Override", "kustomize-controller", "x", true},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			app := w.app
			if c.others {
				w.app.Name = "other"
			}
			w.asFlux(c.manager, both("a"))
			w.app = app
			before, err := w.live("a")
			w.must(err)
			w.apply(w.labelled(withMode(configMap("a", "1"), c.mode)))
			after, err := w.live("a")
			w.must(err)
			if got := w.data("a", "removed"); got != c.want || after.UID != before.UID {
				t.Errorf("the removed key is %q, want %q", got, c.want)
			}
		})
	}
}

// TestTakeOverArgo removes what Argo CD applied for an application of the same name, its annotation included.
func TestTakeOverArgo(t *testing.T) {
	for name, c := range map[string]struct{ tracked, want string }{"tracked": {"a", "none"}, "a_copy": {"original", "x"}} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			yaml := strings.Replace(both("a"), "namespace: $NS", fmt.Sprintf("namespace: $NS, annotations: {"+
				"argocd.argoproj.io/tracking-id: '%s:/ConfigMap:$NS/%s'}", w.app.Name, c.tracked), 1)
			for _, d := range w.desired(yaml) {
				loaded, err := d.Load(t.Context())
				w.must(err)
				_, err = w.client.Apply(t.Context(), loaded.Object, kube.ApplyOptions{FieldManager: "argocd-controller"})
				w.must(err)
			}
			w.apply(configMap("a", "1"))
			live, err := w.live("a")
			w.must(err)
			if got := w.data("a", "removed"); got != c.want || (live.Annotations["argocd.argoproj.io/tracking-id"] == "") !=
				(c.want == "none") {
				t.Errorf("the removed key is %q, want %q; annotations %v", got, c.want, live.Annotations)
			}
		})
	}
}

// TestTakeOverVersion takes over an object that Flux applied in an older version of its kind, with a field that the new
// version does not have.
func TestTakeOverVersion(t *testing.T) {
	w := newWorld(t)
	target := "scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: web}, maxReplicas: 3"
	scaler := func(version, fields string) string {
		return "apiVersion: autoscaling/" + version + "\nkind: HorizontalPodAutoscaler\n" +
			"metadata: {name: web, namespace: $NS}\nspec: {" + target + ", " + fields + "}\n"
	}
	w.asFlux("kustomize-controller", scaler("v1", "minReplicas: 2, targetCPUUtilizationPercentage: 50"))
	w.apply(w.labelled(scaler("v2", "metrics: [{type: Resource, resource: {name: memory, "+
		"target: {type: Utilization, averageUtilization: 60}}}]")))
	o, err := w.admin.Get(t.Context(), "HorizontalPodAutoscaler.autoscaling", w.namespace, "web")
	w.must(err)
	spec := o.Object["spec"].(map[string]any)
	if metrics := spec["metrics"].([]any); len(metrics) != 1 || spec["minReplicas"] != int64(1) {
		t.Errorf("%v", spec)
	}
	for _, m := range o.GetManagedFields() {
		if m.Manager == "kustomize-controller" {
			t.Errorf("kustomize-controller still owns fields: %s", m.FieldsV1)
		}
	}
}

// TestTakeOverOnce counts the requests: an object of Flux costs two more, once, and any other object none.
func TestTakeOverOnce(t *testing.T) {
	w := newWorld(t)
	w.asFlux("kustomize-controller", both("a"))
	yaml := w.labelled(configMap("a", "1") + configMap("b", "1"))
	before := w.client.Requests()
	w.apply(yaml)
	if n := w.client.Requests() - before; n != 5 {
		t.Errorf("%d requests, want one each, two for what is taken over, and one that finds no Flux", n)
	}
	before = w.client.Requests()
	set := w.set(yaml)
	set.Reapply = true
	if changes := w.try(set); w.client.Requests()-before != 2 || changes.Count(apply.Unchanged) != 2 {
		t.Errorf("%d requests, want one each: %v", w.client.Requests()-before, changes)
	}
}

// TestTakeOverScaled keeps the replicas that an autoscaler set, removes what Git removed, and rolls no Pods.
func TestTakeOverScaled(t *testing.T) {
	w := newWorld(t)
	deployment := func(fields string) string {
		return `
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: $NS}
spec:
  ` + fields + `
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: web, image: nginx, env: [{name: A, value: "1"}]}]}
`
	}
	w.asFlux("kustomize-controller", deployment("replicas: 2\n  minReadySeconds: 5"))
	w.must(w.admin.Scale(t.Context(), "Deployment.apps", w.namespace, "web", 4))
	w.apply(w.labelled(deployment("")))
	o, err := w.admin.Get(t.Context(), "Deployment.apps", w.namespace, "web")
	w.must(err)
	spec := o.Object["spec"].(map[string]any)
	if spec["replicas"] != int64(4) || spec["minReadySeconds"] != nil || o.GetGeneration() != 3 {
		t.Errorf("replicas %v, minReadySeconds %v, generation %d", spec["replicas"], spec["minReadySeconds"],
			o.GetGeneration())
	}
	for _, m := range o.GetManagedFields() {
		if m.Manager == "kustomize-controller" {
			t.Error("kustomize-controller still owns fields")
		}
		if m.Manager == kube.FieldManager && strings.Contains(m.FieldsV1.String(), "f:replicas") {
			t.Error("the spoke took the autoscaler's replicas")
		}
	}
}

// TestTakeOverWatched takes over what Flux applies after the spoke has, as drift.
func TestTakeOverWatched(t *testing.T) {
	w := newWorld(t)
	yaml := w.labelled(configMap("a", "1"))
	w.apply(yaml)
	w.watch(func() string { return yaml })
	w.asFlux("kustomize-controller", both("a"))
	w.wantData("a", "removed", "none")
}

// fluxDefinition makes the cluster one that has Flux.
const (
	fluxOwner      = "kustomizations.kustomize.toolkit.fluxcd.io"
	fluxDefinition = `
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: ` + fluxOwner + `}
spec:
  group: kustomize.toolkit.fluxcd.io
  names: {kind: Kustomization, plural: kustomizations}
  scope: Namespaced
  versions:
  - {name: v1, served: true, storage: true, schema: {openAPIV3Schema: {type: object}}}
`
)

// TestTakeOverSpared has an object that somebody keeps Flux from, in the cluster alone. It is refused, and not changed,
// until the mark is gone or in Git. All others are taken over, and once an object is ours, the mark counts in Git only.
func TestTakeOverSpared(t *testing.T) {
	admin := newWorld(t).admin
	t.Cleanup(func() {
		err := admin.Delete(context.Background(), "CustomResourceDefinition.apiextensions.k8s.io", "", fluxOwner)
		if err != nil {
			t.Error(err)
		}
	})
	if err := admin.Apply(t.Context(), []byte(fluxDefinition)); err != nil {
		t.Fatal(err)
	}
	for key, value := range map[string]string{"reconcile": "disabled", "ssa": "Ignore"} {
		t.Run(key, func(t *testing.T) {
			w := newWorld(t)
			edit := func(value string) {
				w.must(w.admin.Edit(t.Context(), "ConfigMap", w.namespace, "spared",
					`{"metadata":{"annotations":{"kustomize.toolkit.fluxcd.io/`+key+`":`+value+`}}}`))
			}
			w.asFlux("kustomize-controller", configMap("spared", "by Flux")+configMap("other", "by Flux"))
			edit(`"` + value + `"`)
			git := w.labelled(configMap("spared", "new") + configMap("other", "new"))
			changes := w.try(w.set(git))
			if len(changes.Failed()) != 1 || !strings.Contains(changes.Failed()[0].Err.Error(), "put the mark into Git") ||
				w.data("spared", "k") != "by Flux" || w.data("other", "k") != "new" {
				t.Error(changes)
			}
			if found, err := w.applier.Preview(t.Context(), w.set(git), func(manifest.ID) bool { return false }); err != nil ||
				len(found.Objects) != 1 || found.Objects[0].Action != apply.Refused {
				t.Errorf("preview: %+v, %v", found, err)
			}
			marked := strings.Replace(git, "namespace: $NS", "namespace: $NS, annotations: "+
				"{kustomize.toolkit.fluxcd.io/"+key+": "+value+"}", 1)
			if changes := w.try(w.set(marked)); len(changes.Failed()) != 0 || w.data("spared", "k") != "by Flux" {
				t.Error(changes)
			}
			edit("null")
			w.apply(git)
			if w.data("spared", "k") != "new" {
				t.Error("it is not applied")
			}
			before := w.client.Requests()
			w.apply(git)
			if n := w.client.Requests() - before; n != 0 {
				t.Errorf("%d requests for what is ours", n)
			}
		})
	}
}
