package main

import (
	"os"
	"os/exec"
	"strings"
	"testing"
)

// composedFiles is a repository whose Kustomizations render an artifact of an ArtifactGenerator and one that includes
// another.
var composedFiles = map[string]string{
	"clusters/prod/sources.yaml": `apiVersion: source.toolkit.fluxcd.io/v1
kind: GitRepository
metadata: {name: fleet, namespace: flux-system}
spec: {interval: 1m, url: "https://git.example.com/org/fleet"}
---
apiVersion: source.toolkit.fluxcd.io/v1
kind: GitRepository
metadata: {name: whole, namespace: flux-system}
spec:
  interval: 1m
  url: "https://git.example.com/org/fleet"
  ignore: "/*\n!/base\n!/included"
  include: [{repository: {name: parts}, fromPath: shared, toPath: included}]
---
apiVersion: source.toolkit.fluxcd.io/v1
kind: GitRepository
metadata: {name: parts, namespace: flux-system}
spec: {interval: 1m, url: "https://git.example.com/org/parts"}
---
apiVersion: source.extensions.fluxcd.io/v1beta1
kind: ArtifactGenerator
metadata: {name: apps, namespace: flux-system}
spec:
  sources: [{alias: fleet, kind: GitRepository, name: fleet}, {alias: whole, kind: GitRepository, name: whole}]
  artifacts:
  - name: apps
    copy:
    - {from: "@fleet/base/**", to: "@artifact/base/"}
    - {from: "@whole/included/**", to: "@artifact/included/"}
`,
	"clusters/prod/apps.yaml": `apiVersion: kustomize.toolkit.fluxcd.io/v1
kind: Kustomization
metadata: {name: generated, namespace: flux-system}
spec: {interval: 1m, prune: true, path: ./, sourceRef: {kind: ExternalArtifact, name: apps}}
---
apiVersion: kustomize.toolkit.fluxcd.io/v1
kind: Kustomization
metadata: {name: included, namespace: flux-system}
spec: {interval: 1m, prune: true, path: ./included, namePrefix: own-, sourceRef: {kind: GitRepository, name: whole}}
`,
	"base/app.yaml":     "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: base, namespace: default}\n",
	".sourceignore":     "ignored.yaml\n",
	"base/ignored.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: ignored, namespace: default}\n",
}

// TestBuildCluster_composed composes the artifacts of a checkout as the hub does, and leaves nothing on disk.
func TestBuildCluster_composed(t *testing.T) {
	fleet := tree(t, composedFiles)
	parts := tree(t, map[string]string{"shared/shared.yaml": "apiVersion: v1\nkind: ConfigMap\n" +
		"metadata: {name: shared, namespace: default}\n", "other/other.yaml": "not: wanted\n"})
	t.Setenv("PATH", searchPath)
	for _, args := range [][]string{{"init", "-q"}, {"remote", "add", "origin", "git@git.example.com:org/fleet.git"}} {
		if out, err := exec.Command("git", append([]string{"-C", fleet}, args...)...).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	temporary := t.TempDir()
	t.Setenv("TMPDIR", temporary)
	build := func(args ...string) (string, error) {
		t.Setenv("PATH", searchPath)
		return run(t, append([]string{"build", "cluster", "prod", fleet, "--path", "clusters/prod"}, args...)...)
	}
	source := "--local-sources=GitRepository/flux-system/parts="
	out, err := build(source + parts)
	if err != nil {
		t.Fatal(err)
	}
	for name, count := range map[string]int{"base": 1, "shared": 1, "own-shared": 1, "ignored": 0} {
		if n := strings.Count(out, "name: "+name+"\n"); n != count {
			t.Errorf("%s is there %d times, want %d, in:\n%s", name, n, count, out)
		}
	}
	_, err = build()
	if err == nil || !strings.Contains(err.Error(), "no folder stands for GitRepository flux-system/parts") {
		t.Errorf("without an input: %v", err)
	}
	_, err = build(source + tree(t, nil))
	if err == nil || !strings.Contains(err.Error(), "there is no shared in GitRepository flux-system/parts") {
		t.Errorf("with an input that lacks what is included: %v", err)
	}
	if left, err := os.ReadDir(temporary); err != nil || len(left) > 0 {
		t.Errorf("%v stay on disk, %v", left, err)
	}
}
