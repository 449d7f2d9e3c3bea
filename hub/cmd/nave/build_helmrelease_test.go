package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/navefleet/nave/shared/manifest"
)

// chartWorkspace returns the folder of a HelmRelease and its chart.
func chartWorkspace(t *testing.T) string {
	t.Helper()
	return workspace(t, map[string]string{
		"hr.yaml": "apiVersion: helm.toolkit.fluxcd.io/v2\nkind: HelmRelease\nmetadata: {name: app, namespace: apps}\n" +
			"spec:\n  interval: 10m\n  targetNamespace: prod\n  values: {size: 3}\n" +
			"  chart: {spec: {chart: ./charts/app, sourceRef: {kind: GitRepository, name: fleet}, " +
			"valuesFiles: [charts/app/values.yaml, charts/prod.yaml]}}\n" +
			"  valuesFrom:\n  - {kind: ConfigMap, name: settings}\n" +
			"  - {kind: Secret, name: password, valuesKey: p, targetPath: password}\n" +
			"  postRenderers:\n  - kustomize:\n      patches:\n      - target: {kind: ConfigMap}\n" +
			"        patch: '[{\"op\": \"add\", \"path\": \"/data/patched\", \"value\": \"yes-it-is\"}]'\n",
		"values/settings.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: settings, namespace: apps}\n" +
			"data: {values.yaml: \"color: blue\\nsize: 1\"}\n---\n" +
			"apiVersion: v1\nkind: Secret\nmetadata: {name: password, namespace: apps}\nstringData: {p: \"'12'\"}\n",
		"charts/prod.yaml":       "color: red\nfile: prod\n",
		"charts/app/Chart.yaml":  "apiVersion: v2\nname: app\nversion: 1.0.0\n",
		"charts/app/values.yaml": "size: 0\n",
		"charts/app/templates/a.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: \"{{ .Release.Name }}\"}\n" +
			"data:\n  text: {{ printf \"%v %s %s %s\" .Values.size .Values.color .Values.password .Values.file }}\n" +
			"  api: {{ .Capabilities.APIVersions.Has \"x.example.com/v1\" | quote }}\n" +
			"  kube: {{ .Capabilities.KubeVersion.Version }}\n  upgrade: {{ .Release.IsUpgrade | quote }}\n",
		"charts/app/templates/hook.yaml": "apiVersion: v1\nkind: Pod\nmetadata: {name: hook, annotations: {helm.sh/hook: " +
			"test}}\n",
		"charts/app/templates/NOTES.txt": "well done\n",
		"charts/app/crds/c.yaml": "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\n" +
			"metadata: {name: cs.example.com}\n",
	})
}

func TestBuildHelmRelease(t *testing.T) {
	root := chartWorkspace(t)
	out, err := run(t, "build", "helmrelease", filepath.Join(root, "hr.yaml"),
		"--chart", filepath.Join(root, "charts/app"), "--values-from", filepath.Join(root, "values"),
		"--kube-version", "v1.33.1", "--api-versions", "x.example.com/v1", "--is-upgrade")
	if err != nil {
		t.Fatal(err)
	}
	objects, err := manifest.Parse([]byte(out))
	if err != nil || len(objects) != 3 {
		t.Fatalf("%v: %s", err, out)
	}
	if objects[0].GetKind() != "CustomResourceDefinition" || objects[2].GetKind() != "Pod" {
		t.Errorf("the order is another:\n%s", out)
	}
	config := objects[1]
	want := map[string]string{"text": "3 blue 12 prod", "api": "true", "kube": "v1.33.1", "upgrade": "true",
		"patched": "yes-it-is"}
	data, _ := config.Object["data"].(map[string]any)
	for key, text := range want {
		if data[key] != text {
			t.Errorf("data.%s is %v, want %s", key, data[key], text)
		}
	}
	if config.GetName() != "prod-app" || config.GetLabels()["helm.toolkit.fluxcd.io/namespace"] != "apps" {
		t.Errorf("metadata:\n%s", out)
	}
}

// TestBuildHelmRelease_archive renders the same from a packed chart.
func TestBuildHelmRelease_archive(t *testing.T) {
	root := chartWorkspace(t)
	folder, packed := t.TempDir(), bytes.Buffer{}
	if err := os.CopyFS(filepath.Join(folder, "app"), os.DirFS(filepath.Join(root, "charts/app"))); err != nil {
		t.Fatal(err)
	}
	if err := packArchive(&packed, folder, nil); err != nil {
		t.Fatal(err)
	}
	chart := filepath.Join(t.TempDir(), "app-1.0.0.tgz")
	if err := os.WriteFile(chart, packed.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(root, "hr.yaml")
	if _, err := run(t, "build", "helmrelease", file, "--chart", chart); err == nil ||
		!strings.Contains(err.Error(), "valuesFiles are in the source of the chart") {
		t.Errorf("with values files of the checkout: %v", err)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	text = bytes.Replace(text, []byte("charts/app/values.yaml, charts/prod.yaml"), []byte("values.yaml"), 1)
	text = bytes.Replace(text, []byte("GitRepository"), []byte("HelmRepository"), 1)
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := run(t, "build", "helmrelease", file, "--chart", file); err == nil ||
		!strings.Contains(err.Error(), "is no packed chart") {
		t.Errorf("a file that is no chart: %v", err)
	}
	build := func(chart string) string {
		out, err := run(t, "build", "helmrelease", file, "--chart", chart, "--values-from",
			filepath.Join(root, "values"))
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	if got, want := build(chart), build(filepath.Join(root, "charts/app")); got != want {
		t.Errorf("the archive renders %s, its folder %s", got, want)
	}
}

// TestBuildHelmRelease_sealed checks that values stay encrypted, and that a template that looks into one is refused.
func TestBuildHelmRelease_sealed(t *testing.T) {
	root := chartWorkspace(t)
	secret := strings.NewReplacer("name: sealed, namespace: default", "name: password, namespace: apps", "password:",
		"p:").Replace(sealedFile)
	write(t, root, "values/settings.yaml", secret+"---\napiVersion: v1\nkind: ConfigMap\n"+
		"metadata: {name: settings, namespace: apps}\ndata: {values.yaml: \"color: blue\"}\n")
	build := func() (string, error) {
		return run(t, "build", "helmrelease", filepath.Join(root, "hr.yaml"), "--chart", filepath.Join(root, "charts/app"),
			"--values-from", filepath.Join(root, "values"))
	}
	out, err := build()
	if err != nil || strings.Contains(out, "ENC[") || !strings.Contains(out, "0sealed0") {
		t.Fatalf("%v: %s", err, out)
	}
	write(t, root, "charts/app/templates/b.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: b}\n"+
		"data: {x: {{ .Values.password | sha256sum }}}\n")
	const want = "templates/b.yaml, line 4, .Values.password: the value password of Secret apps/password; "
	if _, err := build(); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("error %v, want %s", err, want)
	}
}

// TestBuildHelmRelease_warning checks that what a chart puts into a warning of Helm cannot reach a terminal.
func TestBuildHelmRelease_warning(t *testing.T) {
	root := workspace(t, map[string]string{
		"hr.yaml": "apiVersion: helm.toolkit.fluxcd.io/v2\nkind: HelmRelease\nmetadata: {name: app, namespace: apps}\n" +
			"spec: {interval: 1m, chartRef: {kind: OCIRepository, name: x}, values: {\"a\\e[2J\": {b: 1}}}\n",
		"app/Chart.yaml": "apiVersion: v2\nname: app\nversion: 1.0.0\n", "app/values.yaml": "\"a\\e[2J\": text\n",
	})
	var out, messages bytes.Buffer
	cmd, finish := program(&out, &messages)
	cmd.SetArgs([]string{"build", "helmrelease", filepath.Join(root, "hr.yaml"), "--chart", filepath.Join(root, "app")})
	if err := finish(cmd.ExecuteContext(t.Context())); err != nil {
		t.Fatal(err)
	}
	if text := messages.String(); !strings.HasPrefix(text, "nave: warning: ") || strings.Contains(text, "\x1b") {
		t.Errorf("printed %q", text)
	}
}

func TestBuildHelmRelease_errors(t *testing.T) {
	root := chartWorkspace(t)
	file, chart := filepath.Join(root, "hr.yaml"), filepath.Join(root, "charts/app")
	several, text := filepath.Join(root, "several.yaml"), ""
	for _, of := range []string{"name: app, namespace: apps", "name: b", "name: app, namespace: prod"} {
		text += "apiVersion: helm.toolkit.fluxcd.io/v2\nkind: HelmRelease\nmetadata: {" + of + "}\n---\n"
	}
	write(t, root, "several.yaml", text)
	for name, c := range map[string]struct {
		args []string
		want string
	}{
		"no_data":    {[]string{file, "--chart", chart}, "ConfigMap apps/settings, key values.yaml: no such object"},
		"no_release": {[]string{filepath.Join(root, "values/settings.yaml"), "--chart", chart}, "has no such HelmRelease"},
		"other_name": {[]string{file, "--chart", chart, "--name", "other"}, "has no such HelmRelease"},
		"several": {[]string{several, "--chart", chart}, "has 3 such HelmReleases: apps/app, flux-system/b, prod/app; " +
			"choose one with --name, or with --name and --namespace"},
		"several_of_name": {[]string{several, "--chart", chart, "--name", "app"},
			"has 2 such HelmReleases: apps/app, prod/app"},
		"other_of_several": {[]string{several, "--chart", chart, "-n", "x"}, "has no such HelmRelease, but apps/app, " +
			"flux-system/b, prod/app; choose one"},
		"remote_chart": {[]string{file, "--chart", "oci://example.com/app"}, "nave fetches no charts over oci: get it with " +
			"helm pull"},
		"no_chart": {[]string{file, "--chart", filepath.Join(root, "none")}, "none does not exist: give the folder"},
		"version": {[]string{file, "--chart", chart, "--values-from", filepath.Join(root, "values"), "--kube-version", "new"},
			`"new": want a version`},
		"below": {[]string{file, "--chart", chart, "--root", filepath.Join(root, "values")}, "is not below --root"},
	} {
		t.Run(name, func(t *testing.T) {
			out, err := run(t, append([]string{"build", "helmrelease"}, c.args...)...)
			if err == nil || !strings.Contains(err.Error(), c.want) || out != "" {
				t.Errorf("%v, printed %q", err, out)
			}
		})
	}
}
