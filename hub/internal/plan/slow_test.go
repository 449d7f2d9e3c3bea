package plan

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/render"
	"github.com/navefleet/nave/hub/internal/render/helm"
	"github.com/navefleet/nave/hub/internal/store"
	"github.com/navefleet/nave/shared/condition"
)

// slowCharts is a renderer that takes its time for each chart.
type slowCharts struct {
	render.Renderer
	takes time.Duration
}

// Render implements render.Renderer.
func (s slowCharts) Render(ctx context.Context, req render.Request) (*render.Result, error) {
	if req.Renderer == helm.Name {
		time.Sleep(s.takes)
	}
	return s.Renderer.Render(ctx, req)
}

// TestSlowChart checks that a round waits for a slow chart only a short time, plans everything else, and plans the
// release when the chart is rendered, with one render for all clusters.
func TestSlowChart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := releases(t, 3)
		s.renderer.Renderer = slowCharts{renderers, 40 * time.Second}
		key := api.Key{Cluster: "c0000", Kind: "HelmRelease", Namespace: "flux-system", Name: "web"}.Path()
		begin := time.Now()
		s.round()
		if took := time.Since(begin); took > 10*time.Second {
			t.Errorf("the round took %s", took)
		}
		if plan := s.plan("c0002"); len(plan.Applications) != 1 {
			t.Errorf("%d applications, want the root alone", len(plan.Applications))
		}
		if c := get(s, store.Conditions, key); c.Ready == condition.True || c.Reason != condition.Progressing {
			t.Errorf("the slow release: %+v", c)
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
				t.Errorf("%s: %d applications, want the release, too", cluster, len(plan.Applications))
			}
		}
		if c := get(s, store.Conditions, key); c.Reason == condition.Progressing {
			t.Errorf("the rendered release: %+v", c)
		}
		s.play([]string{"renders", "2"})
		s.watcher.Close()
	})
}
