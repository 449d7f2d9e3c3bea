package apply_test

import (
	"context"
	"testing"

	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/navefleet/nave/shared/manifest"
	"github.com/navefleet/nave/spoke/internal/apply"
	"github.com/navefleet/nave/spoke/internal/kube"
)

const issuers = `
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: issuers.scope.example.com}
spec:
  group: scope.example.com
  scope: Cluster
  names: {kind: Issuer, plural: issuers, singular: issuer}
  versions: [{name: v1, served: true, storage: true, schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}}]
---
`

// TestClusterScoped applies objects of kinds without namespaces that name one, as a target namespace makes them.
func TestClusterScoped(t *testing.T) {
	w := newWorld(t)
	issuer := "apiVersion: scope.example.com/v1\nkind: Issuer\nmetadata: {name: x, namespace: $NS}\nspec: {a: 1}\n---\n"
	class := "apiVersion: scheduling.k8s.io/v1\nkind: PriorityClass\n" +
		"metadata: {name: scoped, namespace: $NS}\nvalue: 5\n---\n"
	w.apply(issuers + class)
	w.until("the kind is served", func(ctx context.Context) error {
		_, err := w.client.Mapping(ctx, schema.GroupVersionKind{Group: "scope.example.com", Version: "v1", Kind: "Issuer"})
		return err
	})
	if changes := w.apply(issuers + class + issuer); changes.Count(apply.Created) != 1 {
		t.Fatal(changes)
	}
	bare := manifest.ID{Group: "scope.example.com", Kind: "Issuer", Name: "x"}
	if w.inventory.Items[bare].UID == "" {
		t.Errorf("inventory: %v", w.inventory.IDs())
	}
	w.restart(w.disk())
	if changes := w.apply(issuers + class + issuer); changes.Count(apply.Unchanged) != 3 {
		t.Error(changes)
	}
	if changes := w.apply(issuers); changes.Count(apply.Deleted) != 2 {
		t.Error(changes)
	}
	w.apply("")
}

func TestForce_annotation(t *testing.T) {
	w := newWorld(t)
	yaml := func(value, annotations string) string {
		return "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: fixed, namespace: $NS, annotations: {" + annotations +
			"}}\nimmutable: true\ndata: {k: \"" + value + "\"}\n---\n"
	}
	w.apply(yaml("1", ""))
	if changes := w.try(w.set(yaml("2", ""))); kube.ReasonOf(changes.Err()) != kube.Immutable {
		t.Fatal(changes)
	}
	w.apply(yaml("2", "kustomize.toolkit.fluxcd.io/force: enabled"))
	w.wantData("fixed", "k", "2")
}
