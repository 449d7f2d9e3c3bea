package kustomize

import (
	"testing"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
)

// TestCommonMetadata_owner checks that common metadata may replace the labels of the owner, as in Flux.
func TestCommonMetadata_owner(t *testing.T) {
	root := t.TempDir()
	plant(t, root, "a.yaml", []byte("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n"))
	result, err := buildTree(t.Context(), root, Spec{Name: "apps", Namespace: "flux-system",
		CommonMetadata: &kustomizev1.CommonMetadata{Labels: map[string]string{NameLabel: "other"}}})
	if err != nil {
		t.Fatal(err)
	}
	labels := result.Objects[0].GetLabels()
	if labels[NameLabel] != "other" || labels[NamespaceLabel] != "flux-system" {
		t.Errorf("labels: %v", labels)
	}
}
