package hub_test

import (
	"context"
	"encoding/json"
	"strings"
	"sync"
	"testing"

	"github.com/navefleet/nave/e2e/gittest"
	"github.com/navefleet/nave/hub"
	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/render"
	"github.com/navefleet/nave/hub/internal/render/kustomize"
	adminv1 "github.com/navefleet/nave/proto/nave/admin/v1"
)

const includingFleet = `
apiVersion: source.toolkit.fluxcd.io/v1
kind: GitRepository
metadata: {name: shared, namespace: flux-system}
spec: {interval: 1h, url: "SHARED", ref: {branch: main}}
---
apiVersion: source.toolkit.fluxcd.io/v1
kind: GitRepository
metadata: {name: fleet, namespace: flux-system}
spec:
  interval: 1h
  url: "FLEET"
  ref: {branch: main}
  include: [{repository: {name: shared}, fromPath: apps, toPath: clusters/shared}]
---
apiVersion: fleet.nave.io/v1alpha1
kind: Fleet
metadata: {name: all}
spec:
  clusterSelector: {}
  template:
    metadata: {name: root}
    spec: {interval: 1h, prune: true, path: clusters, sourceRef: {kind: GitRepository, name: fleet}}
`

// gitServer starts a git server with one repository.
func gitServer(t *testing.T) (*gittest.Server, *gittest.Repository) {
	t.Helper()
	server, err := gittest.Start(gittest.Options{})
	must(t, err)
	t.Cleanup(func() { _ = server.Close() })
	repository, err := server.NewRepository("fleet")
	must(t, err)
	return server, repository
}

func commit(t *testing.T, r *gittest.Repository, files map[string]string) {
	t.Helper()
	_, err := r.Commit(files, "change")
	must(t, err)
}

func sourceKey(kind, name string) *adminv1.ObjectKey {
	return &adminv1.ObjectKey{Kind: kind, Namespace: "flux-system", Name: name}
}

// TestInclude has a repository that includes another one. The included one changes, the server of the including one
// fails, both have the same file, and the included one is deleted.
func TestInclude(t *testing.T) {
	fleetServer, fleet := gitServer(t)
	_, shared := gitServer(t)
	commit(t, fleet, map[string]string{"clusters/own.yaml": configMap("own")})
	commit(t, shared, map[string]string{"apps/one.yaml": configMap("included-one"), "other/x.yaml": "not yaml: ["})

	r := start(t, t.TempDir())
	r.apply(cluster + "---" + strings.NewReplacer("FLEET", fleet.URL(), "SHARED", shared.URL()).Replace(includingFleet))
	conn, token := r.join("a")
	spoke := newSpoke(t, conn, token)
	spoke.await("included-one")
	r.awaitColumn("gitrepo", "", "fleet", "READY", "True")

	fleetServer.Break(gittest.Error)
	commit(t, shared, map[string]string{"apps/one.yaml": configMap("included-two")})
	r.reconcile(sourceKey("GitRepository", "shared"))
	spoke.await("included-two")
	fleetServer.Heal()

	commit(t, fleet, map[string]string{"clusters/shared/taken.yaml": configMap("taken")})
	r.reconcile(sourceKey("GitRepository", "fleet"))
	columns := r.awaitColumn("gitrepo", "", "fleet", "READY", "False")
	for _, word := range []string{"spec.include[0]", "clusters/shared", "toPath"} {
		if !strings.Contains(columns["MESSAGE"], word) {
			t.Errorf("the message lacks %q: %s", word, columns["MESSAGE"])
		}
	}
	commit(t, shared, map[string]string{"apps/one.yaml": configMap("included-three")})
	_, err := fleet.Remove("make room", "clusters/shared/taken.yaml")
	must(t, err)
	_, err = r.admin().Reconcile(t.Context(), &adminv1.ReconcileRequest{WithSource: true,
		Key: &adminv1.ObjectKey{Kind: "Kustomization", Cluster: "a", Namespace: "flux-system", Name: "root"}})
	must(t, err)
	spoke.await("included-three")
	r.awaitColumn("gitrepo", "", "fleet", "READY", "True")

	_, err = r.admin().
		Delete(t.Context(), &adminv1.DeleteRequest{Key: sourceKey("GitRepository", "shared"), Confirmed: true})
	must(t, err)
	columns = r.awaitColumn("gitrepo", "", "fleet", "READY", "False")
	if want := "spec.include[0]: source not found: there is no GitRepository flux-system/shared"; !strings.Contains(
		columns["MESSAGE"], want) {
		t.Errorf("got %q, want %q", columns["MESSAGE"], want)
	}
	columns = r.awaitColumn("ks", "a", "root", "READY", "False")
	if !strings.Contains(columns["MESSAGE"], "there is no GitRepository flux-system/shared") {
		t.Errorf("the Kustomization says %q", columns["MESSAGE"])
	}
	if b := spoke.await("included-three"); len(b.Applications) != 1 { // the last bundle stays
		t.Errorf("the bundle has %v", b.Applications)
	}
}

// TestInclude_loop includes two repositories in each other. The conditions of both name the loop.
func TestInclude_loop(t *testing.T) {
	_, repository := gitServer(t)
	commit(t, repository, map[string]string{"clusters/own.yaml": configMap("own")})
	r := start(t, t.TempDir())
	var objects string
	for _, names := range [][]string{{"a", "b"}, {"b", "a"}} {
		objects += "---\napiVersion: source.toolkit.fluxcd.io/v1\nkind: GitRepository\nmetadata: {name: " + names[0] +
			", namespace: flux-system}\nspec:\n  interval: 1h\n  url: " + repository.URL() +
			"\n  include: [{repository: {name: " + names[1] + "}}]\n"
	}
	r.apply(objects)
	for name, want := range map[string]string{
		"a": "a → GitRepository flux-system/b → GitRepository flux-system/a",
		"b": "b → GitRepository flux-system/a → GitRepository flux-system/b",
	} {
		columns := r.awaitColumn("gitrepo", "", name, "READY", "False")
		if !strings.Contains(columns["MESSAGE"], want) {
			t.Errorf("%s: got %q", name, columns["MESSAGE"])
		}
	}
}

const generator = `
apiVersion: source.extensions.fluxcd.io/v1beta1
kind: ArtifactGenerator
metadata: {name: apps, namespace: flux-system}
spec:
  sources: [{alias: repo, kind: GitRepository, name: fleet}]
  pathPattern: "@repo/apps/{app}"
  artifacts: [{name: "app-{app}", copy: [{from: "@repo/apps/{app}/**", to: "@artifact/"}]}]
`

func ofArtifact(name string) string {
	return "apiVersion: kustomize.toolkit.fluxcd.io/v1\nkind: Kustomization\nmetadata: {name: " + name +
		", namespace: flux-system}\nspec:\n  interval: 1h\n  prune: true\n  sourceRef: {kind: ExternalArtifact, name: app-" +
		name + "}\n"
}

// counting counts the renders of each Kustomization.
type counting struct {
	render.Renderer
	mu     sync.Mutex
	counts map[string]int
}

func (c *counting) Render(ctx context.Context, r render.Request) (*render.Result, error) {
	var b api.Build
	if err := json.Unmarshal(r.Spec, &b); err != nil {
		return nil, err
	}
	c.mu.Lock()
	c.counts[b.Name]++
	c.mu.Unlock()
	return c.Renderer.Render(ctx, r)
}

// since returns how often each Kustomization was rendered since the last call.
func (c *counting) since() map[string]int {
	c.mu.Lock()
	defer c.mu.Unlock()
	counts := c.counts
	c.counts = map[string]int{}
	return counts
}

// TestGenerator splits one repository into artifacts of its folders. A commit renders only those Kustomizations whose
// files it touches.
func TestGenerator(t *testing.T) {
	_, fleet := gitServer(t)
	commit(t, fleet, map[string]string{
		"clusters/generator.yaml": generator, "clusters/one.yaml": ofArtifact("one"), "clusters/two.yaml": ofArtifact("two"),
		"apps/one/x.yaml": configMap("of-one"), "apps/two/x.yaml": configMap("of-two"),
	})
	renders := &counting{Renderer: kustomize.Renderer{}, counts: map[string]int{}}
	r := start(t, t.TempDir(), func(c *hub.Config) { c.Renderers = map[string]render.Renderer{kustomize.Name: renders} })
	text := strings.ReplaceAll(strings.ReplaceAll(includingFleet, "FLEET", fleet.URL()), "SHARED", fleet.URL())
	r.apply(cluster + "---" + strings.Replace(text,
		"include: [{repository: {name: shared}, fromPath: apps, toPath: clusters/shared}]", "", 1))
	conn, token := r.join("a")
	spoke := newSpoke(t, conn, token)
	spoke.await("of-one")
	spoke.await("of-two")
	spoke.awaitApplications("ArtifactGenerator apps", "Kustomization one", "Kustomization root", "Kustomization two")
	two := r.awaitColumn("ea", "a", "app-two", "READY", "True")["REVISION"]
	if !strings.HasPrefix(two, "latest@sha256:") {
		t.Errorf("app-two has revision %q", two)
	}

	renders.since()
	commit(t, fleet, map[string]string{"README": "not of an app", "apps/one/x.yaml": configMap("of-one-again")})
	r.reconcile(sourceKey("GitRepository", "fleet"))
	spoke.await("of-one-again")
	if got := renders.since(); len(got) != 1 || got["one"] == 0 {
		t.Errorf("rendered %v, want one alone", got)
	}
	if now := r.awaitColumn("ea", "a", "app-two", "READY", "True")["REVISION"]; now != two {
		t.Errorf("app-two has revision %q, had %q", now, two)
	}

	commit(
		t,
		fleet,
		map[string]string{"apps/three/x.yaml": configMap("of-three"), "clusters/three.yaml": ofArtifact("three"),
			"clusters/four.yaml": ofArtifact("four")},
	)
	r.reconcile(sourceKey("GitRepository", "fleet"))
	spoke.await("of-three")
	columns := r.awaitColumn("ks", "a", "four", "READY", "False")
	for _, word := range []string{"there is no ExternalArtifact flux-system/app-four", "spec.artifacts"} {
		if !strings.Contains(columns["MESSAGE"], word) {
			t.Errorf("the message lacks %q: %s", word, columns["MESSAGE"])
		}
	}

	commit(t, fleet, map[string]string{"apps/two/b/y.yaml": configMap("more"), "clusters/generator.yaml": strings.Replace(
		generator, `to: "@artifact/"}`, `to: "@artifact/"}, {from: "@repo/apps/two/b", to: "@artifact/x.yaml/"}`, 1)})
	r.reconcile(sourceKey("GitRepository", "fleet"))
	columns = r.awaitColumn("ea", "a", "app-two", "READY", "False")
	if !strings.Contains(columns["MESSAGE"], "copy[1]") ||
		!strings.Contains(columns["MESSAGE"], "x.yaml is already a file") {
		t.Errorf("app-two says %q", columns["MESSAGE"])
	}
	spoke.await("of-two")
	if _, err := fleet.Remove("no apps", "clusters/two.yaml", "clusters/three.yaml", "clusters/four.yaml", "apps/two",
		"apps/three"); err != nil {
		t.Fatal(err)
	}
	r.reconcile(sourceKey("GitRepository", "fleet"))
	spoke.awaitApplications("ArtifactGenerator apps", "Kustomization one", "Kustomization root")
}
