package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestDebugValues merges values, and shows none of a Secret.
func TestDebugValues(t *testing.T) {
	root := tree(t, map[string]string{
		"hr.yaml": `apiVersion: helm.toolkit.fluxcd.io/v2
kind: HelmRelease
metadata: {name: app, namespace: apps}
spec:
  interval: 1m
  chart: {spec: {chart: app, sourceRef: {kind: HelmRepository, name: r}}}
  valuesFrom:
  - {kind: ConfigMap, name: c}
  - {kind: Secret, name: s}
  - {kind: Secret, name: s, valuesKey: password, targetPath: auth.password}
  - {kind: Secret, name: none, optional: true}
  values: {replicas: 2}
`,
		"from/c.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c, namespace: apps}\ndata:\n  values.yaml: |\n" +
			"    replicas: 1\n    color: red\n",
		"from/s.yaml": "apiVersion: v1\nkind: Secret\nmetadata: {name: s, namespace: apps}\nstringData:\n" +
			"  password: canary\n  values.yaml: |\n    keys: [canary, {a: canary}]\n",
	})
	out, err := run(t, "debug", "values", root+"/hr.yaml", "--values-from", root+"/from")
	if err != nil {
		t.Fatal(err)
	}
	want := "auth:\n  password: '***'\ncolor: red\nkeys:\n- '***'\n- a: '***'\nreplicas: 2\n"
	if out != want {
		t.Errorf("%s, want %s", out, want)
	}
	again, err := run(t, "debug", "values", root+"/hr.yaml", "--values-from", root, "--values-from", root+"/./from")
	if err != nil || again != want {
		t.Errorf("with the file among --values-from: %v, %s", err, again)
	}
	if _, err := run(t, "debug", "values", root+"/hr.yaml"); err == nil ||
		!strings.Contains(err.Error(), "spec.valuesFrom[0]: ConfigMap apps/c") {
		t.Errorf("without the ConfigMap: %v", err)
	}
}

// TestDebugValues_one_text says that the keys of an encrypted text are not known, and prints all other values.
func TestDebugValues_one_text(t *testing.T) {
	root := tree(t, map[string]string{
		"hr.yaml": "apiVersion: helm.toolkit.fluxcd.io/v2\nkind: HelmRelease\nmetadata: {name: app, namespace: default}\n" +
			"spec:\n  interval: 1m\n  chart: {spec: {chart: app, sourceRef: {kind: HelmRepository, name: r}}}\n" +
			"  valuesFrom: [{kind: Secret, name: sealed, valuesKey: password}]\n  values: {replicas: 2}\n",
		"sealed.yaml": strings.Replace(sealedFile, "PASSWORD", "cGFzc3dvcmQ=", 1),
	})
	cmd, out, errOut := newCommand(), new(strings.Builder), new(strings.Builder)
	cmd.SetArgs([]string{"debug", "values", root + "/hr.yaml", "--values-from", root + "/sealed.yaml"})
	cmd.SetOut(out)
	cmd.SetErr(errOut)
	if err := cmd.Execute(); err != nil {
		t.Fatal(err)
	}
	if out.String() != "replicas: 2\n" || !strings.Contains(errOut.String(), "spec.valuesFrom[0]: the keys of Secret "+
		"default/sealed, key password, are not known") {
		t.Errorf("printed %q and %q", out, errOut)
	}
}

// TestBuildCluster_release builds a HelmRelease whose chart is in the checkout.
func TestBuildCluster_release(t *testing.T) {
	root := tree(t, map[string]string{
		"clusters/lab/hr.yaml": `apiVersion: helm.toolkit.fluxcd.io/v2
kind: HelmRelease
metadata: {name: web, namespace: flux-system}
spec:
  interval: 10m
  targetNamespace: shop
  chart:
    metadata: {annotations: {fleet.nave.io/dependency-repositories: charts}}
    spec: {chart: ./charts/web, valuesFiles: [charts/web/prod.yaml], sourceRef: {kind: GitRepository, name: hub}}
---
apiVersion: helm.toolkit.fluxcd.io/v2
kind: HelmRelease
metadata: {name: other, namespace: flux-system}
spec:
  interval: 10m
  chart: {spec: {chart: other, sourceRef: {kind: HelmRepository, name: charts}}}
---
apiVersion: source.toolkit.fluxcd.io/v1
kind: HelmRepository
metadata: {name: charts, namespace: flux-system}
spec: {url: "https://charts.example.com"}
`,
		"charts/web/Chart.yaml": "apiVersion: v2\nname: web\nversion: 1.0.0\n" +
			"dependencies: [{name: lib, version: 1.x, repository: '@charts'}]\n",
		"charts/web/charts/lib/Chart.yaml": "apiVersion: v2\nname: lib\nversion: 1.0.0\n",
		"charts/web/prod.yaml":             "color: red\n",
		"charts/web/templates/all.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: web}\n" +
			"data: {color: {{ .Values.color }}, version: {{ .Capabilities.KubeVersion.Version }}}\n---\n" +
			"apiVersion: batch/v1\nkind: Job\nmetadata: {name: before, annotations: {helm.sh/hook: pre-install}}\n",
	})
	out, err := run(t, "build", "cluster", "s1", root, "--path", "clusters/lab", "--kube-version", "v1.30.1")
	for _, want := range []string{"HelmRelease flux-system/web: 2 objects", "namespace: shop", "color: red",
		"version: v1.30.1", "name: before"} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is missing:\n%s", want, out)
		}
	}
	if want := "--local-sources HelmChart/flux-system/flux-system-other=DIR"; err == nil ||
		!strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "web") {
		t.Errorf("%v, want %q", err, want)
	}

	vendored, away := filepath.Join(root, "charts/web/charts"), filepath.Join(root, "away")
	if err := os.Rename(vendored, away); err != nil {
		t.Fatal(err)
	}
	_, err = run(t, "build", "cluster", "s1", root, "--path", "clusters/lab")
	if err == nil || !strings.Contains(err.Error(), "run helm dependency build") {
		t.Errorf("without the dependency: %v", err)
	}
	if err := os.Rename(away, vendored); err != nil {
		t.Fatal(err)
	}

	const chart = "--local-sources=HelmChart/flux-system/flux-system-other="
	charts := tree(t, map[string]string{"other/Chart.yaml": "apiVersion: v2\nname: other\nversion: 1.0.0\n",
		"other/templates/all.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: of-other}\n"})
	for _, dir := range []string{charts, charts + "/other"} {
		out, err = run(t, "build", "cluster", "s1", root, "--path", "clusters/lab", chart+dir)
		if err != nil || !strings.Contains(out, "name: of-other") {
			t.Errorf("with the chart in %s: %v:\n%s", dir, err, out)
		}
	}
}
