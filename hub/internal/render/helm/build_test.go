package helm

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	fluxkustomize "github.com/fluxcd/pkg/apis/kustomize"

	helmv2 "github.com/fluxcd/helm-controller/api/v2"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/render"
	"github.com/navefleet/nave/shared/manifest"
)

// chartTree returns an artifact with a chart in charts/app and other files.
func chartTree(t *testing.T, more map[string]string) string {
	t.Helper()
	root := t.TempDir()
	files := map[string]string{
		"charts/app/Chart.yaml":  "apiVersion: v2\nname: app\nversion: 1.0.0\n",
		"charts/app/values.yaml": "a: chart\nb: chart\n",
		"charts/app/templates/a.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n" +
			"data: {{ toYaml .Values | nindent 2 }}\n",
		"charts/app/templates/hook.yaml": "apiVersion: batch/v1\nkind: Job\nmetadata:\n  name: hook\n" +
			"  annotations: {helm.sh/hook: pre-install}\n",
		"charts/app/crds/c.yaml": "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\n" +
			"metadata: {name: cs.example.com}\n",
		"charts/app/prod.yaml": "b: prod\n",
		"more.yaml":            "b: more\nc: more\n",
	}
	for name, text := range more {
		files[name] = text
	}
	for name, text := range files {
		at := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(at, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

// newBuild returns a build of the chart of chartTree.
func newBuild() api.ChartBuild {
	return api.ChartBuild{Name: "hr", Namespace: "flux", ReleaseName: "app", ReleaseNamespace: "prod",
		Chart: "charts/app", Capabilities: DefaultCapabilities(), Revision: 1}
}

// patchKind is a Patch that sets an annotation of every object.
func patchKind(_ context.Context, objects []*manifest.Object, p api.ChartPatches) ([]*manifest.Object, error) {
	for _, o := range objects {
		addTexts(o, "annotations", map[string]string{"patch": p.Patches[0].Patch})
	}
	return objects, nil
}

func render1(t *testing.T, root string, b api.ChartBuild) (*render.Result, error) {
	t.Helper()
	spec, err := json.Marshal(b)
	if err != nil {
		t.Fatal(err)
	}
	return Renderer{Patch: patchKind}.Render(t.Context(), render.Request{Spec: spec, Root: root})
}

func TestRender_values(t *testing.T) {
	root := chartTree(t, nil)
	data := "a: from"
	from := []api.ChartValues{{Data: &data}}
	for name, c := range map[string]struct {
		change func(*api.ChartBuild)
		want   map[string]any
	}{
		"chart": {func(*api.ChartBuild) {}, map[string]any{"a": "chart", "b": "chart"}},
		"files": {func(b *api.ChartBuild) { b.ValuesFiles = []string{"charts/app/prod.yaml", "more.yaml"} },
			map[string]any{"b": "more", "c": "more"}},
		"file_missing": {func(b *api.ChartBuild) {
			b.ValuesFiles, b.IgnoreMissingValuesFiles = []string{"none.yaml", "more.yaml"}, true
		}, map[string]any{"b": "more", "c": "more"}},
		"inline": {func(b *api.ChartBuild) { b.Values, b.ValuesFrom = json.RawMessage(`{"b": "x"}`), from },
			map[string]any{"a": "from", "b": "x"}},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBuild()
			c.change(&b)
			result, err := render1(t, root, b)
			if err != nil {
				t.Fatal(err)
			}
			if got := result.Objects[0].Object["data"]; !reflect.DeepEqual(got, c.want) {
				t.Errorf("%v, want %v", got, c.want)
			}
			if _, read := result.Reads.Facts["/charts/app/templates/a.yaml"]; !read {
				t.Errorf("the template is not among the reads %v", result.Reads.Facts)
			}
		})
	}
}

func TestRender_metadata(t *testing.T) {
	root := chartTree(t, nil)
	patches := []api.ChartPatches{{Patches: []fluxkustomize.Patch{{Patch: "p"}}}}
	for strategy, hooked := range map[helmv2.PostRenderStrategy]bool{"": true, "combined": true, "separate": true,
		"nohooks": false} {
		t.Run(string(strategy), func(t *testing.T) {
			b := newBuild()
			b.PostRenderers, b.PostRenderStrategy = patches, strategy
			b.CommonLabels, b.CommonAnnotations = map[string]string{"l": "1", nameLabel: "x"}, map[string]string{"n": "2"}
			result, err := render1(t, root, b)
			if err != nil {
				t.Fatal(err)
			}
			labels := map[string]string{"l": "1", nameLabel: "hr", namespaceLabel: "flux"}
			if got := result.Objects[0].GetLabels(); !reflect.DeepEqual(got, labels) {
				t.Errorf("labels %v", got)
			}
			if got := result.Objects[0].GetAnnotations(); !reflect.DeepEqual(got, map[string]string{"n": "2", "patch": "p"}) {
				t.Errorf("annotations %v", got)
			}
			hook := result.Release.Hooks[0]
			if _, got := hook.Object.GetAnnotations()["patch"]; got != hooked || hook.Path != "app/templates/hook.yaml" {
				t.Errorf("hook %+v", hook)
			}
			delete(labels, "l")
			if got := result.Release.CRDs[0].GetLabels(); !reflect.DeepEqual(got, labels) {
				t.Errorf("labels of the CRD %v", got)
			}
		})
	}
}

func TestRender_errors(t *testing.T) {
	object := "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a, namespace: prod}\n"
	for name, c := range map[string]struct {
		files  map[string]string
		change func(*api.ChartBuild)
		want   string
	}{
		"folder":    {nil, func(b *api.ChartBuild) { b.Chart = "charts/ap" }, "path charts/ap not found"},
		"no_chart":  {nil, func(b *api.ChartBuild) { b.Chart = "charts" }, "Chart.yaml file is missing"},
		"file":      {nil, func(b *api.ChartBuild) { b.ValuesFiles = []string{"mor.yaml"} }, "file mor.yaml not found"},
		"duplicate": {map[string]string{"charts/app/templates/b.yaml": object}, nil, "more than one object of this name"},
		"generated": {map[string]string{"charts/app/templates/b.yaml": strings.Replace(object, "name:", "generateName:", 1)},
			nil, "generateName"},
		"generated_hook": {map[string]string{"charts/app/templates/hook.yaml": strings.Replace(object, "name: a",
			`generateName: a, annotations: {helm.sh/hook: test}`, 1)}, nil, "generateName"},
		"large": {map[string]string{"charts/app/templates/b.yaml": "apiVersion: v1\nkind: Secret\nmetadata: {name: b}\n" +
			"stringData: {x: {{ repeat 4000000 \"x\" }}}\n"}, nil, "too large"},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBuild()
			if c.change != nil {
				c.change(&b)
			}
			root := chartTree(t, c.files)
			_, err := render1(t, root, b)
			if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), root) {
				t.Errorf("error %v, want it to say %s", err, c.want)
			}
		})
	}
}
