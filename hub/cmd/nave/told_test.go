package main

import (
	"context"
	"path/filepath"
	"slices"
	"testing"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/plan"
	"github.com/navefleet/nave/hub/internal/render/worker"
	"github.com/navefleet/nave/shared/bundle"
)

// TestPreview_told renders a chart that prints its revision as it was released, whatever became of later attempts.
func TestPreview_told(t *testing.T) {
	root := tree(t, map[string]string{
		"hub/fleet.yaml": fleetFiles["hub/fleet.yaml"], "hub/clusters.yaml": fleetFiles["hub/clusters.yaml"],
		"clusters/lab/hr.yaml": "apiVersion: helm.toolkit.fluxcd.io/v2\nkind: HelmRelease\n" +
			"metadata: {name: web, namespace: flux-system}\nspec:\n  interval: 1m\n" +
			"  chart: {spec: {chart: ./chart, sourceRef: {kind: GitRepository, name: fleet}}}\n",
		"chart/Chart.yaml": "apiVersion: v2\nname: web\nversion: 1.0.0\n", "chart/values.yaml": "color: red\n",
		"chart/templates/a.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n" +
			"data: {color: {{ .Values.color }}, rev: '{{ .Release.Revision }}'}\n",
	})
	preview := func(released *bundle.Application, newest int, status string,
		told *api.ReleaseState) plan.PreviewedApplication {
		t.Helper()
		p := previewOf(t, root, plan.PreviewConfig{
			Released: func(_ context.Context, _ string, name bundle.ApplicationName) (*bundle.Application, error) {
				if name.Name != "web" {
					return nil, nil
				}
				return released, nil
			},
			Newest: func(context.Context, string, bundle.ApplicationName) (int, string, error) { return newest, status, nil },
			Told:   func(string, bundle.ApplicationName) *api.ReleaseState { return told },
		})
		at := slices.IndexFunc(p.Applications, func(a plan.PreviewedApplication) bool { return a.Key.Name == "web" })
		if at < 0 {
			t.Fatalf("the release is not rendered: %v", p.Problems)
		}
		return p.Applications[at]
	}
	first := preview(nil, 0, "", nil)
	write(t, root, "chart/values.yaml", "color: blue\n")
	second := preview(first.Application, 1, "deployed", &api.ReleaseState{})
	if second.Digest == first.Digest {
		t.Fatal("the change of the chart is no change of the release")
	}
	again := preview(second.Application, 4, "failed", &api.ReleaseState{Upgrade: true, Last: 1})
	if again.Digest != second.Digest {
		t.Error("after failed attempts, what was released differs from what would be")
	}
	if again = preview(second.Application, 2, "deployed", nil); again.Digest != second.Digest {
		t.Error("with an older hub, what was released differs from what would be")
	}
}

// previewOf walks the cluster lab of a checkout, whose folder hub has the objects of the hub.
func previewOf(t *testing.T, root string, c plan.PreviewConfig) *plan.Previewed {
	t.Helper()
	trees, err := new(checkoutFlags).open(root)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(trees.composer.close)
	if c.Objects, err = readObjects(nil, []string{filepath.Join(root, "hub")}); err != nil {
		t.Fatal(err)
	}
	trees.claim(c.Objects)
	c.Tree, c.Renderer, c.Salt = trees.tree, worker.All(), []byte(buildSalt)
	c.Capabilities = new(capabilityFlags).anyCluster
	v, err := plan.NewPreview(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	p, err := v.Cluster(t.Context(), "lab", plan.Last{})
	if err != nil {
		t.Fatal(err)
	}
	return p
}
