package plan

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/render"
	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/condition"
	"github.com/navefleet/nave/shared/manifest"
)

// TestPreview_too_large previews a cluster of which an Application or the bundle is too large, with the words of the
// hub.
func TestPreview_too_large(t *testing.T) {
	for name, c := range map[string]struct {
		revision string
		more     func(*render.Result)
		want     string
	}{
		"application": {"main@sha1:1", func(r *render.Result) {
			for i := range 17 {
				r.Objects = append(r.Objects, configMap(strings.Repeat(string(rune('a'+i)), 1<<20), 1))
			}
		}, "application Kustomization flux-system/root has 17"},
		"bundle": {strings.Repeat("x", bundle.MaxBundleBytes), func(*render.Result) {}, "one bundle does not " +
			"hold 1 application: let fewer of them render more. The cluster keeps its last bundle"},
	} {
		t.Run(name, func(t *testing.T) {
			objects, dir := treeOf(t)
			v, err := NewPreview(t.Context(), PreviewConfig{Objects: objects, Renderer: &swelling{path: "./root", more: c.more},
				Tree: func(context.Context, *api.Object, func() ([]Tree, error)) (Tree, error) {
					return Tree{Dir: dir, Revision: c.revision}, nil
				}})
			if err != nil {
				t.Fatal(err)
			}
			p, err := v.Cluster(t.Context(), "c0000", Last{})
			if err != nil {
				t.Fatal(err)
			}
			reason := map[string]string{"application": condition.ApplicationTooLarge, "bundle": condition.BundleTooLarge}[name]
			if len(p.Problems) != 1 || p.Problems[0].Reason != reason || !strings.Contains(p.Problems[0].Message, c.want) {
				t.Errorf("problems: %.500v", p.Problems)
			}
		})
	}
}

// treeOf returns the objects of a hub with one cluster, and a folder with the files of its root.
func treeOf(t *testing.T) (objects []*api.Object, dir string) {
	t.Helper()
	dir = t.TempDir()
	for _, file := range fleet(1).Files {
		if below, ok := strings.CutPrefix(file.Name, "one/"); ok {
			path := filepath.Join(dir, below)
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, file.Data, 0o600); err != nil {
				t.Fatal(err)
			}
			continue
		}
		if file.Name != "hub.yaml" {
			continue
		}
		parsed, err := manifest.Parse(file.Data)
		if err != nil {
			t.Fatal(err)
		}
		for _, o := range parsed {
			admitted, err := api.Admit(o, api.Hub)
			if err != nil {
				t.Fatal(err)
			}
			objects = append(objects, admitted)
		}
	}
	return objects, dir
}
