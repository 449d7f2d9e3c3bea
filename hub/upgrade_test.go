package hub_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/navefleet/nave/e2e/gittest"
	"github.com/navefleet/nave/hub/internal/artifact"
	"github.com/navefleet/nave/hub/internal/store"
	adminv1 "github.com/navefleet/nave/proto/nave/admin/v1"
	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/condition"
	"github.com/navefleet/nave/shared/manifest"
)

// TestUpgrade starts a hub on the rows of sources and the artifacts that hubs wrote until November 2026, while the Git
// server is down. The artifact stays, no source is reported as missing, and no bundle is signed until an operator
// requests a reconciliation.
func TestUpgrade(t *testing.T) {
	server, err := gittest.Start(gittest.Options{})
	must(t, err)
	t.Cleanup(func() { _ = server.Close() })
	repository, err := server.NewRepository("fleet")
	must(t, err)
	_, err = repository.Commit(map[string]string{
		"clusters/a/config.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x, namespace: default}\n",
	}, "one")
	must(t, err)
	r := start(t, t.TempDir())
	r.apply(cluster + strings.ReplaceAll(rootOfGit, "URL", repository.URL()))
	conn, token := r.join("a")
	was := newSpoke(t, conn, token).awaitBundle(func(b *bundle.Bundle) bool { return len(b.Applications) == 1 })
	dir := filepath.Dir(r.OperatorConfig())
	must(t, r.stop())
	server.Break(gittest.Error)
	former := manifest.DigestOf(fmt.Appendf(nil, `{"url":%q,"ref":{"branch":"main"}}`, repository.URL())).String()
	fetched := changeSource(t, dir, func(tx *store.Tx, key string, row store.Fetched) error {
		must(t, store.Sources.Delete(tx, key))
		older := toOlder(t, filepath.Join(dir, "sources"), *row.Artifact)
		row.Artifact = &older
		return store.Sources.Put(tx, former, row)
	})

	r = start(t, dir)
	r.awaitColumn("GitRepository", "", "fleet", "READY", "False")
	r.reconcile(&adminv1.ObjectKey{Kind: "Kustomization", Cluster: "a", Namespace: "flux-system", Name: "root"})
	conn, token = r.join("a")
	requested := func(b *bundle.Bundle) bool { return len(b.Applications) == 0 || b.Applications[0].RequestedAt != "" }
	now := newSpoke(t, conn, token).awaitBundle(requested)
	if now.Sequence != was.Sequence+1 || now.Incomplete || now.Applications[0].Digest != was.Applications[0].Digest {
		t.Errorf("bundle was %+v, now it is %+v", was, now)
	}
	must(t, r.stop())
	kept := changeSource(t, dir, func(tx *store.Tx, _ string, _ store.Fetched) error {
		return store.Events.Scan(tx, "", func(_ string, e store.Event) error {
			if e.Reason == condition.SourceNotReady && e.Time.After(fetched.CheckedAt) {
				t.Errorf("event %+v", e)
			}
			return nil
		})
	})
	if kept.Artifact == nil || *kept.Artifact != *fetched.Artifact {
		t.Errorf("the source has %+v, had %+v", kept, fetched)
	}
}

// toOlder makes an artifact one of a hub of before: a tree of files and an index.
func toOlder(t *testing.T, sources string, a artifact.Artifact) artifact.Artifact {
	t.Helper()
	s := artifact.New(sources)
	files, err := artifact.Workspace{Dir: sources}.Files(a)
	must(t, err)
	home := filepath.Dir(filepath.Dir(s.Path(a)))
	digest := artifact.DigestOf(files)
	tree := filepath.Join(home, strings.TrimPrefix(digest.String(), "sha256:"), "tree")
	must(t, s.Export(t.Context(), a, tree))
	var index strings.Builder
	for _, f := range files {
		fmt.Fprintf(&index, "%s %d %s\t%s\n", f.Mode, f.Size, f.Content, f.Path)
	}
	must(t, os.WriteFile(filepath.Join(tree, "..", "index"), []byte(index.String()), 0o444))
	for _, kind := range []string{"roots", "folders", "contents"} {
		must(t, os.RemoveAll(filepath.Join(home, kind)))
	}
	a.Dir, a.Digest = strings.TrimPrefix(tree, sources+"/"), digest
	return a
}

// changeSource calls change with the only row of a source in a hub's store, and returns the row.
func changeSource(t *testing.T, dir string, change func(*store.Tx, string, store.Fetched) error) (row store.Fetched) {
	t.Helper()
	s, err := store.Open(filepath.Join(dir, "hub.db"))
	must(t, err)
	rows := map[string]store.Fetched{}
	must(t, s.Update(t.Context(), func(tx *store.Tx) error {
		err := store.Sources.Scan(tx, "", func(key string, row store.Fetched) error {
			rows[key] = row
			return nil
		})
		for key, found := range rows {
			row = found
			must(t, change(tx, key, row))
		}
		return err
	}))
	must(t, s.Close())
	if len(rows) != 1 {
		t.Fatalf("sources are %+v", rows)
	}
	return row
}

const rootOfGit = `
---
apiVersion: source.toolkit.fluxcd.io/v1
kind: GitRepository
metadata: {name: fleet, namespace: flux-system}
spec: {interval: 1h, url: "URL", ref: {branch: main}}
---
apiVersion: fleet.nave.io/v1alpha1
kind: Fleet
metadata: {name: all}
spec:
  clusterSelector: {matchLabels: {env: test}}
  template:
    metadata: {name: root}
    spec: {interval: 1h, prune: true, path: "./clusters/${cluster_name}", sourceRef: {kind: GitRepository, name: fleet}}
`
