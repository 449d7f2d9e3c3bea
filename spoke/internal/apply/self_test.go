package apply_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/manifest"
	"github.com/navefleet/nave/spoke/internal/apply"
	"github.com/navefleet/nave/spoke/internal/inventory"
	"github.com/navefleet/nave/spoke/internal/kube"
	"github.com/navefleet/nave/spoke/internal/trust"
)

// ownObjects are objects with which a bundle may attack the spoke. $NS is the test's namespace.
const ownObjects = `
apiVersion: v1
kind: Namespace
metadata: {name: nave-system, labels: {pod-security.kubernetes.io/enforce: privileged}}
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: nave-spoke, namespace: nave-system}
secrets: [{name: stolen}]
---
apiVersion: v1
kind: ConfigMap
metadata: {name: nave-spoke, namespace: nave-system}
data: {hub: "evil.example:7443"}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: nave-spoke}
rules: []
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: nave-spoke}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: nave-spoke}
subjects: [{kind: ServiceAccount, name: other, namespace: nave-system}]
---
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: clusters.fleet.nave.io}
spec:
  group: fleet.nave.io
  scope: Namespaced
  names: {kind: Cluster, plural: clusters, singular: cluster}
  versions: [{name: v1, served: true, storage: true, schema: {openAPIV3Schema: {type: object}}}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: widens, namespace: $NS}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: admin}
subjects: [{kind: ServiceAccount, name: nave-spoke, namespace: nave-system}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: cuts, namespace: $NS}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: view}
subjects: [{kind: User, name: somebody}]
---
`

// A binding that the cluster's owner made for the spoke.
const cutBinding = `
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: cuts, namespace: $NS}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: view}
subjects: [{kind: ServiceAccount, name: nave-spoke, namespace: nave-system}]
`

// state returns the objects as the API server has them, "none" for those that it lacks.
func (w *world) state(yaml string) map[manifest.ID]string {
	w.t.Helper()
	out := map[manifest.ID]string{}
	for _, d := range w.desired(yaml) {
		live, err := w.client.Look(w.t.Context(), d.ObjectIdentity, false)
		switch kube.ReasonOf(err) {
		case "":
			out[d.ID()] = live.UID + " " + live.ResourceVersion
		case kube.NotFound, kube.NoMatch:
			out[d.ID()] = "none"
		default:
			w.t.Fatal(err)
		}
	}
	return out
}

func TestSelf(t *testing.T) {
	w := newWorld(t)
	w.byHand(cutBinding)
	before := w.state(ownObjects)
	n := len(before)
	for name, s := range map[string]apply.Set{"applied": w.set(ownObjects + configMap("a", "1")),
		"adopted_with_force": w.set(ownObjects)} {
		s.Force, s.Reapply = true, true
		changes := w.try(s)
		if changes.Count(apply.Refused) != n || len(w.inventory.Items) > 1 || len(changes.Failed()) != n {
			t.Errorf("%s: %v", name, changes)
		}
		for _, e := range changes.Failed() {
			if !errors.Is(e.Err, trust.ErrSelf) || !strings.HasPrefix(e.Err.Error(), e.Object.ID().String()+": ") {
				t.Errorf("%s: %v", name, e.Err)
			}
		}
	}
	if w.apply(configMap("a", "1")); w.data("a", "k") != "1" {
		t.Error("the rest of the application did not go on")
	}
	if after := w.state(ownObjects); fmt.Sprint(after) != fmt.Sprint(before) {
		t.Errorf("changed:\n%v\n%v", before, after)
	}
}

// Own objects that a spoke from before the protection adopted are neither applied, pruned nor deleted, and leave the
// inventory.
func TestSelfAdoptedBefore(t *testing.T) {
	w := newWorld(t)
	w.byHand(cutBinding)
	adopted := func() *inventory.Inventory {
		v := inventory.New(w.app)
		for _, d := range w.desired(ownObjects) {
			live, err := w.client.Look(t.Context(), d.ObjectIdentity, false)
			if err != nil {
				continue
			}
			v.Items[d.ID()] = inventory.Item{Version: d.Version, UID: live.UID, ResourceVersion: live.ResourceVersion,
				Digest: d.Digest, Labelled: true}
		}
		return v
	}
	of := func(v *inventory.Inventory) apply.Target { return apply.Target{Application: w.app, Previous: v} }
	before := w.state(ownObjects)
	for name, take := range map[string]func(*inventory.Inventory) (*apply.ChangeSet, error){
		"unchanged": func(v *inventory.Inventory) (*apply.ChangeSet, error) {
			return w.applier.Apply(t.Context(), apply.Set{Target: of(v), Objects: w.desired(ownObjects), Prune: true})
		},
		"pruned": func(v *inventory.Inventory) (*apply.ChangeSet, error) {
			return w.applier.Apply(t.Context(), apply.Set{Target: of(v), Prune: true})
		},
		"deleted": func(v *inventory.Inventory) (*apply.ChangeSet, error) {
			return w.applier.Delete(t.Context(), apply.Removal{Target: of(v), Policy: bundle.Delete})
		},
	} {
		t.Run(name, func(t *testing.T) {
			v := adopted()
			w.index.Replace(v)
			changes, err := take(v)
			want := apply.Released
			if name == "unchanged" {
				want = apply.Refused
			}
			if err != nil || changes.Count(want) < len(v.Items)-1 || changes.Count(apply.Deleted) != 0 {
				t.Error(changes, err)
			}
			// A binding is its spoke's by its subjects, which are not read before it is sent.
			if left := len(changes.Inventory.Items); left > 1 || left > 0 && name != "unchanged" {
				t.Errorf("in the inventory: %v", changes.Inventory.IDs())
			}
			if after := w.state(ownObjects); fmt.Sprint(after) != fmt.Sprint(before) {
				t.Errorf("changed:\n%v\n%v", before, after)
			}
		})
	}
}

// A binding that proves to be ours and meanwhile gives the spoke its rights stays.
func TestSelfBindingPruned(t *testing.T) {
	w := newWorld(t)
	binding := strings.Replace(cutBinding, "kind: ServiceAccount, name: nave-spoke, namespace: nave-system",
		"kind: User, name: somebody", 1)
	w.apply(binding)
	w.must(w.admin.Edit(t.Context(), "RoleBinding.rbac.authorization.k8s.io", w.namespace, "cuts",
		`{"subjects":[{"kind":"ServiceAccount","name":"nave-spoke","namespace":"nave-system"}]}`))
	if changes := w.apply(""); changes.Count(apply.Released) != 1 || len(w.inventory.Items) != 0 {
		t.Error(changes)
	}
	if _, err := w.admin.Get(t.Context(), "RoleBinding.rbac.authorization.k8s.io", w.namespace, "cuts"); err != nil {
		t.Error(err)
	}
}
