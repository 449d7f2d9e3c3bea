package api_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/navefleet/nave/hub/api"
)

// annotated returns a HelmChart with the annotation that names repositories of dependencies.
func annotated(spec, names string) string {
	return strings.Replace(helmChart(spec), "namespace: apps}", "namespace: apps, annotations: {"+
		api.DependencyRepositoriesAnnotation+": '"+names+"'}}", 1)
}

// TestHelmChart_dependencies checks that the HelmRepositories of the annotation are inputs whose servers may be asked.
func TestHelmChart_dependencies(t *testing.T) {
	s := sourceView(t, annotated(inGit, "charts, internal"))
	if len(s.Inputs) != 3 || s.Inputs[0].Server || !s.Inputs[1].Server || s.Inputs[2].Key != (api.Key{
		Kind: api.HelmRepositoryKind, Namespace: "apps", Name: "internal"}) {
		t.Errorf("inputs %v", s.Inputs)
	}
	for name, c := range map[string]struct{ spec, names, words string }{
		"in_repository": {inRepository, "charts", "bring their dependencies"},
		"empty":         {inGit, " , ", api.DependencyRepositoriesAnnotation},
		"name":          {inGit, "Charts_1", "Charts_1"},
		"many":          {inGit, strings.Join(slices.Repeat([]string{"a"}, 17), ","), "16"},
	} {
		t.Run(name, func(t *testing.T) { refuse(t, annotated(c.spec, c.names), api.ClusterGraph, c.words) })
	}
	refuse(t, `{apiVersion: helm.toolkit.fluxcd.io/v2, kind: HelmRelease, metadata: {name: a, namespace: apps},
spec: {interval: 1m, chart: {metadata: {annotations: {`+api.DependencyRepositoriesAnnotation+`: "a b"}},
spec: {chart: charts/a, sourceRef: {kind: GitRepository, name: a}}}}}`, api.ClusterGraph, "a b")
}
