package hub_test

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.etcd.io/bbolt"

	"github.com/navefleet/nave/e2e/gittest"
	adminv1 "github.com/navefleet/nave/proto/nave/admin/v1"
	"github.com/navefleet/nave/shared/condition"
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
	for _, c := range []struct {
		name, table, key, value string
		shown                   []string // objects with a status that tells of it
	}{
		{"cluster", "resources", "/Cluster//b", garbage, []string{"/b"}},
		{"fleet", "resources", "/Fleet//other", garbage, nil},
		{"source", "resources", "/GitRepository/flux-system/other", garbage, nil},
		{"root", "resources", "b/Kustomization/flux-system/root", garbage, nil}, // its Fleet gives it anew
		{"stray", "resources", "b/Kustomization/flux-system/stray", garbage, []string{"b/stray", "/b"}},
		{"no_object", "resources", "b/Kustomization/flux-system/root",
			`{"key":{"cluster":"b","kind":"Kustomization","namespace":"flux-system","name":"root"},"object":null}`, nil},
		{"condition", "outcomes", "/Cluster//b", garbage, nil},
		{"artifact", "sources", "stray", garbage, nil},
		{"plan", "plans", "b", garbage, nil},
		{"release", "releases", "b", garbage, nil},
		{"bundle", "desireds", "b", garbage, nil},
		{"refusal", "refusals", "b", garbage, nil},
		{"spoke", "spokes", "b", garbage, []string{"b/root", "/b"}},
		{"report_bytes", "reports", "b/Kustomization/flux-system/root",
			`{"value":"//8=","receivedAt":"2026-11-20T00:00:00Z"}`, []string{"b/root"}},
		{"confirmation", "confirmations", "/Cluster//b", garbage, nil},
		{"history", "history", "b/00000000000000000001-00000000000000000001", garbage, nil},
		{"pin", "pins", "b", garbage, []string{"b/root", "/b"}},
		{"token", "jointokens", "stray", garbage, nil},
		{"report", "reports", "b/Kustomization/flux-system/root", garbage, []string{"b/root", "/b"}},
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
			kustomizations, clusters := r.list("kustomizations"), r.list("clusters")
			if kustomizations["a/root"] == "" || clusters["/a"] == "" {
				t.Errorf("%v\n%v", kustomizations, clusters)
			}
			for _, path := range c.shown {
				if text := kustomizations[path] + clusters[path]; !strings.Contains(text, condition.StorageOperationFailed) {
					t.Errorf("%s does not tell that its row is damaged: %s", path, text)
				}
			}
			explained, err := r.admin().Explain(t.Context(), &adminv1.ExplainRequest{
				Key: &adminv1.ObjectKey{Kind: "Cluster", Name: "a"},
			})
			if err != nil {
				t.Errorf("explain of a: %v, %v", explained, err)
			}
			r.askAll(repository)
			r.apply(all)
		})
	}
}

// askAll asks what an operator may ask about the whole fleet or about cluster b. A damaged row is no reason to fail.
func (r *rig) askAll(repository *gittest.Repository) {
	r.t.Helper()
	ctx, client := r.t.Context(), r.admin()
	manifest := cluster + strings.ReplaceAll(rootOfGit, "URL", repository.URL())
	b := &adminv1.ObjectKey{Kind: "Cluster", Name: "b"}
	for _, change := range []*adminv1.ImpactRequest{
		{Change: &adminv1.ImpactRequest_Delete{Delete: &adminv1.ObjectKey{Kind: "Cluster", Name: "a"}}},
		{Change: &adminv1.ImpactRequest_Apply{Apply: []byte(manifest + bystanders)}},
		{Change: &adminv1.ImpactRequest_Confirm{Confirm: b}},
		{Change: &adminv1.ImpactRequest_Confirm{}},
	} {
		if _, err := client.Impact(ctx, change); err != nil {
			r.t.Errorf("impact of %v: %v", change, err)
		}
	}
	if _, err := client.History(ctx, &adminv1.HistoryRequest{Cluster: "b"}); err != nil {
		r.t.Errorf("history of b: %v", err)
	}
	if _, err := client.CreateJoinToken(ctx, &adminv1.CreateJoinTokenRequest{Cluster: "a"}); err != nil {
		r.t.Errorf("join token of a: %v", err)
	}
	stream, err := client.Published(ctx, &adminv1.PublishedRequest{})
	must(r.t, err)
	released := map[string]bool{}
	for {
		part, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			break
		}
		must(r.t, err)
		released[part.GetCluster().GetCluster()] = true
	}
	if !released["a"] || !released["b"] {
		r.t.Errorf("releases of %v, want a and b", released)
	}
}

// list returns the objects of a kind in all clusters as JSON, by cluster and name.
func (r *rig) list(kind string) map[string]string {
	r.t.Helper()
	answer, err := r.admin().List(r.t.Context(), &adminv1.ListRequest{Kind: kind, AllClusters: true})
	must(r.t, err)
	objects := map[string]string{}
	for _, o := range answer.Objects {
		objects[o.Key.Cluster+"/"+o.Key.Name] = string(o.Json)
	}
	return objects
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
