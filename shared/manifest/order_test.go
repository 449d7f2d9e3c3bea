package manifest

import (
	"cmp"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
)

// inOrder is what the tests expect, one object of each interesting kind.
var inOrder = []ID{
	{Group: "apiextensions.k8s.io", Kind: "CustomResourceDefinition", Name: "z"},
	{Kind: "Namespace", Name: "a"},
	{Kind: "Namespace", Name: "b"},
	{Group: "rbac.authorization.k8s.io", Kind: "ClusterRole", Name: "a"},
	{Group: "scheduling.k8s.io", Kind: "PriorityClass", Name: "p"},
	{Group: "storage.k8s.io", Kind: "StorageClass", Name: "s"},
	{Group: "example.com", Kind: "WidgetClass", Name: "w"},
	{Kind: "ServiceAccount", Namespace: "a", Name: "s"},
	{Kind: "ConfigMap", Namespace: "a", Name: "z"},
	{Kind: "ConfigMap", Namespace: "b", Name: "a"},
	{Kind: "Secret", Namespace: "a", Name: "s"},
	{Group: "apps", Kind: "Deployment", Namespace: "a", Name: "d"},
	{Group: "", Kind: "Pod", Namespace: "a", Name: "p"},
	{Group: "batch", Kind: "Job", Namespace: "a", Name: "j"},
	{Group: "example.com", Kind: "Widget", Namespace: "a", Name: "w"},
	{Group: "admissionregistration.k8s.io", Kind: "MutatingWebhookConfiguration", Name: "m"},
	{Group: "admissionregistration.k8s.io", Kind: "ValidatingWebhookConfiguration", Name: "v"},
}

func object(id ID) *Object {
	o := &Object{Object: map[string]any{}}
	o.SetKind(id.Kind)
	o.SetAPIVersion("v1")
	if id.Group != "" {
		o.SetAPIVersion(id.Group + "/v1")
	}
	o.SetNamespace(id.Namespace)
	o.SetName(id.Name)
	return o
}

func TestApplyOrder(t *testing.T) {
	for range 20 {
		var objects []*Object
		for _, i := range rand.Perm(len(inOrder)) {
			objects = append(objects, object(inOrder[i]))
		}
		ApplyOrder(objects)
		var got []ID
		for _, o := range objects {
			got = append(got, IDOf(o))
		}
		if !reflect.DeepEqual(got, inOrder) {
			t.Fatalf("%v, want %v", got, inOrder)
		}
	}
}

func TestCompare(t *testing.T) {
	if !slices.IsSortedFunc(inOrder, func(a, b ID) int { return Stage(a) - Stage(b) }) {
		t.Error("stages go down in apply order")
	}
	for i, a := range inOrder {
		for j, b := range inOrder {
			if got := Compare(a, b); got != cmp.Compare(i, j) {
				t.Errorf("Compare(%v, %v) = %d", a, b, got)
			}
		}
	}
}

func TestStage(t *testing.T) {
	for id, want := range map[ID]int{
		{Kind: "Namespace", Name: "a"}:                                                  0,
		{Group: "example.com", Kind: "Namespace", Name: "a"}:                            2,
		{Group: "example.com", Kind: "ClusterRole", Name: "a"}:                          2,
		{Group: "rbac.authorization.k8s.io", Kind: "ClusterRoleBinding"}:                2,
		{Group: "admissionregistration.k8s.io", Kind: "ValidatingWebhookConfiguration"}: 3,
	} {
		if got := Stage(id); got != want {
			t.Errorf("Stage(%v) = %d, want %d", id, got, want)
		}
		if Stage(id) >= Stages {
			t.Errorf("Stage(%v) is not below Stages", id)
		}
	}
}
