package apply_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/navefleet/nave/shared/bundle"
	sharedhealth "github.com/navefleet/nave/shared/health"
	"github.com/navefleet/nave/shared/manifest"
	"github.com/navefleet/nave/spoke/internal/apply"
	"github.com/navefleet/nave/spoke/internal/health"
	"github.com/navefleet/nave/spoke/internal/inventory"
	"github.com/navefleet/nave/spoke/internal/kube"
)

func TestRequests(t *testing.T) {
	w := newWorld(t)
	yaml := func(changed string) string {
		var b strings.Builder
		for i := range 200 {
			b.WriteString(configMap(fmt.Sprintf("c%d", i), "1"))
		}
		return b.String() + configMap("last", changed)
	}
	count := func(apply func()) uint64 { before := w.client.Requests(); apply(); return w.client.Requests() - before }
	if n := count(func() { w.apply(yaml("1")) }); n != 203 {
		t.Errorf("%d requests for 201 new objects and two discoveries, of their kind and of Flux", n)
	}
	if n := count(func() { w.apply(yaml("1")) }); n != 0 {
		t.Errorf("%d requests for nothing", n)
	}
	if n := count(func() { w.apply(yaml("2")) }); n != 1 {
		t.Errorf("%d requests for one changed object", n)
	}
	w.wantData("last", "k", "2")
	s := w.set(yaml("2"))
	s.Reapply = true
	changes := w.try(s)
	if changes.Count(apply.Unchanged) != 201 || w.client.Requests() != 203+1+201 {
		t.Errorf("sent again: %v after %d requests", changes, w.client.Requests())
	}
	w.restart(w.disk())
	if n := count(func() { w.apply(yaml("2")) }); n != 0 {
		t.Errorf("%d requests after a restart", n)
	}
	if n := count(func() { w.apply(yaml("3")) }); n != 1 {
		t.Errorf("%d requests for one changed object after a restart", n)
	}
}

func TestRefusedObject(t *testing.T) {
	w := newWorld(t)
	deployment := func(replicas int) string {
		return fmt.Sprintf(`
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: $NS}
spec:
  replicas: %d
  selector: {matchLabels: {app: web}}
  template: {metadata: {labels: {app: web}}, spec: {containers: [{name: web, image: example.com/web:1}]}}
---
apiVersion: example.com/v1
kind: Nothing
metadata: {name: nothing, namespace: $NS}
---
`, replicas)
	}
	changes := w.try(w.set(deployment(-1) + configMap("a", "1")))
	if changes.Count(apply.Created) != 1 || changes.Count(apply.Refused) != 2 {
		t.Fatal(changes)
	}
	for _, e := range changes.Failed() {
		want := map[string]string{"Deployment": "spec.replicas", "Nothing": "CustomResourceDefinition"}[e.Object.Kind]
		if !strings.Contains(e.Err.Error(), want) || !strings.Contains(e.Err.Error(), e.Object.ID().String()) {
			t.Errorf("%v", e.Err)
		}
		if kube.Retryable(e.Err) != (e.Object.Kind == "Nothing") {
			t.Errorf("retryable is wrong for %v", e.Err)
		}
	}
	if len(w.inventory.Items) != 1 {
		t.Errorf("the inventory has %v", w.inventory.IDs())
	}
	if changes := w.try(w.set(deployment(1) + configMap("a", "1"))); changes.Count(apply.Created) != 1 {
		t.Error(changes)
	}
}

func TestDefinition(t *testing.T) {
	w := newWorld(t)
	crd := func(kind string) string {
		return fmt.Sprintf(`
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: %[1]ss.together.example.com}
spec:
  group: together.example.com
  scope: Namespaced
  names: {kind: %[2]s, plural: %[1]ss, singular: %[1]s}
  versions: [{name: v1, served: true, storage: true, schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}}]
---
`, strings.ToLower(kind), kind)
	}
	widget := "apiVersion: together.example.com/v1\nkind: Widget\nmetadata: {name: x, namespace: $NS}\nspec: {a: 1}\n---\n"
	if changes := w.try(w.set(widget)); kube.ReasonOf(changes.Err()) != kube.NoMatch || !kube.Retryable(changes.Err()) {
		t.Fatal(changes)
	}
	changes := w.apply(crd("Widget") + crd("Gadget") + widget)
	if changes.Count(apply.Created) != 3 {
		t.Fatal(changes)
	}
	by := "apiVersion: together.example.com/v1\nkind: Widget\nmetadata: {name: by-hand, namespace: " + w.namespace + "}"
	w.must(w.admin.Apply(t.Context(), []byte(by)))
	held := w.try(w.set(crd("Gadget")))
	if held.Count(apply.Held) != 1 || held.Count(apply.Deleted) != 1 || !strings.Contains(held.Err().Error(), "by-hand") {
		t.Fatalf("a definition went with an object that is not ours:\n%v", held)
	}
	w.must(w.admin.Delete(t.Context(), "Widget.together.example.com", w.namespace, "by-hand"))
	if changes := w.apply(crd("Gadget")); changes.Count(apply.Deleted) != 1 {
		t.Error(changes)
	}
	w.apply("")
}

func TestDrift(t *testing.T) {
	w := newWorld(t)
	service := "apiVersion: v1\nkind: Service\nmetadata: {name: s, namespace: $NS}\nspec: {ports: [{port: 80}]}\n---\n"
	yaml := configMap("a", "1") + configMap("b", "1") + service
	w.apply(yaml)
	repaired := w.watch(func() string { return yaml })
	settled := w.client.Requests()

	w.must(w.admin.Edit(t.Context(), "ConfigMap", w.namespace, "a", `{"data":{"k":"by hand"}}`))
	w.wantData("a", "k", "1")
	w.must(w.admin.Edit(t.Context(), "ConfigMap", w.namespace, "a", `{"data":{"added":"by hand"}}`))
	w.wantData("a", "added", "none")
	w.must(w.admin.Edit(t.Context(), "ConfigMap", w.namespace, "a", `{"data":null}`))
	w.wantData("a", "k", "1")
	w.must(w.admin.Delete(t.Context(), "ConfigMap", w.namespace, "b"))
	w.wantData("b", "k", "1")
	w.must(w.admin.Edit(t.Context(), "ConfigMap", w.namespace, "b",
		`{"metadata":{"labels":null},"data":{"k":"without label"}}`))
	w.wantData("b", "k", "1")
	w.must(w.admin.Edit(t.Context(), "Service", w.namespace, "s", `{"spec":{"ports":[{"port":81}]}}`))
	w.until("the port is back", func(ctx context.Context) error {
		o, err := w.admin.Get(ctx, "Service", w.namespace, "s")
		if err != nil {
			return err
		}
		if ports := fmt.Sprint(o.Object["spec"].(map[string]any)["ports"]); strings.Contains(ports, "81") ||
			!strings.Contains(ports, "80") {
			return errors.New(ports)
		}
		return nil
	})
	w.until("six repairs were counted", func(context.Context) error {
		if n := repaired(); n != 6 {
			return fmt.Errorf("%d repairs", n)
		}
		return nil
	})
	t.Logf("%d requests for six repairs", w.client.Requests()-settled)
}

func TestDrift_own_applies(t *testing.T) {
	w := newWorld(t)
	w.apply(configMap("a", "0"))
	var edited atomic.Bool
	repaired := w.watch(func() string {
		if !edited.Load() {
			t.Error("our own apply was taken for drift")
		}
		return configMap("a", "29")
	})
	for i := range 30 { // the fields that are ours come and go
		yaml := configMap("a", fmt.Sprint(i))
		if i%2 == 0 {
			yaml = strings.Replace(yaml, "\ndata: {", "\ndata: {extra: x, ", 1)
		}
		w.apply(yaml)
	}
	edited.Store(true)
	w.must(w.admin.Edit(t.Context(), "ConfigMap", w.namespace, "a", `{"data":{"k":"by hand"}}`))
	w.wantData("a", "k", "29")
	w.until("the one drift was repaired once", func(context.Context) error {
		if n := repaired(); n != 1 {
			return fmt.Errorf("%d repairs", n)
		}
		return nil
	})
}

func TestDrift_before_start(t *testing.T) {
	w := newWorld(t)
	yaml := configMap("changed", "1") + configMap("deleted", "1") + configMap("untouched", "1")
	w.apply(yaml)
	w.must(w.admin.Edit(t.Context(), "ConfigMap", w.namespace, "changed", `{"data":{"k":"by hand"}}`))
	w.must(w.admin.Delete(t.Context(), "ConfigMap", w.namespace, "deleted"))
	w.restart(w.disk())
	repaired := w.watch(func() string { return yaml })
	w.wantData("changed", "k", "1")
	w.wantData("deleted", "k", "1")
	if n := repaired(); n > 2 {
		t.Errorf("%d repairs", n)
	}
}

func TestHealth(t *testing.T) {
	w := newWorld(t)
	w.apply(`
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: $NS}
spec:
  selector: {matchLabels: {app: web}}
  template: {metadata: {labels: {app: web}}, spec: {containers: [{name: web, image: example.com/web:1}]}}
---
` + configMap("a", "1"))
	if s := w.index.Summarize(w.app, 20); s.Status != sharedhealth.InProgress || s.Current != 1 {
		t.Errorf("right after the apply: %+v", s)
	}
	w.watch(nil)
	w.until("the Deployment is well", func(context.Context) error {
		if s := w.index.Summarize(w.app, 20); s.Status != sharedhealth.Current {
			return fmt.Errorf("%+v", s)
		}
		return nil
	})
	assessor := health.NewAssessor(nil)
	r, err := assessor.Check(t.Context(), w.client, w.app,
		bundle.ObjectIdentity{Group: "apps", Version: "v1", Kind: "Deployment", Namespace: w.namespace, Name: "web"})
	if err != nil || r.Status != sharedhealth.Current {
		t.Error(r, err)
	}
	r, err = assessor.Check(t.Context(), w.client, w.app, bundle.ObjectIdentity{Version: "v1", Kind: "ConfigMap",
		Namespace: w.namespace, Name: "nowhere"})
	if err != nil || r.Status != sharedhealth.NotFound {
		t.Error(r, err)
	}
}

func TestPrune(t *testing.T) {
	w := newWorld(t)
	keep := strings.Replace(configMap("keep", "1"), "namespace: $NS",
		"namespace: $NS, annotations: {kustomize.toolkit.fluxcd.io/prune: disabled}", 1)
	keep += strings.NewReplacer("annotations", "labels", "keep", "keep-by-label").Replace(keep)
	w.apply(configMap("stays", "1") + configMap("goes", "1") + configMap("moves", "1") + configMap("replaced", "1") + keep)
	w.must(w.admin.Delete(t.Context(), "ConfigMap", w.namespace, "replaced"))
	w.must(w.admin.Apply(t.Context(), []byte("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: replaced, namespace: "+
		""+w.namespace+"}")))
	s := w.set(configMap("stays", "1"))
	s.Claimed = func(id manifest.ID) (bundle.ApplicationName, bool) {
		return bundle.ApplicationName{Kind: "Kustomization", Namespace: "flux-system", Name: "other"}, id.Name == "moves"
	}
	changes := w.try(s)
	if changes.Count(apply.Deleted) != 1 || changes.Count(apply.Released) != 4 || len(w.inventory.Items) != 1 {
		t.Error(changes)
	}
	for name, there := range map[string]bool{"stays": true, "goes": false, "moves": true, "replaced": true, "keep": true} {
		if _, err := w.admin.Get(t.Context(), "ConfigMap", w.namespace, name); (err == nil) != there {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestPrune_after_refusal(t *testing.T) {
	w := newWorld(t)
	w.apply(configMap("a", "1"))
	changes := w.try(w.set("apiVersion: example.com/v1\nkind: Nothing\nmetadata: {name: nothing, namespace: $NS}"))
	if changes.Count(apply.Deleted) != 0 || w.data("a", "k") != "1" || len(w.inventory.Items) != 1 {
		t.Error(changes)
	}
}

func TestHeldPrune(t *testing.T) {
	w := newWorld(t)
	var yaml strings.Builder
	for i := range 25 {
		yaml.WriteString(configMap(fmt.Sprintf("c%d", i), "1"))
	}
	w.apply(yaml.String())
	s := w.set("")
	s.Guard = apply.DefaultGuard
	var held *apply.GuardError
	if changes := w.try(s); changes.Count(apply.Held) != 25 || len(w.inventory.Items) != 25 ||
		!errors.As(changes.Err(), &held) {
		t.Fatal(changes)
	}
	s.Confirmed = held.Digest
	s.Objects = w.desired(configMap("c7", "1")) // one came back: it is another set
	if changes := w.try(s); changes.Count(apply.Held) != 24 {
		t.Error(changes)
	}
	s.Objects = nil
	if changes := w.try(s); changes.Count(apply.Deleted) != 25 || len(w.inventory.Items) != 0 {
		t.Error(changes)
	}
	w.apply(yaml.String()) // the same names again, while the confirmation is still in the bundle
	if changes := w.try(s); changes.Count(apply.Held) != 25 {
		t.Error(changes)
	}
}

func TestForce(t *testing.T) {
	w := newWorld(t)
	yaml := func(value, volume string) string {
		return fmt.Sprintf(`
apiVersion: v1
kind: ConfigMap
metadata: {name: fixed, namespace: $NS}
immutable: true
data: {k: %q}
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: data, namespace: $NS}
spec: {accessModes: [%s], resources: {requests: {storage: 1Gi}}}
---
apiVersion: v1
kind: Pod
metadata: {name: bare, namespace: $NS}
spec: {nodeSelector: {disk: nowhere}, containers: [{name: main, image: "registry.k8s.io/pause:3.10", args: [%q]}]}
---
`, value, volume, value)
	}
	w.apply(yaml("1", "ReadWriteOnce"))
	changes := w.try(w.set(yaml("2", "ReadWriteOnce")))
	if kube.ReasonOf(changes.Err()) != kube.Immutable || w.data("fixed", "k") != "1" {
		t.Fatal(changes)
	}
	s := w.set(yaml("2", "ReadWriteMany"))
	s.Force = true
	changes = w.try(s)
	if changes.Count(apply.Created) != 2 || changes.Count(apply.Refused) != 1 ||
		changes.Failed()[0].Object.Kind != "PersistentVolumeClaim" ||
		!strings.Contains(changes.Err().Error(), "It is not deleted and created again, although force is set") {
		t.Error(changes, changes.Err())
	}
	w.wantData("fixed", "k", "2")
}

// TestShare_rules leaves the rules of an aggregated ClusterRole to Kubernetes.
func TestShare_rules(t *testing.T) {
	w := newWorld(t)
	yaml := `
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: $NS-part, labels: {aggregate-to: $NS}}
rules: [{apiGroups: [""], resources: [pods], verbs: [get]}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: $NS-whole}
aggregationRule: {clusterRoleSelectors: [{matchLabels: {aggregate-to: $NS}}]}
rules: []
---
`
	w.apply(yaml)
	repaired := w.watch(func() string { return yaml })
	w.until("the rules are aggregated", func(ctx context.Context) error {
		o, err := w.admin.Get(ctx, "ClusterRole.rbac.authorization.k8s.io", "", w.namespace+"-whole")
		if err != nil {
			return err
		}
		if rules, _ := o.Object["rules"].([]any); len(rules) != 1 {
			return fmt.Errorf("%v", o.Object["rules"])
		}
		return nil
	})
	w.apply(yaml + configMap("a", "1"))
	id := manifest.ID{Group: "rbac.authorization.k8s.io", Kind: "ClusterRole", Name: w.namespace + "-whole"}
	if repaired() != 0 || w.index.Drifted(id).Any() {
		t.Errorf("%d repairs, drift %+v", repaired(), w.index.Drifted(id))
	}
	w.apply("")
}

// TestShare_replicas keeps scaled replicas if the mode of the object is Merge.
func TestShare_replicas(t *testing.T) {
	w := newWorld(t)
	deployment := func(name, mode, label string) string {
		return fmt.Sprintf(`
apiVersion: apps/v1
kind: Deployment
metadata: {name: %s, namespace: $NS, labels: {version: %q}, annotations: {kustomize.toolkit.fluxcd.io/ssa: %s}}
spec:
  replicas: 1
  selector: {matchLabels: {app: %[1]s}}
  template:
    metadata: {labels: {app: %[1]s}}
    spec: {nodeSelector: {disk: nowhere}, containers: [{name: main, image: "registry.k8s.io/pause:3.10"}]}
---
`, name, label, mode)
	}
	yaml := func(label string) string {
		return deployment("kept", "Merge", label) + deployment("ours", "Override", label)
	}
	w.apply(yaml("1"))
	replicas := func(name string) any {
		o, err := w.admin.Get(t.Context(), "Deployment.apps", w.namespace, name)
		w.must(err)
		spec, _ := o.Object["spec"].(map[string]any)
		return spec["replicas"]
	}
	for _, name := range []string{"kept", "ours"} {
		w.must(w.admin.Scale(t.Context(), "Deployment.apps", w.namespace, name, 3))
	}
	var version atomic.Int64 // that the watch applies, too
	version.Store(2)
	w.watch(func() string { return yaml(fmt.Sprint(version.Load())) })
	w.until("what is ours is repaired", func(context.Context) error {
		if n := replicas("ours"); n != int64(1) {
			return fmt.Errorf("%v replicas", n)
		}
		return nil
	})
	version.Store(3)
	w.apply(yaml("3"))
	if n := replicas("kept"); n != int64(3) {
		t.Errorf("%v replicas, want the 3 that it was scaled to", n)
	}
	w.must(w.admin.Scale(t.Context(), "Deployment.apps", w.namespace, "kept", 4))
	if changes := w.apply(yaml("3")); changes.Changed() || replicas("kept") != int64(4) {
		t.Error(changes, replicas("kept"))
	}
}

func TestTakeOver(t *testing.T) {
	w := newWorld(t)
	w.must(w.admin.Apply(t.Context(), []byte(strings.ReplaceAll(strings.Replace(configMap("a", "0"), "\ndata: {",
		"\ndata: {theirs: x, ", 1), "$NS", w.namespace))))
	merge := func(s string) string {
		return strings.Replace(s, "namespace: $NS", "namespace: $NS, annotations: {kustomize.toolkit.fluxcd.io/ssa: "+
			"Merge}", 1)
	}
	w.apply(merge(configMap("a", "1")))
	if w.data("a", "k") != "1" || w.data("a", "theirs") != "x" {
		t.Error("Merge did not keep what others added")
	}
	w.apply(configMap("a", "1"))
	if w.data("a", "theirs") != "none" {
		t.Error("what kubectl added is still there")
	}
}

func TestAnnotations_live(t *testing.T) {
	w := newWorld(t)
	with := func(name, annotation, value string) string {
		return strings.Replace(configMap(name, value), "namespace: $NS",
			"namespace: $NS, annotations: {kustomize.toolkit.fluxcd.io/"+annotation+"}", 1)
	}
	w.must(w.admin.Apply(t.Context(), []byte(strings.ReplaceAll(configMap("there", "by hand"), "$NS", w.namespace))))
	yaml := with("there", "ssa: IfNotPresent", "1") + with("missing", "ssa: IfNotPresent", "1") +
		with("ignored", "ssa: Ignore", "1") + with("left", "reconcile: disabled", "1")
	changes := w.apply(yaml)
	if changes.Count(apply.Created) != 1 || changes.Count(apply.Skipped) != 2 || w.data("there", "k") != "by hand" ||
		w.data("missing", "k") != "1" {
		t.Error(changes)
	}
	if n := w.apply(yaml).Count(apply.Unchanged); n != 4 {
		t.Errorf("%d unchanged", n)
	}
	yaml = strings.ReplaceAll(yaml, "annotations:", "labels:")
	if n := w.apply(yaml).Count(apply.Unchanged); n != 2 { // those that are not skipped
		t.Errorf("%d unchanged with labels", n)
	}
	if changes := w.apply(""); changes.Count(apply.Deleted) != 1 || w.data("there", "k") != "by hand" {
		t.Error(changes)
	}
}

func TestImpersonation(t *testing.T) {
	w := newWorld(t)
	w.app.Namespace = w.namespace
	w.inventory = inventory.New(w.app)
	w.must(w.admin.Apply(t.Context(), []byte(strings.ReplaceAll(`
apiVersion: v1
kind: ServiceAccount
metadata: {name: deployer, namespace: $NS}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: deployer, namespace: $NS}
rules: [{apiGroups: [""], resources: [configmaps], verbs: [get, create, patch, delete]}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: deployer, namespace: $NS}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: deployer}
subjects: [{kind: ServiceAccount, name: deployer, namespace: $NS}]
`, "$NS", w.namespace))))
	s := w.set(configMap("a", "1") + "apiVersion: v1\nkind: Secret\nmetadata: {name: s, namespace: $NS}\n---\n" +
		"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: elsewhere, namespace: default}\n")
	s.ServiceAccount = "deployer"
	changes := w.try(s)
	if changes.Count(apply.Created) != 1 || changes.Count(apply.Refused) != 2 ||
		kube.ReasonOf(changes.Failed()[0].Err) != kube.Forbidden {
		t.Error(changes)
	}
	s = w.set(configMap("a", "2"))
	s.ServiceAccount = "no/such:account"
	if _, err := w.applier.Apply(t.Context(), s); err == nil {
		t.Error("an impossible account was not refused")
	}
}

func TestLocalPolicy(t *testing.T) {
	w := newWorld(t)
	w.applier = apply.New(apply.Config{Client: w.client, Index: w.index, Allow: func(o bundle.ObjectIdentity) error {
		if o.Kind == "Secret" {
			return errors.New("kind Secret is not in the policy")
		}
		return nil
	}})
	before := w.client.Requests()
	changes := w.try(w.set("apiVersion: v1\nkind: Secret\nmetadata: {name: s, namespace: $NS}\n"))
	if changes.Count(apply.Refused) != 1 || w.client.Requests() != before {
		t.Error(changes)
	}
}

func TestSecretValue(t *testing.T) {
	w := newWorld(t)
	changes := w.try(w.set("apiVersion: v1\nkind: Secret\nmetadata: {name: s, namespace: $NS}\nstringData: {k: {nested: " +
		"hunter2}}\n---\n" +
		"apiVersion: v1\nkind: Secret\nmetadata: {name: t, namespace: $NS}\ntype: kubernetes.io/tls\ndata: {tls.crt: " +
		"aHVudGVyMg==}\n---\n" +
		"apiVersion: v1\nkind: Secret\nmetadata: {name: u, namespace: $NS}\ndata: {k: hunter2}\n"))
	if changes.Count(apply.Refused) != 3 {
		t.Fatal(changes)
	}
	for _, e := range changes.Failed() {
		t.Log(e.Err)
		if strings.Contains(e.Err.Error(), "hunter2") || strings.Contains(e.Err.Error(), "aHVudGVyMg") {
			t.Error("leaks")
		}
	}
}

func TestDeletionPolicies(t *testing.T) {
	for policy, want := range map[bundle.DeletionPolicy]struct{ prune, gone bool }{
		bundle.MirrorPrune: {true, true}, "": {false, false}, bundle.Delete: {false, true}, bundle.Orphan: {true,
			false}, bundle.WaitForTermination: {false, true},
	} {
		t.Run("policy"+string(policy), func(t *testing.T) {
			w := newWorld(t)
			w.apply(configMap("a", "1"))
			changes, err := w.applier.Delete(t.Context(),
				apply.Removal{Target: w.target(), Policy: policy, Prune: want.prune, Timeout: time.Minute})
			if err != nil || len(changes.Inventory.Items) != 0 || len(w.index.Kinds()) != 0 {
				t.Error(changes, err)
			}
			if _, err := w.admin.Get(t.Context(), "ConfigMap", w.namespace, "a"); (err != nil) != want.gone {
				t.Error(err)
			}
		})
	}
}

func TestWaitForTermination(t *testing.T) {
	w := newWorld(t)
	w.apply(strings.Replace(configMap("a", "1"), "namespace: $NS", "namespace: $NS, finalizers: [example.com/stuck]", 1))
	removal := apply.Removal{Target: w.target(), Policy: bundle.WaitForTermination,
		Timeout: 300 * time.Millisecond}
	for range 2 { // the next attempt waits on: it is really gone, or it is not
		changes, err := w.applier.Delete(t.Context(), removal)
		if err != nil || changes.Count(apply.Held) != 1 || !strings.Contains(changes.Err().Error(), "example.com/stuck") ||
			len(changes.Inventory.Items) != 1 {
			t.Fatal(changes, err)
		}
		removal.Previous = changes.Inventory
	}
	w.must(w.admin.Edit(t.Context(), "ConfigMap", w.namespace, "a", `{"metadata":{"finalizers":null}}`))
	changes, err := w.applier.Delete(t.Context(), removal)
	if err != nil || len(changes.Failed()) > 0 || len(changes.Inventory.Items) != 0 {
		t.Error(changes, err)
	}
}

func TestCrash(t *testing.T) {
	w := newWorld(t)
	w.apply(configMap("a", "1"))
	s := w.set(configMap("a", "2") + configMap("b", "1"))
	s.Save = func(v *inventory.Inventory) error {
		if err := w.save(v); err != nil {
			return err
		}
		return errors.New("disk full")
	}
	changes, err := w.applier.Apply(t.Context(), s)
	if err == nil || w.data("a", "k") != "1" || len(changes.Inventory.Items) != 1 {
		t.Fatalf("something was sent that is not on disk: %v", err)
	}
	if changes := w.apply(configMap("a", "2") + configMap("b", "1")); changes.Count(apply.Created, apply.Configured) != 2 {
		t.Fatal(changes)
	}
	w.restart(w.saved[len(w.saved)-2]) // as it was between the save and the first request
	if _, known := w.inventory.Items[manifest.ID{Kind: "ConfigMap", Namespace: w.namespace, Name: "b"}]; !known {
		t.Error("an object that was made is not in the inventory")
	}
	changes = w.apply(configMap("a", "1")) // rolled back meanwhile: the live object must not count as the recorded one
	if w.data("a", "k") != "1" || changes.Count(apply.Deleted) != 1 {
		t.Error(changes)
	}
}

func TestFullDisk_repair(t *testing.T) {
	w := newWorld(t)
	w.apply(configMap("a", "1"))
	saved := w.saved[len(w.saved)-1]
	w.must(w.admin.Edit(t.Context(), "ConfigMap", w.namespace, "a", `{"data":{"k":"edited"}}`))
	s := w.set(configMap("a", "2"))
	s.Save = func(*inventory.Inventory) error { return errors.New("disk full") }
	changes, err := w.applier.Apply(t.Context(), s)
	if err == nil || w.data("a", "k") != "2" || changes.Count(apply.Configured) != 1 {
		t.Fatalf("not repaired, or not told that the disk is full: %v, %v", changes, err)
	}
	w.restart(saved) // and a crash before there was room
	if changes := w.apply(configMap("a", "2")); w.data("a", "k") != "2" || len(changes.Inventory.Items) != 1 {
		t.Error(changes)
	}
}

func TestNewerBundle(t *testing.T) {
	w := newWorld(t)
	newer := errors.New("a newer bundle came")
	ctx, cancel := context.WithCancelCause(t.Context())
	defer cancel(nil)
	s := w.set(configMap("a", "1") + configMap("b", "1"))
	for i := range s.Objects {
		load := s.Objects[i].Load
		s.Objects[i].Load = func(ctx context.Context) (apply.Loaded, error) { cancel(newer); return load(ctx) }
	}
	changes, err := w.applier.Apply(ctx, s)
	if !errors.Is(err, newer) || changes.Count(apply.Refused) == 0 {
		t.Error(changes, err)
	}
	w.inventory = changes.Inventory
	w.apply(configMap("a", "1") + configMap("b", "1"))
}

func TestNamespace_deleted_by_hand(t *testing.T) {
	w := newWorld(t)
	yaml := strings.ReplaceAll("apiVersion: v1\nkind: Namespace\nmetadata: {name: $NS}\n---\n"+configMap("a", "1"), "$NS",
		w.namespace+"-x")
	w.t.Cleanup(func() { _ = w.admin.Delete(context.Background(), "Namespace", "", w.namespace+"-x") })
	w.apply(yaml)
	w.watch(func() string { return yaml })
	before, err := w.admin.Get(t.Context(), "Namespace", "", w.namespace+"-x")
	w.must(err)
	w.must(w.admin.Delete(t.Context(), "Namespace", "", w.namespace+"-x"))
	w.until("both are back", func(ctx context.Context) error {
		ns, err := w.admin.Get(ctx, "Namespace", "", w.namespace+"-x")
		if err != nil {
			return err
		}
		if ns.GetUID() == before.GetUID() {
			return errors.New("the old one is still going")
		}
		_, err = w.admin.Get(ctx, "ConfigMap", w.namespace+"-x", "a")
		return err
	})
}

func TestDefinition_deleted_by_hand(t *testing.T) {
	w := newWorld(t)
	yaml := `
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: things.back.example.com}
spec:
  group: back.example.com
  scope: Namespaced
  names: {kind: Thing, plural: things, singular: thing}
  versions: [{name: v1, served: true, storage: true, schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}}]
---
apiVersion: back.example.com/v1
kind: Thing
metadata: {name: x, namespace: $NS}
spec: {a: 1}
`
	w.apply(yaml)
	w.watch(func() string { return yaml })
	w.must(w.admin.Edit(t.Context(), "Thing.back.example.com", w.namespace, "x", `{"spec":{"a":2}}`))
	spec := func(ctx context.Context) (string, error) {
		o, err := w.admin.Get(ctx, "Thing.back.example.com", w.namespace, "x")
		if err != nil {
			return "", err
		}
		return fmt.Sprint(o.Object["spec"], o.GetUID()), nil
	}
	var first string
	w.until("the edit was undone", func(ctx context.Context) (err error) {
		if first, err = spec(ctx); err == nil && !strings.HasPrefix(first, "map[a:1]") {
			err = errors.New(first)
		}
		return err
	})
	w.must(w.admin.Delete(t.Context(), "CustomResourceDefinition.apiextensions.k8s.io", "", "things.back.example.com"))
	w.until("the object is back", func(ctx context.Context) error {
		now, err := spec(ctx)
		if err == nil && (now == first || !strings.HasPrefix(now, "map[a:1]")) {
			err = errors.New(now)
		}
		return err
	})
}

// TestKeep keeps objects that left the set in the cluster and in the inventory, and deletes them when it does not any
// more.
func TestKeep(t *testing.T) {
	w := newWorld(t)
	w.apply(configMap("a", "1") + configMap("b", "1"))
	s := w.set(configMap("a", "0"))
	s.Keep = true
	w.must(w.try(s).Err())
	w.wantData("a", "k", "0")
	w.wantData("b", "k", "1")
	if sum := w.index.Summarize(w.app, 1); len(w.inventory.Items) != 2 || sum.Objects() != 1 {
		t.Errorf("the inventory has %v, health %v", w.inventory.Items, sum)
	}
	s = w.set(configMap("a", "0") + configMap("b", "1")) // a rollback to a release that has it
	s.Keep = true
	w.must(w.try(s).Err())
	if sum := w.index.Summarize(w.app, 1); sum.Objects() != 2 {
		t.Errorf("health %v", sum)
	}
	s = w.set(configMap("a", "0"))
	s.Keep = true
	w.must(w.try(s).Err())
	w.apply(configMap("a", "0"))
	if _, err := w.live("b"); kube.ReasonOf(err) != kube.NotFound {
		t.Errorf("b stays: %v", err)
	}
}
