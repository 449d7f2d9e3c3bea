package hub_test

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/navefleet/nave/e2e/gittest"
	"github.com/navefleet/nave/hub"
	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/render"
	"github.com/navefleet/nave/hub/internal/source"
	adminv1 "github.com/navefleet/nave/proto/nave/admin/v1"
	"github.com/navefleet/nave/shared/bundle"
)

// kindsFleet gives a cluster a root from a Folder and a root from a GitRepository of the same name.
const kindsFleet = `
apiVersion: test.nave.io/v1beta1
kind: Folder
metadata: {name: fleet, namespace: flux-system}
spec: {interval: 1h, path: FOLDER, legacy: true}
---
apiVersion: source.toolkit.fluxcd.io/v1
kind: GitRepository
metadata: {name: fleet, namespace: flux-system}
spec: {interval: 1h, url: "REPOSITORY", ref: {branch: main}}
---
apiVersion: fleet.nave.io/v1alpha1
kind: Fleet
metadata: {name: from-folder}
spec:
  clusterSelector: {}
  template:
    metadata: {name: from-folder}
    spec: {interval: 1h, prune: true, path: clusters, sourceRef: {kind: Folder, name: fleet}}
---
apiVersion: fleet.nave.io/v1alpha1
kind: Fleet
metadata: {name: from-git}
spec:
  clusterSelector: {}
  template:
    metadata: {name: from-git}
    spec: {interval: 1h, prune: true, path: clusters, sourceRef: {kind: GitRepository, name: fleet}}
`

const greetings = `
apiVersion: test.nave.io/v1
kind: Note
metadata: {name: greetings, namespace: flux-system}
spec: {interval: 1h, path: notes, sourceRef: {kind: Folder, name: fleet}, headingFrom: headings}
`

const headings = `
apiVersion: v1
kind: ConfigMap
metadata: {name: headings, namespace: flux-system}
data: {heading: "Dear reader: "}
`

func configMap(name string) string {
	return "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: " + name + ", namespace: default}\n"
}

// TestNewKinds checks objects of two kinds that only this package's tests know in the whole hub: the source from apply
// to an artifact, the renderable from the source to a signed bundle, both in get, tree and explain, and their deletion.
func TestNewKinds(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		must(t, os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755))
		must(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644))
	}
	write("clusters/note.yaml", greetings)
	write("clusters/config.yaml", configMap("folders-own")+"---"+headings)
	write("notes/hello.txt", "first words")
	server, err := gittest.Start(gittest.Options{})
	must(t, err)
	t.Cleanup(func() { _ = server.Close() })
	repository, err := server.NewRepository("fleet")
	must(t, err)
	_, err = repository.Commit(map[string]string{"clusters/config.yaml": configMap("repositorys-own")}, "begin")
	must(t, err)

	r := start(t, t.TempDir(), func(c *hub.Config) {
		c.Fetchers = map[string]source.Fetcher{"Folder": folderFetcher{}}
		c.Renderers = map[string]render.Renderer{"note": noteRenderer{}}
	})
	r.apply(cluster + "---" + strings.NewReplacer("FOLDER", dir, "REPOSITORY", repository.URL()).Replace(kindsFleet))
	conn, token := r.join("a")
	spoke := newSpoke(t, conn, token)

	spoke.await("repositorys-own")
	spoke.await("Dear reader: first words")
	spoke.awaitApplications("Kustomization from-folder", "Kustomization from-git", "Note greetings")

	revision := r.awaitColumn("folder", "", "fleet", "READY", "True")["REVISION"]
	if !strings.HasPrefix(revision, "folder@") {
		t.Errorf("the Folder shows revision %q", revision)
	}
	if got := r.awaitColumn("note", "a", "greetings", "SOURCE", "fleet:notes")["NAME"]; got != "greetings" {
		t.Errorf("the Note shows name %q", got)
	}
	answer, err := r.admin().Tree(t.Context(), &adminv1.TreeRequest{Key: &adminv1.ObjectKey{Kind: "Cluster", Name: "a"}})
	must(t, err)
	if text := answer.String(); !strings.Contains(text, "Note.test.nave.io flux-system/greetings") {
		t.Errorf("the tree lacks the Note: %s", text)
	}

	write("notes/readme.md", "not a note")
	folderKey := &adminv1.ObjectKey{Kind: "fo", Namespace: "flux-system", Name: "fleet"}
	r.reconcile(folderKey)
	r.awaitColumn("note", "a", "greetings", "READY", "False")
	r.explains(noteMisnamed, "readme.md is not a note", "Let its name end in .txt")
	must(t, os.Remove(filepath.Join(dir, "notes/readme.md")))
	write("CLOSED", "")
	r.reconcile(folderKey)
	r.awaitColumn("folder", "", "fleet", "READY", "False")
	r.explains(folderClosed, dir+" is closed", "Remove the file CLOSED from the folder")
	must(t, os.Remove(filepath.Join(dir, "CLOSED")))
	write("notes/hello.txt", "second words")
	_, err = r.admin().Reconcile(t.Context(), &adminv1.ReconcileRequest{WithSource: true,
		Key: &adminv1.ObjectKey{Kind: "Note", Cluster: "a", Namespace: "flux-system", Name: "greetings"}})
	must(t, err)
	spoke.await("Dear reader: second words")
	write("clusters/config.yaml", configMap("folders-own")+"---"+strings.ReplaceAll(headings, "Dear", "Gentle"))
	r.reconcile(folderKey)
	spoke.await("Gentle reader: second words")

	must(t, os.Remove(filepath.Join(dir, "clusters/note.yaml")))
	r.reconcile(folderKey)
	spoke.awaitApplications("Kustomization from-folder", "Kustomization from-git")
	for _, key := range []*adminv1.ObjectKey{{Kind: "Fleet", Name: "from-folder"}, folderKey} {
		_, err = r.admin().Delete(t.Context(), &adminv1.DeleteRequest{Key: key, Confirmed: true})
		must(t, err)
	}
	spoke.awaitApplications("Kustomization from-git")
	list, err := r.admin().List(t.Context(), &adminv1.ListRequest{Kind: "folders", AllClusters: true})
	if must(t, err); len(list.Objects) > 0 {
		t.Errorf("there is still %v", list.Objects)
	}
}

// explains fails the test unless an explanation has the reason, the text in its message, and the advice.
func (r *rig) explains(reason, text, advice string) {
	r.t.Helper()
	answer, err := r.admin().Explain(r.t.Context(), &adminv1.ExplainRequest{Key: &adminv1.ObjectKey{}})
	must(r.t, err)
	for _, e := range answer.Explanations {
		if e.Reason == reason && strings.Contains(e.Message, text) && e.Advice == advice {
			return
		}
	}
	r.t.Errorf("%s is explained by %s", reason, answer)
}

// reconcile requests a reconciliation of an object.
func (r *rig) reconcile(key *adminv1.ObjectKey) {
	r.t.Helper()
	_, err := r.admin().Reconcile(r.t.Context(), &adminv1.ReconcileRequest{Key: key})
	must(r.t, err)
}

// awaitColumn waits until a column of a list has the text for an object, and returns all columns of the object.
func (r *rig) awaitColumn(kind, cluster, name, column, text string) map[string]string {
	r.t.Helper()
	k, ok := api.KindByName(kind)
	if !ok {
		r.t.Fatalf("no kind is called %s", kind)
	}
	ctx, cancel := context.WithTimeout(r.t.Context(), 30*time.Second)
	defer cancel()
	list := &adminv1.ListRequest{Kind: kind, Cluster: cluster}
	stream, err := r.admin().Watch(ctx, &adminv1.WatchRequest{List: list, Name: name})
	must(r.t, err)
	var columns map[string]string
	for columns[column] != text {
		m, err := stream.Recv()
		if err != nil {
			r.t.Fatalf("%v; the last was %q", err, columns)
		}
		var object map[string]any
		if json.Unmarshal(m.GetObject().GetJson(), &object) != nil {
			continue // all of the list is sent
		}
		columns = map[string]string{}
		for _, c := range k.Columns {
			columns[c.Name] = c.Value(object)
		}
	}
	return columns
}

// awaitApplications takes offers until a bundle has these applications.
func (s *spoke) awaitApplications(want ...string) {
	s.t.Helper()
	s.awaitBundle(func(b *bundle.Bundle) bool {
		var names []string
		for _, e := range b.Applications {
			names = append(names, e.Name.Kind+" "+e.Name.Name)
		}
		return slices.Equal(names, want)
	})
}
