package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/manifest"
)

// workspace makes a Git work tree with an application and its Kustomization, and returns it.
func workspace(t *testing.T, files map[string]string) string {
	t.Helper()
	root := t.TempDir()
	all := map[string]string{
		".git/HEAD": "ref: refs/heads/main\n",
		"clusters/prod/apps.yaml": "apiVersion: kustomize.toolkit.fluxcd.io/v1\nkind: Kustomization\n" +
			"metadata: {name: apps, namespace: flux-system}\nspec:\n  interval: 10m\n  prune: true\n  path: ./elsewhere\n" +
			"  sourceRef: {kind: GitRepository, name: fleet}\n  postBuild: {substitute: {size: large}}\n" +
			"---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: other}\n",
		"apps/prod/kustomization.yaml": "resources: [../base]\n",
		"apps/base/kustomization.yaml": "resources: [settings.yaml]\n",
		"apps/base/settings.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: settings}\ndata: {size: " +
			"'${size}'}\n",
	}
	for name, content := range files {
		all[name] = content
	}
	for name, content := range all {
		file := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

// buildWith runs "nave build kustomization" and returns its output.
func buildWith(t *testing.T, args ...string) (string, error) {
	t.Helper()
	var out, messages bytes.Buffer
	cmd, _ := program(&out, &messages)
	cmd.SetArgs(append([]string{"build", "kustomization"}, args...))
	err := cmd.ExecuteContext(t.Context())
	return out.String(), err
}

func TestBuild(t *testing.T) {
	root := workspace(t, nil)
	out, err := buildWith(t, "apps", "--path", filepath.Join(root, "apps/prod"), "--kustomization-file",
		filepath.Join(root, "clusters/prod/apps.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	objects, err := manifest.Parse([]byte(out))
	if err != nil || len(objects) != 1 {
		t.Fatalf("%v: %s", err, out)
	}
	data, _ := objects[0].Object["data"].(map[string]any)
	if data["size"] != "large" || objects[0].GetLabels()["kustomize.toolkit.fluxcd.io/name"] != "apps" {
		t.Errorf("printed:\n%s", out)
	}
}

func TestBuild_links(t *testing.T) {
	root := workspace(t, nil)
	file := filepath.Join(root, "clusters/prod/apps.yaml")
	_, err := buildWith(t, "apps", "--path", filepath.Join(root, "apps/prod"), "--kustomization-file", file, "--root",
		filepath.Join(root, "apps/prod"))
	if err == nil {
		t.Error("built with a base above the root")
	}
	_, err = buildWith(t, "apps", "--path", filepath.Join(root, "apps/prod"), "--kustomization-file", file, "--root",
		filepath.Join(root, "clusters"))
	if err == nil || !strings.Contains(err.Error(), "is not below --root") {
		t.Errorf("error %v", err)
	}
}

func TestBuild_ignored(t *testing.T) {
	extra := "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: extra}\n"
	root := workspace(t, map[string]string{
		"plain/a.yaml":               "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n",
		"plain/.github/workflow.yml": "on: push\n",
		"plain/draft.yaml":           extra,
		".sourceignore":              "draft.yaml\n.github/\n",
		"plain/late.yaml":            extra,
	})
	out, err := buildWith(t, "apps", "--path", filepath.Join(root, "plain"), "--kustomization-file",
		filepath.Join(root, "clusters/prod/apps.yaml"),
		"--ignore-paths", "late.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(out, "extra") || !strings.Contains(out, "name: a\n") {
		t.Errorf("printed:\n%s", out)
	}
}

func TestBuild_variables(t *testing.T) {
	root := workspace(t, map[string]string{"apps/base/settings.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: " +
		"{name: settings}\ndata: {size: 'x${unknown}'}\n"})
	args := []string{"apps", "--path", filepath.Join(root, "apps/prod"), "--kustomization-file",
		filepath.Join(root, "clusters/prod/apps.yaml")}
	for _, c := range []struct {
		flags []string
		fails bool
	}{
		{nil, true},
		{[]string{"--dry-run"}, false},
		{[]string{"--dry-run", "--strict-substitute"}, true},
		{[]string{"--strict-substitute=false"}, false},
	} {
		_, err := buildWith(t, append(args, c.flags...)...)
		if (err != nil) != c.fails {
			t.Errorf("%v: %v", c.flags, err)
		}
		if c.fails && !strings.Contains(err.Error(), `"unknown"`) {
			t.Errorf("%v: the error does not name the variable: %v", c.flags, err)
		}
	}
}

func TestBuild_wrong_file(t *testing.T) {
	root := workspace(t, map[string]string{
		"refused.yaml": "apiVersion: kustomize.toolkit.fluxcd.io/v1\nkind: Kustomization\nmetadata: {name: apps, " +
			"namespace: flux-system}\n" +
			"spec: {interval: 10m, prune: true, sourceRef: {kind: GitRepository, name: fleet}, kubeConfig: {secretRef: {name: " +
			"x}}}\n",
	})
	dir := filepath.Join(root, "apps/prod")
	for _, c := range []struct{ name, file, want string }{
		{"other", "clusters/prod/apps.yaml", "has no Kustomization other"},
		{"apps", "refused.yaml", "kubeConfig"},
		{"apps", "missing.yaml", "missing.yaml"},
	} {
		out, err := buildWith(t, c.name, "--path", dir, "--kustomization-file", filepath.Join(root, c.file))
		if err == nil || !strings.Contains(err.Error(), c.want) || out != "" {
			t.Errorf("%s in %s: %v, printed %q", c.name, c.file, err, out)
		}
	}
	if _, err := buildWith(t, "apps", "--path", t.TempDir(), "--kustomization-file",
		filepath.Join(root, "clusters/prod/apps.yaml")); err == nil ||
		!strings.Contains(err.Error(), "--root") {
		t.Errorf("error %v", err)
	}
}

// TestShowTexts shows variables as they are written, also inside of longer texts.
func TestShowTexts(t *testing.T) {
	o := &manifest.Object{Object: map[string]any{"host": "navexabc.example.com", "whole": "navexabc"}}
	showTexts([]*manifest.Object{o}, &bundle.Substitution{Expressions: []bundle.Expression{
		{Placeholder: "navexabc", Text: "${domain}"}}})
	if o.Object["host"] != "${domain}.example.com" || o.Object["whole"] != "${domain}" {
		t.Errorf("got %v", o.Object)
	}
}
