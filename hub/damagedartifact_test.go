package hub_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestDamagedArtifact damages the contents of an artifact while the hub runs. What reads them has them fetched again at
// once, although the server has nothing new and the interval is long.
func TestDamagedArtifact(t *testing.T) {
	_, repository := gitServer(t)
	commit(t, repository, map[string]string{"a/a.yaml": cluster, "a/kustomization.yaml": "resources: [a.yaml]\n",
		"b/b.yaml":             strings.ReplaceAll(cluster, "name: a", "name: b"),
		"b/kustomization.yaml": "resources: [b.yaml]\nnamePrefix: x-\n"})
	dir := t.TempDir()
	r := start(t, dir)
	source := `
apiVersion: source.toolkit.fluxcd.io/v1
kind: GitRepository
metadata: {name: fleet, namespace: flux-system}
spec: {interval: 1h, url: "` + repository.URL() + `", ref: {branch: main}}
`
	kustomization := func(name string) string {
		return `
---
apiVersion: kustomize.toolkit.fluxcd.io/v1
kind: Kustomization
metadata: {name: ` + name + `, namespace: flux-system}
spec: {interval: 1h, prune: true, path: ./` + name + `, sourceRef: {kind: GitRepository, name: fleet}}
`
	}
	r.apply(source + kustomization("a"))
	r.await("Kustomization", "a", "ReconciliationSucceeded")
	damage := func() {
		t.Helper()
		contents, err := filepath.Glob(filepath.Join(dir, "sources", "artifacts", "*", "contents", "*"))
		must(t, err)
		for _, file := range contents {
			must(t, os.Chmod(file, 0o600))
			must(t, os.WriteFile(file, []byte("damaged"), 0o600))
		}
	}
	damage()
	r.apply(kustomization("b"))
	r.await("Kustomization", "b", "ReconciliationSucceeded")
	damage()
	including := strings.NewReplacer("name: fleet", "name: including", "main}}",
		"main}, include: [{repository: {name: fleet}, fromPath: a, toPath: included}]}").Replace(source)
	r.apply(including)
	r.await("GitRepository", "including", `"reason":"Succeeded"`)
}
