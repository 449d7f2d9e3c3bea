package apply_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/reporting"
	"github.com/navefleet/nave/spoke/internal/apply"
	"github.com/navefleet/nave/spoke/internal/inventory"
	"github.com/navefleet/nave/spoke/internal/kube"
)

const drifting = `
apiVersion: v1
kind: ConfigMap
metadata: {name: app, namespace: $NS}
data: {k: "1", other: "1"}
---
apiVersion: v1
kind: Secret
metadata: {name: key, namespace: $NS}
stringData: {password: hunter2}
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: $NS}
spec:
  selector: {app: web}
  ports: [{name: http, port: 80}, {name: https, port: 443}]
---
`

// seen returns what an apply in a drift mode says about drifted objects, by kind. The edits were observed.
func (w *world) seen(mode bundle.DriftMode, yaml string) (map[string]apply.Entry, *apply.ChangeSet) {
	w.t.Helper()
	for _, e := range w.set(yaml).Objects {
		live, err := w.client.Look(w.t.Context(), e.ObjectIdentity, false)
		if kube.ReasonOf(err) == kube.NotFound {
			w.index.ObserveMissing(e.ObjectIdentity)
			continue
		}
		w.must(err)
		w.index.Observe(live)
	}
	s := w.set(yaml)
	s.Drift = mode
	changes := w.try(s)
	w.must(changes.Err())
	found := map[string]apply.Entry{}
	for _, e := range changes.Entries {
		if e.Drift.Any() {
			found[e.Object.Kind] = e
		}
	}
	return found, changes
}

func textsOf(e apply.Entry) string {
	var texts []string
	for _, c := range e.Changes {
		texts = append(texts, reporting.DescribeChange(c.Path, c.Old, c.New))
	}
	return strings.Join(texts, "; ")
}

// TestDriftModes edits objects by hand and by a controller. The fields that drifted are named with their values, those
// of a Secret without, and each mode does what it says.
func TestDriftModes(t *testing.T) {
	w := newWorld(t)
	w.apply(drifting)
	edit := func() {
		w.must(w.admin.Edit(t.Context(), "ConfigMap", w.namespace, "app", `{"data":{"k":"2","added":"x"}}`))
		w.must(w.admin.Edit(t.Context(), "Secret", w.namespace, "key", `{"data":{"password":"Y2FuYXJ5"}}`))
		w.must(w.admin.Edit(t.Context(), "Service", w.namespace, "web",
			`{"spec":{"ports":[{"name":"http","port":80,"targetPort":8080},{"name":"https","port":443}]}}`))
	}
	want := map[string]string{
		"ConfigMap": `/data/added was added: "x"; /data/k: "1" became "2"`,
		"Secret":    `/data/password: a secret value differs`,
	}
	check := func(found map[string]apply.Entry, action apply.Action) {
		t.Helper()
		for kind, text := range want {
			if e := found[kind]; e.Action != action || textsOf(e) != text || e.Drift.Kind != inventory.Changed {
				t.Errorf("%s: %s %v, want %s: %s", kind, e.Action, textsOf(e), action, text)
			}
		}
		if e := found["Service"]; !strings.Contains(textsOf(e), "/spec/ports/0/targetPort") ||
			strings.Contains(textsOf(e), "443") {
			t.Errorf("Service: %s", textsOf(e))
		}
	}
	edit()
	found, changes := w.seen(bundle.WarnOfDrift, drifting)
	if check(found, apply.Drifted); changes.Changed() || w.data("app", "k") != "2" {
		t.Error("warn repaired", changes)
	}
	if found, changes = w.seen(bundle.IgnoreDrift, drifting); len(found) > 0 || changes.Changed() {
		t.Error("off looked", found, changes)
	}
	if found, changes = w.seen(bundle.CorrectDrift, drifting); changes.Count(apply.Configured) != 3 {
		t.Error("correct did not repair", changes)
	}
	check(found, apply.Configured)
	w.wantData("app", "k", "1")
	w.wantData("app", "added", "none")
}

// TestDriftModes_missing leaves a deleted object deleted under warn, until it changes in Git.
func TestDriftModes_missing(t *testing.T) {
	w := newWorld(t)
	w.apply(configMap("a", "1"))
	w.must(w.admin.Delete(t.Context(), "ConfigMap", w.namespace, "a"))
	found, changes := w.seen(bundle.WarnOfDrift, configMap("a", "1"))
	if e := found["ConfigMap"]; e.Action != apply.Drifted || e.Drift.Kind != inventory.Missing || changes.Changed() {
		t.Error(e, changes)
	}
	if _, changes = w.seen(bundle.WarnOfDrift, configMap("a", "2")); changes.Count(apply.Created) != 1 {
		t.Error(changes)
	}
}

// TestDriftModes_replaced names what differs in an object that somebody made anew, and no default of the API server.
func TestDriftModes_replaced(t *testing.T) {
	w := newWorld(t)
	w.apply(drifting)
	w.must(w.admin.Delete(t.Context(), "Service", w.namespace, "web"))
	services, err := w.admin.Resource("Service", w.namespace)
	w.must(err)
	_, err = services.Create(t.Context(), &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "v1", "kind": "Service", "metadata": map[string]any{"name": "web"},
		"spec": map[string]any{"selector": map[string]any{"app": "other"}, "ports": []any{
			map[string]any{"name": "http", "port": int64(80)}, map[string]any{"name": "https", "port": int64(443)}}},
	}}, metav1.CreateOptions{FieldManager: "kubectl-create"})
	w.must(err)
	found, _ := w.seen(bundle.WarnOfDrift, drifting)
	text, e := textsOf(found["Service"]), found["Service"]
	if e.Drift.Kind != inventory.Replaced || !strings.Contains(text, `/spec/selector/app: "web" became "other"`) ||
		strings.Contains(text, "was added") {
		t.Errorf("%s: %s", e.Drift.Kind, text)
	}
}

// TestDriftModes_label shows that the label of the spoke was taken off.
func TestDriftModes_label(t *testing.T) {
	w := newWorld(t)
	w.apply(configMap("a", "1"))
	w.must(w.admin.Edit(t.Context(), "ConfigMap", w.namespace, "a",
		`{"metadata":{"labels":{"fleet.nave.io/application":null}}}`))
	found, _ := w.seen(bundle.WarnOfDrift, configMap("a", "1"))
	if text := textsOf(found["ConfigMap"]); !strings.HasPrefix(text, `/metadata/labels was removed: {"fleet.nave.io/`) {
		t.Error(text)
	}
}

// TestDriftModes_put_back finds that somebody put an object back.
func TestDriftModes_put_back(t *testing.T) {
	w := newWorld(t)
	w.apply(configMap("a", "1"))
	w.must(w.admin.Edit(t.Context(), "ConfigMap", w.namespace, "a", `{"data":{"k":"2"}}`))
	if found, _ := w.seen(bundle.WarnOfDrift, configMap("a", "1")); len(found) != 1 {
		t.Fatal(found)
	}
	w.must(w.admin.Edit(t.Context(), "ConfigMap", w.namespace, "a", `{"data":{"k":"1"}}`))
	if found, _ := w.seen(bundle.WarnOfDrift, configMap("a", "1")); len(found) != 0 {
		t.Error(found)
	}
}

// TestDriftModes_many keeps the fields of the first hundred objects, and counts those of the others.
func TestDriftModes_many(t *testing.T) {
	w := newWorld(t)
	text := ""
	for i := range 103 {
		text += configMap(fmt.Sprintf("c%03d", i), "1")
	}
	w.apply(text)
	for _, o := range w.set(text).Objects {
		w.must(w.admin.Edit(t.Context(), "ConfigMap", w.namespace, o.Name, `{"data":{"k":"2"}}`))
	}
	for _, mode := range []bundle.DriftMode{bundle.WarnOfDrift, bundle.CorrectDrift} {
		_, changes := w.seen(mode, text)
		shown := 0
		for _, e := range changes.Entries {
			if shown += len(e.Changes); len(e.Changes)+e.More != 1 {
				t.Errorf("%s: %s, %d more", e.Object.Name, textsOf(e), e.More)
			}
		}
		if shown != 100 {
			t.Errorf("%v: fields of %d objects", mode, shown)
		}
	}
}

const boxes = `
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: boxes.drift.example.com}
spec:
  group: drift.example.com
  scope: Namespaced
  names: {kind: Box, plural: boxes, singular: box}
  versions:
  - {name: v1, served: true, storage: true, subresources: {status: {}}, schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}}
---
apiVersion: drift.example.com/v1
kind: Box
metadata: {name: box, namespace: $NS}
data: {word: one}
---
`

// TestDriftModes_custom shows changed fields of a custom resource whose definition allows any fields, and that somebody
// put them back.
func TestDriftModes_custom(t *testing.T) {
	w := newWorld(t)
	t.Cleanup(func() {
		_ = w.admin.Delete(context.Background(), "CustomResourceDefinition.apiextensions.k8s.io", "",
			"boxes.drift.example.com")
	})
	w.apply(boxes)
	for _, c := range []struct{ edit, want string }{
		{`{"data":{"word":"two"}}`, `/data/word: "one" became "two"`},
		{`{"data":{"word":null}}`, `/data/word was removed: "one"`},
		{`{"data":null}`, `/data was removed: {"word":"one"}`},
		{`{"data":{"word":"one"}}`, ""},
	} {
		w.must(w.admin.Edit(t.Context(), "Box.drift.example.com", w.namespace, "box", c.edit))
		found, _ := w.seen(bundle.WarnOfDrift, boxes)
		if text := textsOf(found["Box"]); text != c.want {
			t.Errorf("after %s: %q, want %q", c.edit, text, c.want)
		}
	}
}
