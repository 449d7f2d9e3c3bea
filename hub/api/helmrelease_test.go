package api_test

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/shared/bundle"
)

// helmRelease returns a HelmRelease with these lines in its spec, beside an interval.
func helmRelease(spec string) string {
	return "apiVersion: helm.toolkit.fluxcd.io/v2\nkind: HelmRelease\nmetadata: {name: web, namespace: apps}\nspec:\n" +
		"  interval: 10m\n  " + strings.ReplaceAll(strings.TrimSpace(spec), "\n", "\n  ") + "\n"
}

const (
	ofRepository = "chart: {spec: {chart: podinfo, version: 6.x, sourceRef: {kind: HelmRepository, name: podinfo, " +
		"namespace: flux-system}}}\n"
	ofGit = "chart: {spec: {chart: ./charts/web, sourceRef: {kind: GitRepository, name: repo}}}\n"
)

// TestHelmRelease checks each field that is refused, with the way out.
func TestHelmRelease(t *testing.T) {
	tests := map[string]struct{ spec, want string }{
		"no_chart":        {"values: {}", "spec: Invalid value"},
		"both":            {ofGit + "chartRef: {kind: OCIRepository, name: a}", "want one of chart and chartRef"},
		"source_kind":     {"chart: {spec: {chart: a, sourceRef: {kind: OCIRepository, name: a}}}", `"HelmRepository", "GitRepository", "Bucket"`},
		"source_name":     {"chart: {spec: {chart: a, sourceRef: {kind: GitRepository, name: A}}}", "spec.chart.spec.sourceRef.name"},
		"chart_name":      {"chart: {spec: {chart: '', sourceRef: {kind: GitRepository, name: a}}}", "spec.chart.spec.chart: Required"},
		"chart_outside":   {"chart: {spec: {chart: ../a, sourceRef: {kind: GitRepository, name: a}}}", "leaves the source"},
		"range":           {strings.Replace(ofRepository, "6.x", "six", 1), "spec.chart.spec: Invalid value: HelmChart flux-system/apps-web"},
		"chart_ref":       {"chartRef: {kind: GitRepository, name: a}", `"OCIRepository", "HelmChart", "ExternalArtifact"`},
		"chart_kind":      {strings.Replace(ofGit, "chart: {", "chart: {kind: OCIRepository, ", 1), "name it in spec.chartRef"},
		"kubeconfig":      {ofGit + "kubeConfig: {secretRef: {name: a}}", "nave cluster add"},
		"preserve_values": {ofGit + "upgrade: {preserveValues: true}", "spec.upgrade.preserveValues: Forbidden: the values of a release are those in Git"},
		"release_name":    {ofGit + "releaseName: " + strings.Repeat("a", 54), "at most 53 characters"},
		"duration":        {ofGit + "install: {timeout: 5}", "spec.install.timeout"},
		"retry_interval":  {ofGit + "upgrade: {strategy: {name: RetryOnFailure, retryInterval: -1s}}", "spec.upgrade.strategy.retryInterval: Invalid value"},
		"strategy_name":   {ofGit + "install: {strategy: {name: Retry}}", "spec.install.strategy.name: Unsupported value"},
		"crds":            {ofGit + "upgrade: {crds: Replace}", "spec.upgrade.crds: Unsupported value"},
		"remediation":     {ofGit + "upgrade: {remediation: {strategy: none}}", "spec.upgrade.remediation.strategy: Unsupported"},
		"apply_mode":      {ofGit + "upgrade: {serverSideApply: yes please}", "spec.upgrade.serverSideApply: Unsupported"},
		"rollback_mode":   {ofGit + "rollback: {serverSideApply: never}", "spec.rollback.serverSideApply: Unsupported"},
		"chart_change":    {ofGit + "upgrade: {chartNameChangeStrategy: Keep}", "spec.upgrade.chartNameChangeStrategy: Unsupported"},
		"wait":            {ofGit + "waitStrategy: {name: helm}", "spec.waitStrategy.name: Unsupported"},
		"propagation":     {ofGit + "uninstall: {deletionPropagation: all}", "spec.uninstall.deletionPropagation: Unsupported"},
		"history":         {ofGit + "maxHistory: -1", "spec.maxHistory: Invalid"},
		"filter":          {ofGit + "test: {filters: [{exclude: true}]}", "spec.test.filters[0].name: Required"},
		"drift_mode":      {ofGit + "driftDetection: {mode: on}", "spec.driftDetection.mode"},
		"ignore":          {ofGit + "driftDetection: {ignore: [{paths: [replicas]}]}", "spec.driftDetection.ignore[0].paths"},
		"dependency":      {ofGit + "dependsOn: [{name: web}]", "it would wait for itself"},
		"expression":      {ofGit + "dependsOn: [{name: a, readyExpr: 'dep.status ='}]", "spec.dependsOn[0].readyExpr"},
		"health":          {ofGit + "healthCheckExprs: [{apiVersion: a/v1, kind: A}]", "spec.healthCheckExprs[0].current: Required"},
		"account":         {ofGit + "serviceAccountName: A", "spec.serviceAccountName"},
		"values_from":     {ofGit + "valuesFrom: [{kind: Deployment, name: a}]", "spec.valuesFrom[0].kind: Unsupported"},
		"encrypted":       {ofGit + "values: {a: a0sealed0aaaaaaaaaaaaaaaaaaaaaaaaaa}", "spec.values: Invalid value: \"\": an encrypted"},
		"literal":         {ofGit + "valuesFrom: [{kind: Secret, name: a, literal: true}]", "needs a targetPath"},
		"patch":           {ofGit + "postRenderers: [{kustomize: {patches: [{target: {kind: A}}]}}]", "spec.postRenderers[0].kustomize.patches[0].patch: Required"},
		"unknown_field":   {ofGit + "replicas: 2", "spec.replicas: Forbidden: unknown field"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) { refuse(t, helmRelease(test.spec), api.ClusterGraph, test.want) })
	}
}

// viewOfRelease returns the view of a HelmRelease.
func viewOfRelease(t *testing.T, text string) *api.Renderable {
	t.Helper()
	r, err := admit(t, text, api.ClusterGraph).Renderable()
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// TestHelmRelease_defaults has the defaults of Flux.
func TestHelmRelease_defaults(t *testing.T) {
	r := viewOfRelease(t, helmRelease(strings.Replace(ofRepository, "chart: {", "chart: {kind: HelmChart, ", 1)))
	action := bundle.ReleaseAction{Timeout: 5 * time.Minute}
	install, upgrade := action, action
	install.CRDs, install.Remediation = bundle.CreateCRDs, bundle.Remediation{Strategy: bundle.UninstallOnFailure}
	upgrade.Remediation = bundle.Remediation{Strategy: bundle.RollbackOnFailure}
	want := &bundle.Release{Name: "web", Namespace: "apps", StorageNamespace: "apps", MaxHistory: 5, Install: install,
		Upgrade: upgrade, Rollback: action, Uninstall: action, Test: bundle.ReleaseTest{Timeout: 5 * time.Minute}}
	if !reflect.DeepEqual(r.Release, want) {
		t.Errorf("release %+v, want %+v", r.Release, want)
	}
	if r.Drift != "off" || r.DriftNamed {
		t.Errorf("drift %q, named: %v", r.Drift, r.DriftNamed)
	}
	if got := r.Makes.Key.String(); got != "HelmChart flux-system/apps-web" || r.Source != r.Makes.Key {
		t.Errorf("it makes %s", got)
	}
	if got := string(r.Makes.JSON); !strings.Contains(got, `"interval":"10m0s"`) || !strings.Contains(got, `"version":"6.x"`) {
		t.Errorf("it makes %s", got)
	}
}

// TestHelmRelease_options has each option of a release.
func TestHelmRelease_options(t *testing.T) {
	r := viewOfRelease(t, helmRelease(ofGit+`targetNamespace: shop
storageNamespace: store
timeout: 1m
maxHistory: 0
install: {timeout: 2m, crds: Skip, createNamespace: true, disableHooks: true, disableWait: true, disableWaitForJobs: true,
  disableTakeOwnership: true, strategy: {name: RetryOnFailure, retryInterval: 30s}, replace: true}
upgrade: {timeout: 3m, crds: CreateReplace, force: true, cleanupOnFail: true, chartNameChangeStrategy: InPlaceUpdate,
  remediation: {retries: 3, strategy: uninstall, ignoreTestFailures: true}}
rollback: {timeout: 4m, force: true, cleanupOnFail: true, disableHooks: true}
uninstall: {keepHistory: true, deletionPropagation: orphan, disableWait: true}
test: {enable: true, timeout: 6m, filters: [{name: a}, {name: b, exclude: true}]}
driftDetection: {mode: warn, ignore: [{paths: [/spec/replicas], target: {kind: Deployment}}]}
persistentClient: false
waitStrategy: {name: legacy}
`))
	want := &bundle.Release{Name: "shop-web", Namespace: "shop", StorageNamespace: "store", CreateNamespace: true,
		KeepOtherChart: true,
		Install: bundle.ReleaseAction{Timeout: 2 * time.Minute, DisableHooks: true, DisableWait: true,
			DisableWaitForJobs: true, KeepOwners: true,
			Remediation: bundle.Remediation{Strategy: bundle.RetryInPlace, RetryInterval: 30 * time.Second}},
		Upgrade: bundle.ReleaseAction{Timeout: 3 * time.Minute, CRDs: bundle.ReplaceCRDs, Force: true, CleanupOnFail: true,
			Remediation: bundle.Remediation{Strategy: bundle.UninstallOnFailure, Retries: 3, RemediateLastFailure: true,
				IgnoreTestFailures: true}},
		Rollback: bundle.ReleaseAction{Timeout: 4 * time.Minute, DisableHooks: true, Force: true, CleanupOnFail: true},
		Uninstall: bundle.ReleaseAction{Timeout: time.Minute, DisableWait: true, KeepHistory: true,
			Propagation: bundle.OrphanOwned},
		Test: bundle.ReleaseTest{Enable: true, Timeout: 6 * time.Minute, Only: []string{"a"}, Except: []string{"b"}}}
	if !reflect.DeepEqual(r.Release, want) {
		t.Errorf("release %+v, want %+v", r.Release, want)
	}
	if r.Drift != "warn" || !r.DriftNamed || len(r.Ignore) != 1 || r.Ignore[0].Kind != "Deployment" {
		t.Errorf("drift %q, named: %v, ignores %v", r.Drift, r.DriftNamed, r.Ignore)
	}
}

// TestHelmRelease_spec has what the render depends on, and what the source says about it.
func TestHelmRelease_spec(t *testing.T) {
	buildOf := func(text string, in api.SpecInputs) (b api.ChartBuild) {
		t.Helper()
		data, err := viewOfRelease(t, text).Complete(in)
		if err == nil {
			err = json.Unmarshal(data, &b)
		}
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	chart := func(kind, files string) *api.Object {
		return admit(t, "{apiVersion: source.toolkit.fluxcd.io/v1, kind: HelmChart, metadata: {name: c, namespace: apps}, "+
			"spec: {interval: 1m, chart: charts/web, valuesFiles: ["+files+"], sourceRef: {kind: "+kind+", name: a}}}",
			api.ClusterGraph)
	}
	of := helmRelease("chartRef: {kind: HelmChart, name: c}")
	b := buildOf(of, api.SpecInputs{Source: chart("HelmRepository", "prod.yaml")})
	if !b.Unpacked || !b.ValuesInChart || !reflect.DeepEqual(b.ValuesFiles, []string{"prod.yaml"}) {
		t.Errorf("of a repository: %+v", b)
	}
	b = buildOf(of, api.SpecInputs{Source: chart("GitRepository", "charts/web/prod.yaml, ./other.yaml")})
	if b.Unpacked || !reflect.DeepEqual(b.ValuesFiles, []string{"prod.yaml", ".././other.yaml"}) {
		t.Errorf("of files: %+v", b)
	}
	outside := viewOfRelease(t, helmRelease("chart: {spec: {chart: charts/web, valuesFiles: [values/prod.yaml], "+
		"sourceRef: {kind: GitRepository, name: repo}}}"))
	if outside.Makes != nil || outside.Source.Kind != "GitRepository" || outside.Path != "charts/web" {
		t.Errorf("with a values file outside of the chart the source is %s, path %s", outside.Source, outside.Path)
	}
	text := "a: 1"
	from := helmRelease("chartRef: {kind: OCIRepository, name: c}\nvaluesFrom: [{kind: ConfigMap, name: a}, " +
		"{kind: Secret, name: b, valuesKey: k, targetPath: x}, {kind: Secret, name: c, optional: true}]")
	b = buildOf(from, api.SpecInputs{Data: []api.InputData{{Data: map[string]string{"values.yaml": text}},
		{Data: map[string]string{"other": "x"}}, {Live: true}}})
	if !b.Unpacked || *b.ValuesFrom[0].Data != text || b.ValuesFrom[1].Data != nil || b.ValuesFrom[1].Live ||
		!b.ValuesFrom[2].Live {
		t.Errorf("values of %+v", b.ValuesFrom)
	}
}

// TestHelmRelease_older converts the older versions.
func TestHelmRelease_older(t *testing.T) {
	for _, version := range []string{"v2beta1", "v2beta2"} {
		text := strings.Replace(helmRelease(`chart: {spec: {chart: a, valuesFile: a.yaml, valuesFiles: [b.yaml],
  sourceRef: {kind: HelmRepository, name: a}}}
postRenderers: [{kustomize: {patchesStrategicMerge: [{kind: A}], patchesJson6902: [{target: {kind: B}, patch: [{op: add}]}]}}]
`), "/v2\n", "/"+version+"\n", 1)
		r := viewOfRelease(t, text)
		var b api.ChartBuild
		if err := json.Unmarshal(r.Spec, &b); err != nil {
			t.Fatal(err)
		}
		if got := b.ValuesFiles; !reflect.DeepEqual(got, []string{"a.yaml", "b.yaml"}) {
			t.Errorf("%s: values files %v", version, got)
		}
		if got := b.PostRenderers; len(got) != 1 || len(got[0].Patches) != 2 || got[0].Patches[1].Target.Kind != "B" {
			t.Errorf("%s: post-renderers %+v", version, got)
		}
	}
}
