package api_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/navefleet/nave/hub/api"
)

// TestDependsOnAnnotation has dependencies of other kinds, and refuses what is no dependency.
func TestDependsOnAnnotation(t *testing.T) {
	with := func(value string) string {
		return strings.Replace(helmRelease(ofGit+"dependsOn: [{name: db}]"), "namespace: apps}",
			"namespace: apps, annotations: {fleet.nave.io/depends-on: '"+value+"'}}", 1)
	}
	r := viewOfRelease(t, with("Kustomization/infra/crds, HelmRelease/db"))
	want := []api.Key{{Kind: "HelmRelease", Namespace: "apps", Name: "db"},
		{Kind: "Kustomization", Namespace: "infra", Name: "crds"}}
	if !slices.Equal(r.DependsOn, want) {
		t.Errorf("depends on %v, want %v", r.DependsOn, want)
	}
	named := func(n api.NamespaceReference) bool { return n.Namespace == "infra" }
	if !slices.ContainsFunc(r.Namespaces, named) {
		t.Errorf("names the namespaces %v", r.Namespaces)
	}
	for value, want := range map[string]string{
		"crds": "want Kind/name", "Kustomization/a/b/c": "want Kind/name", "GitRepository/a": "want a Kustomization",
		"Kustomization/A": "no name of an object", "HelmRelease/web": "wait for itself",
	} {
		refuse(t, with(value), api.ClusterGraph, "metadata.annotations[fleet.nave.io/depends-on]", want)
	}
}
