package kustomize

import (
	"strings"
	"testing"

	fluxkustomize "github.com/fluxcd/pkg/apis/kustomize"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/shared/manifest"
)

func TestPatch(t *testing.T) {
	objects, err := manifest.Parse([]byte("apiVersion: v1\nkind: Secret\nmetadata: {name: z}\n---\n" +
		"apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: a}\nspec: {template: {spec: {containers: " +
		"[{name: c, image: \"x:1\"}]}}}\n---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: gone}\n"))
	if err != nil {
		t.Fatal(err)
	}
	got, err := Patch(t.Context(), objects, api.ChartPatches{
		Patches: []fluxkustomize.Patch{
			{Patch: "- {op: add, path: /metadata/labels, value: {l: \"1\"}}", Target: &fluxkustomize.Selector{Kind: "Secret"}},
			{Patch: "$patch: delete\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: gone}\n"},
		},
		Images: []fluxkustomize.Image{{Name: "x", NewTag: "2"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != 2 || got[0].GetLabels()["l"] != "1" {
		t.Fatalf("%v", got)
	}
	data, err := manifest.Canonical(got[1])
	if err != nil || !strings.Contains(string(data), `"image":"x:2"`) {
		t.Errorf("%s, %v", data, err)
	}
}

func TestPatch_errors(t *testing.T) {
	objects, err := manifest.Parse([]byte(strings.Repeat("---\napiVersion: v1\nkind: Secret\nmetadata: {name: a}\n", 2)))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Patch(t.Context(), objects, api.ChartPatches{}); err == nil ||
		!strings.Contains(err.Error(), "more than one object") {
		t.Errorf("equal names: %v", err)
	}
	_, err = Patch(t.Context(), objects[:1], api.ChartPatches{Patches: []fluxkustomize.Patch{{Patch: "- {op: nothing}",
		Target: &fluxkustomize.Selector{Kind: "Secret"}}}})
	if err == nil {
		t.Error("a broken patch has no error")
	}
}
