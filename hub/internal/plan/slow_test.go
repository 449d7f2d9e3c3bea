package plan

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rogpeppe/go-internal/txtar"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/render"
	"github.com/navefleet/nave/hub/internal/render/helm"
	"github.com/navefleet/nave/hub/internal/store"
	"github.com/navefleet/nave/shared/condition"
)

// slowRenders is a renderer that takes its time for some renders.
type slowRenders struct {
	render.Renderer
	slow  func(render.Request) bool
	takes time.Duration
}

// Render implements render.Renderer.
func (s slowRenders) Render(ctx context.Context, req render.Request) (*render.Result, error) {
	if s.slow(req) {
		time.Sleep(s.takes)
	}
	return s.Renderer.Render(ctx, req)
}

// TestSlowChart has a chart that takes long to render.
func TestSlowChart(t *testing.T) {
	testSlow(t, "HelmRelease", func(r render.Request) bool { return r.Renderer == helm.Name }, func(t *testing.T) *story {
		return releases(t, 3)
	})
}

// TestSlowBuild has a Kustomization that takes long to build.
func TestSlowBuild(t *testing.T) {
	isSlow := func(r render.Request) bool { return strings.Contains(string(r.Spec), "./slow") }
	testSlow(t, "Kustomization", isSlow, func(t *testing.T) *story {
		files := fleet(3)
		files.Files = append(files.Files, txtar.File{Name: "one/root/slow.yaml", Data: []byte("apiVersion: " +
			"kustomize.toolkit.fluxcd.io/v1\nkind: Kustomization\nmetadata: {name: web, namespace: flux-system}\n" +
			"spec: {interval: 1m, prune: true, path: ./slow, sourceRef: {kind: GitRepository, name: fleet}}\n")},
			txtar.File{Name: "one/slow/a.yaml", Data: []byte(
				"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: slow, namespace: default}\n")})
		s := newStory(t, files)
		for _, line := range []string{"apply hub.yaml", "plan", "fetch fleet main@sha1:1 one"} {
			s.play(strings.Fields(line))
		}
		return s
	})
}

// testSlow checks that a round waits for the slow render of an object "web" only a short time, plans everything else,
// and plans the object when it is rendered, with one render for all clusters.
func testSlow(t *testing.T, kind string, isSlow func(render.Request) bool, tell func(*testing.T) *story) {
	useCompression(t)
	synctest.Test(t, func(t *testing.T) {
		s := tell(t)
		s.renderer.Renderer = slowRenders{renderers, isSlow, 40 * time.Second}
		key := api.Key{Cluster: "c0000", Kind: kind, Namespace: "flux-system", Name: "web"}.Path()
		begin := time.Now()
		s.round()
		if took := time.Since(begin); took > 10*time.Second {
			t.Errorf("the round took %s", took)
		}
		if plan := s.plan("c0002"); len(plan.Applications) != 1 {
			t.Errorf("%d applications, want the root alone", len(plan.Applications))
		}
		if c := get(s, store.Conditions, key); c.Ready == condition.True || c.Reason != condition.Progressing {
			t.Errorf("the slow object: %+v", c)
		}
		for len(s.planner.slow) > 0 {
			s.must((<-s.planner.ended)(t.Context()))
		}
		if took := time.Since(begin); took > time.Minute {
			t.Errorf("rendered after %s", took)
		}
		s.round()
		for _, cluster := range []string{"c0000", "c0001", "c0002"} {
			if plan := s.plan(cluster); len(plan.Applications) != 2 {
				t.Errorf("%s: %d applications, want the slow one, too", cluster, len(plan.Applications))
			}
		}
		if c := get(s, store.Conditions, key); c.Reason == condition.Progressing {
			t.Errorf("the rendered object: %+v", c)
		}
		s.play([]string{"renders", "2"})
		s.watcher.Close()
	})
}

// useCompression makes the encoder and the decoder of blobs, so that they belong to no bubble of a test.
func useCompression(t *testing.T) {
	blobs := store.OpenMemory().Blobs()
	d, err := blobs.Put(t.Context(), make([]byte, 1000))
	if err == nil {
		_, err = blobs.Get(t.Context(), d)
	}
	if err != nil {
		t.Fatal(err)
	}
}
