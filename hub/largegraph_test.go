package hub_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/navefleet/nave/e2e/gittest"
	adminv1 "github.com/navefleet/nave/proto/nave/admin/v1"
	"github.com/navefleet/nave/shared/bundle"
)

// What the graph of TestLargeGraph has: a chain, each link of which depends on the one before; a fan that depends on
// the end of the chain; and two cycles that depend on the fan.
const (
	chained = 300
	fanned  = 995
	cyclic  = 5
)

// largeGraph returns a repository with 1,300 Kustomizations in one cluster.
func largeGraph(change func(app int) string) map[string]string {
	files := map[string]string{}
	for i := range chained + fanned + cyclic {
		depends := ""
		switch last := fmt.Sprintf("app-%04d", chained-1); {
		case i == 0:
		case i < chained:
			depends = fmt.Sprintf("{name: app-%04d}", i-1)
		case i < chained+fanned:
			depends = fmt.Sprintf("{name: %s}", last)
		default: // cycles of two and of three
			from, size := chained+fanned, 2
			if i >= from+2 {
				from, size = from+2, 3
			}
			depends = fmt.Sprintf("{name: app-%04d}, {name: app-%04d}", from+(i-from+1)%size, chained)
		}
		files[fmt.Sprintf("root/app-%04d.yaml", i)] = fmt.Sprintf("apiVersion: kustomize.toolkit.fluxcd.io/v1\n"+
			"kind: Kustomization\nmetadata: {name: app-%04[1]d, namespace: flux-system}\nspec: {interval: 1h, prune: true, "+
			"path: ./apps/%[1]d, dependsOn: [%[2]s], sourceRef: {kind: GitRepository, name: fleet}}\n", i, depends)
		files[fmt.Sprintf("apps/%d/app.yaml", i)] = fmt.Sprintf("apiVersion: v1\nkind: ConfigMap\n"+
			"metadata: {name: app-%04d, namespace: default}\ndata: {value: %q}\n", i, change(i))
	}
	return files
}

const largeFleet = `
apiVersion: source.toolkit.fluxcd.io/v1
kind: GitRepository
metadata: {name: fleet, namespace: flux-system}
spec: {interval: 1h, url: "REPOSITORY", ref: {branch: main}}
---
apiVersion: fleet.nave.io/v1alpha1
kind: Fleet
metadata: {name: all}
spec:
  clusterSelector: {}
  template:
    metadata: {name: root, namespace: flux-system}
    spec: {interval: 1h, prune: true, path: ./root, sourceRef: {kind: GitRepository, name: fleet}}
`

// TestLargeGraph takes 1,300 Kustomizations of one cluster from Git to a signed bundle. Those in cycles are named and
// left out. A commit that touches one of them renders one and replaces one application.
func TestLargeGraph(t *testing.T) {
	server, err := gittest.Start(gittest.Options{})
	must(t, err)
	t.Cleanup(func() { _ = server.Close() })
	repository, err := server.NewRepository("fleet")
	must(t, err)
	_, err = repository.Commit(largeGraph(func(int) string { return "one" }), "begin")
	must(t, err)
	r := start(t, t.TempDir())
	begun := time.Now()
	r.apply(cluster + "---" + strings.ReplaceAll(largeFleet, "REPOSITORY", repository.URL()))
	conn, token := r.join("a")
	spoke := newSpoke(t, conn, token)
	first := spoke.awaitBundle(func(b *bundle.Bundle) bool { return len(b.Applications) == 1+chained+fanned })
	t.Logf("%d Kustomizations were planned and published in %s", chained+fanned+cyclic, time.Since(begun))
	for i := chained + fanned; i < chained+fanned+cyclic; i++ {
		row := r.awaitColumn("kustomization", "a", fmt.Sprintf("app-%04d", i), "READY", "False")
		if text := fmt.Sprint(row); !strings.Contains(text, "dependsOn forms a cycle") {
			t.Errorf("app-%04d does not name its cycle: %s", i, text)
		}
	}

	const touched = chained + 17
	rendered := r.metric("nave_render_seconds_count")
	_, err = repository.Commit(map[string]string{fmt.Sprintf("apps/%d/app.yaml", touched): largeGraph(func(int) string {
		return "two"
	})[fmt.Sprintf("apps/%d/app.yaml", touched)]}, "touch one")
	must(t, err)
	begun = time.Now()
	r.reconcile(&adminv1.ObjectKey{Kind: "GitRepository", Namespace: "flux-system", Name: "fleet"})
	name := fmt.Sprintf("app-%04d", touched)
	second := spoke.awaitBundle(func(b *bundle.Bundle) bool { return digests(b)[name] != digests(first)[name] })
	t.Logf("a commit that touches one was planned and published in %s", time.Since(begun))
	if n := r.metric("nave_render_seconds_count") - rendered; n != 1 {
		t.Errorf("%v Kustomizations were rendered, want the one that changed", n)
	}
	before := digests(first)
	for name, digest := range digests(second) {
		if changed := before[name] != digest; changed != (name == fmt.Sprintf("app-%04d", touched)) {
			t.Errorf("%s: the application changed: %v", name, changed)
		}
	}
}

// digests are those of the applications of a bundle, by name.
func digests(b *bundle.Bundle) map[string]string {
	all := map[string]string{}
	for _, e := range b.Applications {
		all[e.Name.Name] = e.Digest.String()
	}
	return all
}

// metric returns the value of a metric of the hub without labels; 0 if there is none.
func (r *rig) metric(name string) (value float64) {
	r.t.Helper()
	answer, err := http.Get("http://" + r.HTTPAddr().String() + "/metrics")
	must(r.t, err)
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	must(r.t, err)
	for line := range strings.Lines(string(text)) {
		if _, err := fmt.Sscanf(line, name+" %g", &value); err == nil {
			return value
		}
	}
	return 0
}
