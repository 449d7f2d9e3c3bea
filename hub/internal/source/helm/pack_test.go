package helm_test

import (
	"context"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/artifact"
	"github.com/navefleet/nave/hub/internal/source"
	"github.com/navefleet/nave/hub/internal/source/helm"
	"github.com/navefleet/nave/hub/internal/source/oci"
)

// tree makes an artifact as that of a GitRepository. A text that begins with "-> " is a symlink.
func (w *world) tree(revision string, files map[string]string) artifact.Artifact {
	w.Helper()
	a, err := w.store.Make(w.Context(), nil, func(ws artifact.Workspace, _ *artifact.Artifact) (artifact.Artifact, error) {
		contents := texts{}
		t := artifact.Tree{Revision: revision, Contents: contents}
		for _, name := range slices.Sorted(maps.Keys(files)) {
			f := artifact.File{Path: name, Mode: artifact.Regular}
			text := files[name]
			if target, ok := strings.CutPrefix(text, "-> "); ok {
				f.Mode, text = artifact.Symlink, target
			}
			f.Content = artifact.IdentifyContent([]byte(text))
			contents[f.Content] = text
			t.Files = append(t.Files, f)
		}
		return ws.Put(w.Context(), "00", t, nil)
	})
	if err != nil {
		w.Fatal(err)
	}
	return a
}

// texts are contents in memory.
type texts map[artifact.ContentID]string

func (t texts) Size(f artifact.File) (int64, error) { return int64(len(t[f.Content])), nil }

func (t texts) Read(_ context.Context, f artifact.File, _ int64) ([]byte, error) {
	return []byte(t[f.Content]), nil
}

// pack fetches the chart of a source.
func (w *world) pack(in artifact.Artifact, chart spec, last *artifact.Artifact) (artifact.Artifact, error) {
	w.Helper()
	full := spec{"interval": "1m", "sourceRef": spec{"kind": api.GitRepositoryKind, "name": "fleet"}}
	for name, value := range chart {
		full[name] = value
	}
	return w.run(helm.Charts{Registries: &oci.Fetcher{}, Limits: w.limits}, source.Request{
		Object: w.object(api.HelmChartKind, full), Inputs: append([]artifact.Artifact{in}, w.indexes...), Servers: w.servers,
	}, last)
}

const chartYAML = "apiVersion: v2\nname: podinfo\nversion: 1.2.0\nappVersion: \"1.0\"\n"

// TestPack makes a chart of a folder of a source.
func TestPack(t *testing.T) {
	w := newWorld(t)
	files := map[string]string{
		"charts/podinfo/Chart.yaml": chartYAML, "charts/podinfo/templates/a.yaml": "a: 1\n", "charts/podinfo/values.yaml": "x: 1\n",
		"charts/podinfo/link.yaml": "-> values.yaml", "charts/podinfo/out.yaml": "-> ../../README.md", "README.md": "",
		"charts/podinfo/.sourceignore": "*.txt\n", "charts/podinfo-other/Chart.yaml": "name: other\nversion: 2.0.0\n",
	}
	in := w.tree("main@sha1:0123456789abcdef0123456789abcdef01234567", files)
	a, err := w.pack(in, spec{"chart": "./charts/podinfo"}, nil)
	if err != nil || a.Revision != "1.2.0" || a.Origin.Revision != in.Revision {
		t.Fatal(a, err)
	}
	w.expect(a, "podinfo/Chart.yaml", "podinfo/link.yaml", "podinfo/templates/a.yaml", "podinfo/values.yaml")
	files["charts/podinfo/values.yaml"] = "x: 2\n"
	next := w.tree("main@sha1:abcdef0123456789abcdef0123456789abcdef01", files)
	if again, err := w.pack(next, spec{"chart": "charts/podinfo"}, &a); err != nil || again != a {
		t.Error("the version did not change:", again, err)
	}
	for path, want := range map[string]string{
		"charts/podinfo": "1.2.0+abcdef012345", "/charts/podinfo/": "1.2.0+abcdef012345",
	} {
		b, err := w.pack(next, spec{"chart": path, "reconcileStrategy": "Revision"}, &a)
		text := w.files(b)["podinfo/Chart.yaml"]
		if err != nil || b.Revision != want || !strings.Contains(text, "version: "+want) || !strings.Contains(text, `appVersion: "1.0"`) {
			t.Error(b, err, text)
		}
	}
	files["charts/podinfo/Chart.yaml"] = strings.Replace(chartYAML, "1.2.0", "1.3.0", 1)
	newer := w.tree("main@sha1:bcdef0123456789abcdef0123456789abcdef012", files)
	b, err := w.pack(newer, spec{"chart": "charts/podinfo"}, &a)
	if err != nil || b.Revision != "1.3.0" || w.files(b)["podinfo/values.yaml"] != "x: 2\n" {
		t.Error("the version changed:", b, err)
	}
}

// TestPack_root makes a chart of a whole source.
func TestPack_root(t *testing.T) {
	w := newWorld(t)
	in := w.tree("v1", map[string]string{"Chart.yaml": chartYAML, "templates/a.yaml": ""})
	a, err := w.pack(in, spec{"chart": "."}, nil)
	if err != nil {
		t.Fatal(err)
	}
	w.expect(a, "podinfo/Chart.yaml", "podinfo/templates/a.yaml")
}

// TestPack_archive unpacks an archive that the real helm packaged.
func TestPack_archive(t *testing.T) {
	w := newWorld(t)
	w.charts("podinfo 1.2.0")
	text, err := os.ReadFile(filepath.Join(w.dir, "podinfo-1.2.0.tgz"))
	if err != nil {
		t.Fatal(err)
	}
	in := w.tree("main@sha1:0123456789abcdef", map[string]string{"vendor/podinfo.tgz": string(text)})
	for strategy, want := range map[string]string{"ChartVersion": "1.2.0", "Revision": "1.2.0+0123456789ab"} {
		a, err := w.pack(in, spec{"chart": "vendor/podinfo.tgz", "reconcileStrategy": strategy}, nil)
		if err != nil || a.Revision != want || !strings.Contains(w.files(a)["podinfo/Chart.yaml"], "version: "+want+"\n") {
			t.Error(a, err, w.files(a))
		}
		w.expect(a, "podinfo/Chart.yaml", "podinfo/templates/cm.yaml", "podinfo/values.yaml")
	}
}

// TestPack_bad names what is wrong.
func TestPack_bad(t *testing.T) {
	w := newWorld(t)
	in := w.tree("1", map[string]string{
		"none/values.yaml": "", "bad/Chart.yaml": "a: [", "up/Chart.yaml": "name: ..\nversion: 1.0.0\n",
		"odd/Chart.yaml": "name: odd\nversion: main\n", "file.tgz": "x", "far/Chart.yaml": "-> ../good/Chart.yaml",
		"good/Chart.yaml": chartYAML,
	})
	for path, c := range map[string]struct {
		strategy string
		words    string
	}{
		"missing": {"ChartVersion", "no such folder or archive; it has charts in bad, "}, "none": {"ChartVersion", "no Chart.yaml"}, "bad": {"ChartVersion", "Chart.yaml"},
		"up": {"ChartVersion", "folder"}, "odd": {"Revision", "spec.reconcileStrategy"}, "file.tgz": {"ChartVersion", "no tar archive"},
		"far": {"ChartVersion", "Chart.yaml"},
	} {
		_, err := w.pack(in, spec{"chart": path, "reconcileStrategy": c.strategy}, nil)
		own, isReference := api.ReasonOf(err)
		if err == nil || !strings.Contains(err.Error(), c.words) || !errors.Is(err, artifact.ErrTree) &&
			!(isReference && own.Name == api.InvalidChartReference) {
			t.Errorf("%s: %v", path, err)
		}
	}
}
