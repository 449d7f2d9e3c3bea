package apply_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/spoke/internal/inventory"
)

// TestIgnore leaves ignored fields as they are in the cluster: what others own, what was edited by hand, and what is in
// a list. Everything else is applied and repaired, and so is our label, whatever the rules name.
func TestIgnore(t *testing.T) {
	w := newWorld(t)
	yaml := func(label string) string {
		return fmt.Sprintf(`
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: $NS, labels: {version: %q, hpa: "yes"}}
spec:
  replicas: 1
  minReadySeconds: 1
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {nodeSelector: {disk: nowhere}, containers: [{name: main, image: "registry.k8s.io/pause:3.10"}]}
---
`, label) + configMap("by-hand", label) + configMap("other", label)
	}
	rules := []bundle.IgnoreRule{
		{Paths: []string{"/spec/replicas", "/spec/template/spec/containers/0/image"}, Kind: "Deployment",
			LabelSelector: "hpa=yes"},
		{Paths: []string{"/data/k", "/data/missing"}, Kind: "ConfigMap", Name: "by-.*"},
		{Paths: []string{"/metadata/labels", "/metadata/labels/fleet.nave.io~1application"}, Kind: "ConfigMap", Name: "by-.*"},
	}
	send := func(label string, rules []bundle.IgnoreRule) {
		t.Helper()
		s := w.set(yaml(label))
		s.Ignore = rules
		w.must(w.try(s).Err())
	}
	live := func(kind, name string, path ...string) any {
		t.Helper()
		o, err := w.admin.Get(t.Context(), kind, w.namespace, name)
		w.must(err)
		if path[len(path)-1] == "image" {
			containers, _, _ := unstructured.NestedSlice(o.Object, "spec", "template", "spec", "containers")
			return containers[0].(map[string]any)["image"]
		}
		value, _, _ := unstructured.NestedFieldNoCopy(o.Object, path...)
		return value
	}
	send("1", rules)
	if n := live("Deployment.apps", "web", "spec", "replicas"); n != int64(1) {
		t.Fatalf("%v replicas of a new Deployment", n)
	}
	w.must(w.admin.Scale(t.Context(), "Deployment.apps", w.namespace, "web", 3))
	w.must(w.admin.Edit(t.Context(), "Deployment.apps", w.namespace, "web", `{"spec":{"minReadySeconds":9,"template":`+
		`{"spec":{"containers":[{"name":"main","image":"registry.k8s.io/pause:3.9"}]}}}}`))
	w.must(w.admin.Edit(t.Context(), "ConfigMap", w.namespace, "by-hand", `{"data":{"k":"mine"},`+
		`"metadata":{"labels":{"fleet.nave.io/application":"Kustomization.ns.another"}}}`))
	w.must(w.admin.Edit(t.Context(), "ConfigMap", w.namespace, "other", `{"data":{"k":"mine"}}`))
	send("2", rules)
	for _, c := range []struct {
		kind, name, path string
		want             any
	}{
		{"Deployment.apps", "web", "spec.replicas", int64(3)},
		{"Deployment.apps", "web", "spec.template.image", "registry.k8s.io/pause:3.9"},
		{"Deployment.apps", "web", "spec.minReadySeconds", int64(1)},
		{"Deployment.apps", "web", "metadata.labels.version", "2"},
		{"ConfigMap", "by-hand", "data.k", "mine"},
		{"ConfigMap", "other", "data.k", "2"},
	} {
		if got := live(c.kind, c.name, strings.Split(c.path, ".")...); got != c.want {
			t.Errorf("%s %s: %s is %v, want %v", c.kind, c.name, c.path, got, c.want)
		}
	}
	ours := live("ConfigMap", "other", "metadata", "labels", inventory.Label)
	if got := live("ConfigMap", "by-hand", "metadata", "labels", inventory.Label); got != ours {
		t.Errorf("the label is %v, want %v", got, ours)
	}
	w.must(w.admin.Scale(t.Context(), "Deployment.apps", w.namespace, "web", 4))
	s := w.set(yaml("2"))
	if s.Ignore = rules; w.try(s).Changed() || live("Deployment.apps", "web", "spec", "replicas") != int64(4) {
		t.Error("the replicas that the other manager owns are not left alone")
	}
	send("2", nil)
	w.until("without rules everything is as in Git", func(context.Context) error {
		if n, k := live("Deployment.apps", "web", "spec", "replicas"), w.data("by-hand", "k"); n != int64(1) || k != "2" {
			return fmt.Errorf("%v replicas, %v", n, k)
		}
		return nil
	})
}
