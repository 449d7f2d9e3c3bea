package hub_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.etcd.io/bbolt"

	"github.com/navefleet/nave/e2e/gittest"
)

const bystanders = `
---
apiVersion: fleet.nave.io/v1alpha1
kind: Cluster
metadata: {name: b, labels: {env: test}}
---
apiVersion: fleet.nave.io/v1alpha1
kind: Fleet
metadata: {name: other}
spec:
  clusterSelector: {matchLabels: {env: none}}
  template:
    metadata: {name: other}
    spec: {interval: 1h, prune: true, path: ./x, sourceRef: {kind: GitRepository, name: other}}
---
apiVersion: source.toolkit.fluxcd.io/v1
kind: GitRepository
metadata: {name: other, namespace: flux-system}
spec: {interval: 1h, url: "http://127.0.0.1:1/other", ref: {branch: main}}
`

// TestDamagedRows starts a hub with one damaged row. A cluster that the row does not concern gets the next commit, and
// the operator can apply the damaged object again.
func TestDamagedRows(t *testing.T) {
	server, err := gittest.Start(gittest.Options{})
	must(t, err)
	t.Cleanup(func() { _ = server.Close() })
	repository, err := server.NewRepository("fleet")
	must(t, err)
	commit := func(value string) {
		text := "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x, namespace: default}\ndata: {key: " + value + "}\n"
		_, err := repository.Commit(map[string]string{"clusters/a/config.yaml": text, "clusters/b/config.yaml": text}, value)
		must(t, err)
	}
	commit("first")
	seed := t.TempDir()
	r := start(t, seed)
	all := cluster + bystanders + strings.ReplaceAll(rootOfGit, "URL", repository.URL())
	r.apply(all)
	for _, name := range []string{"a", "b"} {
		conn, token := r.join(name)
		newSpoke(t, conn, token).await("first")
	}
	must(t, r.stop())

	const garbage = `{"key": tru`
	for _, c := range []struct{ name, table, key, value string }{
		{"cluster", "resources", "/Cluster//b", garbage},
		{"fleet", "resources", "/Fleet//other", garbage},
		{"source", "resources", "/GitRepository/flux-system/other", garbage},
		{"root", "resources", "b/Kustomization/flux-system/root", garbage},
		{"no_object", "resources", "b/Kustomization/flux-system/root",
			`{"key":{"cluster":"b","kind":"Kustomization","namespace":"flux-system","name":"root"},"object":null}`},
		{"condition", "outcomes", "/Cluster//b", garbage},
		{"artifact", "sources", "stray", garbage},
		{"plan", "plans", "b", garbage},
		{"release", "releases", "b", garbage},
		{"bundle", "desireds", "b", garbage},
		{"spoke", "spokes", "b", garbage},
		{"report", "reports", "b/Kustomization/flux-system/root", garbage},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "hub")
			must(t, os.CopyFS(dir, os.DirFS(seed)))
			must(t, filepath.WalkDir(dir, private))
			damage(t, filepath.Join(dir, "hub.db"), c.table, c.key, c.value)
			commit(c.name + "-changed")
			r := start(t, dir)
			conn, token := r.join("a")
			newSpoke(t, conn, token).await(c.name + "-changed")
			r.apply(all)
		})
	}
}

// private undoes the permissions of os.CopyFS, which lets the group read.
func private(path string, entry os.DirEntry, err error) error {
	if err != nil || entry.IsDir() || strings.Contains(path, "/sources/") {
		return err
	}
	return os.Chmod(path, 0o600)
}

// damage writes a row into the file of a store.
func damage(t *testing.T, file, table, key, value string) {
	t.Helper()
	db, err := bbolt.Open(file, 0o600, nil)
	must(t, err)
	must(t, db.Update(func(tx *bbolt.Tx) error {
		return tx.Bucket([]byte(table)).Put([]byte(key), []byte(value))
	}))
	must(t, db.Close())
}
