package apply_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/navefleet/nave/spoke/internal/apply"
	"github.com/navefleet/nave/spoke/internal/kube"
)

// An object that waits for a finalizer is out of the inventory, and comes back whole when it is wanted again.
func TestFinalizerStuck(t *testing.T) {
	w := newWorld(t)
	stuck := strings.Replace(configMap("a", "1"), "namespace: $NS", "namespace: $NS, finalizers: [example.com/stuck]", 1)
	w.apply(stuck)
	first, err := w.live("a")
	w.must(err)
	if changes := w.apply(""); changes.Count(apply.Deleted) != 1 || len(w.inventory.Items) != 0 {
		t.Fatal(changes)
	}
	if l, err := w.live("a"); err != nil || !l.Deleting {
		t.Fatal("it does not wait", err)
	}
	w.apply(configMap("a", "2")) // which takes the finalizer off, so that the object goes
	w.watch(func() string { return configMap("a", "2") })
	w.until("another object is there", func(context.Context) error {
		if l, err := w.live("a"); err != nil || l.UID == first.UID || l.Deleting {
			return errors.Join(errors.New("still the old one"), err)
		}
		return nil
	})
	w.wantData("a", "k", "2")
}

// admissionPolicy makes the API server deny operations on the ConfigMap "denied" of the test's namespace, until the
// returned function is called.
func (w *world) admissionPolicy(operations string) (lift func()) {
	w.t.Helper()
	name := w.namespace + "-policy"
	w.byHand(`
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata: {name: ` + name + `}
spec:
  failurePolicy: Fail
  matchConstraints:
    namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: $NS}}
    resourceRules: [{apiGroups: [""], apiVersions: [v1], resources: [configmaps], operations: [` + operations + `]}]
  validations: [{expression: "request.name != 'denied' && request.name != 'probe'", message: "the rules say no"}]
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata: {name: ` + name + `}
spec: {policyName: ` + name + `, validationActions: [Deny]}
`)
	w.until("the policy denies", w.probe(false))
	return func() {
		w.t.Helper()
		w.must(w.admin.Delete(w.t.Context(), "ValidatingAdmissionPolicyBinding.admissionregistration.k8s.io", "", name))
		w.must(w.admin.Delete(w.t.Context(), "ValidatingAdmissionPolicy.admissionregistration.k8s.io", "", name))
		w.until("the policy is forgotten", w.probe(true))
	}
}

func TestDeniedApply(t *testing.T) {
	w := newWorld(t)
	lift := w.admissionPolicy("CREATE, UPDATE")
	yaml := configMap("denied", "1") + configMap("b", "1")
	changes := w.try(w.set(yaml))
	if changes.Count(apply.Created) != 1 || kube.ReasonOf(changes.Err()) != kube.Denied || kube.Retryable(changes.Err()) ||
		!strings.Contains(changes.Err().Error(), "the rules say no") ||
		!strings.Contains(changes.Err().Error(), w.namespace+"/denied") {
		t.Error(changes)
	}
	if len(w.inventory.Items) != 1 {
		t.Errorf("the inventory has %v", w.inventory.IDs())
	}
	lift()
	if changes := w.apply(yaml); changes.Count(apply.Created) != 1 {
		t.Error(changes)
	}
}

// An object that cannot be deleted is held with the reason, stays in the inventory, and is deleted when that is
// possible.
func TestDeniedPrune(t *testing.T) {
	for name, c := range map[string]struct {
		block  func(*world) (lift func())
		reason kube.Reason
	}{
		"by_policy":    {func(w *world) func() { return w.admissionPolicy("DELETE") }, kube.Denied},
		"webhook_down": {func(w *world) func() { return w.brokenWebhook("DELETE") }, kube.Unavailable},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.apply(configMap("denied", "1"))
			lift := c.block(w)
			changes := w.try(w.set(""))
			if changes.Count(apply.Held) != 1 || kube.ReasonOf(changes.Err()) != c.reason || len(w.inventory.Items) != 1 ||
				w.data("denied", "k") != "1" {
				t.Error(changes, kube.ReasonOf(changes.Err()))
			}
			lift()
			if changes := w.apply(""); changes.Count(apply.Deleted) != 1 || len(w.inventory.Items) != 0 {
				t.Error(changes)
			}
		})
	}
}
