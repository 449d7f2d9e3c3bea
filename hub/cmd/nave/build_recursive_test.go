package main

import (
	"path/filepath"
	"strings"
	"testing"
)

// recursiveFiles is a Kustomization that gives another one, of another source.
var recursiveFiles = map[string]string{
	"root.yaml": `apiVersion: kustomize.toolkit.fluxcd.io/v1
kind: Kustomization
metadata: {name: root, namespace: flux-system}
spec:
  interval: 10m
  prune: true
  suspend: true
  path: ./elsewhere
  dependsOn: [{name: unknown}]
  sourceRef: {kind: GitRepository, name: fleet}
  postBuild: {substitute: {size: "$${plain}"}}
`,
	"root/child.yaml": `apiVersion: kustomize.toolkit.fluxcd.io/v1
kind: Kustomization
metadata: {name: app, namespace: flux-system}
spec: {interval: 10m, prune: true, path: ./app, sourceRef: {kind: GitRepository, name: app}, postBuild: {substitute: {size: small}}}
`,
	"root/own.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: own, namespace: default}\ndata: {size: '${size}'}\n",
}

func TestBuildKustomization_recursive(t *testing.T) {
	root, app := tree(t, recursiveFiles), tree(t, appFiles)
	args := []string{"build", "kustomization", "root", "--path", filepath.Join(root, "root"), "--root", root,
		"--kustomization-file", filepath.Join(root, "root.yaml"), "--recursive"}
	out, err := run(t, append(args, "--local-sources=GitRepository/flux-system/app="+app)...)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"name: own", "size: $${plain}", "kind: Kustomization", "name: settings", "size: small"} {
		if !strings.Contains(out, want) {
			t.Errorf("without %q:\n%s", want, out)
		}
	}
	if strings.Index(out, "name: own") > strings.Index(out, "name: settings") {
		t.Errorf("a child is in front of its parent:\n%s", out)
	}
	out, err = run(t, args...)
	if err == nil || !strings.Contains(err.Error(), "GitRepository flux-system/app") ||
		!strings.Contains(out, "name: own") {
		t.Errorf("without the source of app: %v, printed:\n%s", err, out)
	}
}

func TestBuildKustomization_flags(t *testing.T) {
	root := tree(t, recursiveFiles)
	args := []string{"build", "kustomization", "root", "--path", filepath.Join(root, "root"), "--root", root,
		"--kustomization-file", filepath.Join(root, "root.yaml")}
	for _, c := range []struct{ name, flag, want string }{
		{"in_memory", "--in-memory-build", ""},
		{"not_in_memory", "--in-memory-build=false", "never writes"},
		{"ignore_not_found", "--ignore-not-found", "does nothing with --kustomization-file"},
		{"cluster", "--cluster=x", "does nothing here"},
		{"local_sources", "--local-sources=GitRepository/app", "want Kind/namespace/name=DIR"},
	} {
		t.Run(c.name, func(t *testing.T) {
			flags := append([]string{"--recursive"}, c.flag)
			if c.want == "" {
				flags = flags[1:]
			}
			_, err := run(t, append(args, flags...)...)
			if (err != nil) != (c.want != "") || err != nil && !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want %q", err, c.want)
			}
		})
	}
}
