package apply

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/manifest"
	"github.com/navefleet/nave/spoke/internal/inventory"
	"github.com/navefleet/nave/spoke/internal/kube"
)

func TestGuard(t *testing.T) {
	for _, c := range []struct {
		owned, gone int
		held        bool
	}{{1, 1, false}, {19, 19, false}, {20, 20, true}, {100, 89, false}, {100, 90, true}, {1000, 1000, true}, {1000, 0,
		false}} {
		v, ids := numbered(c.owned)
		held := DefaultGuard.check(v, ids[:c.gone], manifest.Digest{})
		if (held != nil) != c.held {
			t.Errorf("%d of %d: %v", c.gone, c.owned, held)
		}
		if held != nil && DefaultGuard.check(v, ids[:c.gone], held.Digest) != nil {
			t.Errorf("%d of %d: held although it is confirmed", c.gone, c.owned)
		}
	}
	v, ids := numbered(100)
	if held := (Guard{}).check(v, ids, manifest.Digest{}); held != nil {
		t.Error("the zero guard is not off")
	}
}

func TestGuardDigest(t *testing.T) {
	v, ids := numbered(30)
	held := DefaultGuard.check(v, ids[:29], manifest.Digest{})
	shuffled := slices.Clone(ids[:29])
	slices.Reverse(shuffled)
	if again := DefaultGuard.check(v, shuffled, manifest.Digest{}); again.Digest != held.Digest ||
		!slices.Equal(again.Objects, held.Objects) {
		t.Error("the digest depends on the order")
	}
	for name, other := range map[string]*GuardError{
		"one_more":    DefaultGuard.check(v, ids, held.Digest),
		"one_less":    DefaultGuard.check(v, ids[:28], held.Digest),
		"another_one": DefaultGuard.check(v, ids[1:30], held.Digest),
	} {
		if other == nil || other.Digest == held.Digest {
			t.Errorf("%s: confirmed with another set", name)
		}
	}
	item := v.Items[ids[0]]
	item.UID = "made anew"
	v.Items[ids[0]] = item
	if DefaultGuard.check(v, ids[:29], held.Digest) == nil {
		t.Error("confirmed for an object that was made anew")
	}
	if text := held.Error(); !strings.Contains(text, "29 of 30") || !strings.Contains(text, "nave confirm") {
		t.Error(text)
	}
}

// numbered is an inventory of n ConfigMaps, and their names.
func numbered(n int) (*inventory.Inventory, []manifest.ID) {
	v, ids := inventory.New(testOwner), make([]manifest.ID, n)
	for i := range ids {
		ids[i] = manifest.ID{Kind: "ConfigMap", Namespace: "n", Name: fmt.Sprintf("c%04d", i)}
		v.Items[ids[i]] = inventory.Item{Version: "v1", UID: fmt.Sprint(i)}
	}
	return v, ids
}

func TestWaves(t *testing.T) {
	ids := []manifest.ID{
		{Group: "apiextensions.k8s.io", Kind: "CustomResourceDefinition", Name: "w"},
		{Kind: "Namespace", Name: "shop"},
		{Group: "rbac.authorization.k8s.io", Kind: "ClusterRole", Name: "r"},
		{Kind: "ConfigMap", Namespace: "shop", Name: "a"}, {Kind: "ConfigMap", Namespace: "shop", Name: "b"},
		{Group: "example.com", Kind: "Widget", Namespace: "shop", Name: "x"},
		{Group: "admissionregistration.k8s.io", Kind: "ValidatingWebhookConfiguration", Name: "v"},
	}
	var got []string
	for _, wave := range waves(ids) {
		got = append(got, wave[0].Kind)
	}
	if want := "ValidatingWebhookConfiguration Widget ConfigMap ClusterRole CustomResourceDefinition " +
		"Namespace"; strings.Join(got, " ") != want {
		t.Errorf("%s\nwant %s", strings.Join(got, " "), want)
	}
}

func object(kind string, annotations map[string]any) *manifest.Object {
	return &manifest.Object{Object: map[string]any{"apiVersion": "v1", "kind": kind,
		"metadata": map[string]any{"name": "a", "namespace": "n", "annotations": annotations}}}
}

func TestAnnotations(t *testing.T) {
	for text, want := range map[string]inventory.Mode{
		"Override": inventory.Override, "merge": inventory.Merge, "IfNotPresent": inventory.IfNotPresent,
		"Ignore": inventory.Ignore, "else": inventory.Override,
	} {
		if got := modeOf(object("ConfigMap", map[string]any{manifest.SSAAnnotation: text})); got != want {
			t.Errorf("ssa %s: %q", text, got)
		}
	}
	if modeOf(object("ConfigMap", map[string]any{manifest.ReconcileAnnotation: "disabled"})) != inventory.Ignore {
		t.Error("reconcile: disabled is applied")
	}
	if !forced(object("ConfigMap", map[string]any{manifest.ForceAnnotation: "Enabled"}), false) ||
		forced(object("ConfigMap", nil), false) {
		t.Error("force is not what the annotation says")
	}
	labelled := object("ConfigMap", nil)
	for mark, want := range map[string]inventory.Mode{manifest.SSAAnnotation + "=Merge": inventory.Merge,
		manifest.ReconcileAnnotation + "=disabled": inventory.Ignore} {
		name, value, _ := strings.Cut(mark, "=")
		labelled.SetLabels(map[string]string{name: value, manifest.ForceAnnotation: "enabled"})
		if got := modeOf(labelled); got != want || !forced(labelled, false) {
			t.Errorf("label %s: %q", mark, got)
		}
	}
}

func TestHoldsOthers(t *testing.T) {
	for kind, want := range map[string]bool{"PersistentVolumeClaim": true, "PersistentVolume": true, "Namespace": true,
		"ConfigMap": false, "Pod": false} {
		if holdsOthers(object(kind, nil)) != want {
			t.Errorf("%s: %t", kind, !want)
		}
	}
}

func TestLeaveRules(t *testing.T) {
	for name, c := range map[string]struct {
		yaml string
		left bool // to Kubernetes
	}{
		"aggregated": {"{apiVersion: rbac.authorization.k8s.io/v1, kind: ClusterRole, metadata: {name: a}, rules: [], " +
			"aggregationRule: {clusterRoleSelectors: [{matchLabels: {a: b}}]}}", true},
		"no_selectors": {"{apiVersion: rbac.authorization.k8s.io/v1, kind: ClusterRole, metadata: {name: a}, rules: [], " +
			"aggregationRule: {clusterRoleSelectors: []}}", false},
		"plain":      {"{apiVersion: rbac.authorization.k8s.io/v1, kind: ClusterRole, metadata: {name: a}, rules: []}", false},
		"other_kind": {"{apiVersion: example.com/v1, kind: ClusterRole, metadata: {name: a}, rules: []}", false},
	} {
		t.Run(name, func(t *testing.T) {
			objects, err := manifest.Parse([]byte(c.yaml))
			if err != nil {
				t.Fatal(err)
			}
			leaveRules(objects[0])
			if _, has := objects[0].Object["rules"]; has == c.left {
				t.Errorf("rules are sent: %t", has)
			}
		})
	}
}

func TestFit(t *testing.T) {
	id := bundle.ObjectIdentity{Version: "v1", Kind: "ConfigMap", Namespace: "n", Name: "a"}
	if err := fit(object("ConfigMap", nil), id); err != nil {
		t.Error(err)
	}
	encrypted := object("ConfigMap", nil)
	encrypted.Object["sops"] = map[string]any{}
	for name, o := range map[string]*manifest.Object{"another_kind": object("Secret", nil), "ciphertext": encrypted,
		"nothing": nil} {
		if err := fit(o, id); err == nil || !strings.Contains(err.Error(), "ConfigMap n/a") {
			t.Errorf("%s: %v", name, err)
		}
	}
	encrypted.SetAnnotations(map[string]string{manifest.DecryptAnnotation: "Disabled"})
	if err := fit(encrypted, id); err != nil {
		t.Errorf("ciphertext that is asked for: %v", err)
	}
}

func TestRedact(t *testing.T) {
	hide := func(s string) string { return strings.ReplaceAll(s, "hunter2", "[redacted]") }
	for name, err := range map[string]error{
		"the API server's": &kube.Error{Op: "apply", Object: "ConfigMap n/a", Reason: kube.Invalid, Message: "hunter2",
			Causes: []metav1.StatusCause{{Message: "hunter2"}}},
		"another": errors.New("hunter2"),
	} {
		if got := redact(err, false, hide); strings.Contains(got.Error(), "hunter2") {
			t.Errorf("%s: %v", name, got)
		}
	}
	secret := &kube.Error{Reason: kube.Invalid, Message: "data[k]: Invalid value: \"hunter2\""}
	if got := redact(secret, true, nil); strings.Contains(got.Error(), "hunter2") {
		t.Error(got)
	}
}
