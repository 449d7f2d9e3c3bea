package api_test

import (
	"strings"
	"testing"

	"github.com/navefleet/nave/hub/api"
)

// helmChart returns a HelmChart.
func helmChart(spec string) string {
	return "{apiVersion: source.toolkit.fluxcd.io/v1, kind: HelmChart, metadata: {name: podinfo, namespace: apps}, " +
		"spec: {interval: 1m, " + spec + "}}"
}

const (
	inRepository = "chart: podinfo, sourceRef: {kind: HelmRepository, name: charts}"
	inGit        = "chart: ./charts/podinfo, sourceRef: {kind: GitRepository, name: charts}"
)

func TestHelmChart(t *testing.T) {
	s := sourceView(t, helmChart(inRepository+", verify: {secretRef: {name: keys}}"))
	want := api.SourceInput{Field: "spec.sourceRef",
		Key: api.Key{Kind: api.HelmRepositoryKind, Namespace: "apps", Name: "charts"}}
	if !s.Upstream || len(s.Inputs) != 1 || s.Inputs[0] != want || len(s.Secrets) != 1 || s.URL != "" {
		t.Errorf("got %+v", s)
	}
	if s := sourceView(t, helmChart(inGit)); s.Upstream || s.Succeeded != "ChartPackageSucceeded" {
		t.Errorf("got %+v", s)
	}
	for name, c := range map[string]struct {
		spec  string
		words []string
	}{
		"no_chart":    {"sourceRef: {kind: HelmRepository, name: charts}", []string{"spec.chart", "Required"}},
		"no_source":   {"chart: podinfo", []string{"spec.sourceRef", "Required"}},
		"no_name":     {"chart: podinfo, sourceRef: {kind: HelmRepository}", []string{"spec.sourceRef.name"}},
		"source_kind": {"chart: podinfo, sourceRef: {kind: HelmChart, name: a}", []string{"spec.sourceRef.kind", "GitRepository"}},
		"leaves":      {"chart: ../podinfo, sourceRef: {kind: GitRepository, name: a}", []string{"spec.chart", "leaves"}},
		"version":     {inRepository + ", version: '>=1 <<2'", []string{"spec.version", "range"}},
		"strategy":    {inGit + ", reconcileStrategy: Always", []string{"spec.reconcileStrategy", "Revision"}},
		"verify_git":  {inGit + ", verify: {secretRef: {name: a}}", []string{"spec.verify", "type: oci"}},
		"notation":    {inRepository + ", verify: {provider: notation, secretRef: {name: a}}", []string{"cosign"}},
		"keyless":     {inRepository + ", verify: {}", []string{"spec.verify.trustedRootSecretRef", "trusted_root.json"}},
		"unnamed_key": {inRepository + ", verify: {secretRef: {}}", []string{"spec.verify.secretRef.name"}},
		"values":      {inGit + ", valuesFiles: [../x]", []string{"spec.valuesFiles[0]", "leaves"}},
	} {
		t.Run(name, func(t *testing.T) { refuse(t, helmChart(c.spec), api.Hub, c.words...) })
	}
}

// TestHelmChart_key tells apart all that changes a chart, and nothing else.
func TestHelmChart_key(t *testing.T) {
	keys := map[string]string{}
	for _, spec := range []string{
		inRepository, inRepository + ", version: 1.x", strings.Replace(inRepository, "podinfo", "other", 1),
		inRepository + ", verify: {secretRef: {name: a}}", inGit, inGit + ", reconcileStrategy: Revision",
	} {
		key := sourceView(t, helmChart(spec)).FetchKey(false)
		if other, taken := keys[key]; taken {
			t.Errorf("%s and %s share a fetch", spec, other)
		}
		keys[key] = spec
	}
	for _, same := range []string{
		inRepository + ", valuesFiles: [a.yaml]", inRepository + ", version: '*'",
		inRepository + ", reconcileStrategy: Revision",
		inGit + ", version: 1.x", strings.Replace(inGit, "name: charts", "name: other", 1),
	} {
		if key := sourceView(t, helmChart(same)).FetchKey(false); keys[key] == "" {
			t.Errorf("%s does not share a fetch", same)
		}
	}
}

// TestHelmChart_upstream has the key of a chart depend on its repository, and not on the name of that.
func TestHelmChart_upstream(t *testing.T) {
	fetch := func(repository string) api.Fetch {
		t.Helper()
		repo := admit(t, repository, api.ClusterGraph)
		f, err := api.FetchOf(api.Given{Object: admit(t, helmChart(inRepository), api.ClusterGraph)},
			func(api.Given, api.SourceInput) (api.Given, error) {
				return api.Given{Key: repo.Key, Object: repo}, nil
			})
		if err != nil || f.Upstream == nil || f.Upstream.Object != repo {
			t.Fatal(f, err)
		}
		return f
	}
	one := fetch(helmRepository("url: 'https://a.example.com'"))
	same := fetch(strings.Replace(helmRepository("url: 'https://a.example.com', interval: 9m"),
		"name: charts", "name: b", 1))
	other := fetch(helmRepository("url: 'https://a.example.com', passCredentials: true"))
	if one.Key != same.Key || one.Key == other.Key {
		t.Errorf("got %s, %s, %s", one.Key, same.Key, other.Key)
	}
}

// TestHelmChart_valuesFile converts the field of old versions. One that is no text is refused, not dropped.
func TestHelmChart_valuesFile(t *testing.T) {
	old := func(spec string) string { return strings.Replace(helmChart(spec), "/v1,", "/v1beta1,", 1) }
	defaults := inGit + ", version: '*', reconcileStrategy: ChartVersion"
	same(t, admit(t, old(inGit+", valuesFile: a.yaml, valuesFiles: [b.yaml], accessFrom: {}"), api.ClusterGraph),
		helmChart(defaults+", valuesFiles: [a.yaml, b.yaml]"))
	same(t, admit(t, old(inGit+", valuesFile: ''"), api.ClusterGraph), helmChart(defaults))
	refuse(t, old(inGit+", valuesFile: [a.yaml]"), api.ClusterGraph, "spec.valuesFile")
}
