package helm

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/render"
)

// renderFor renders the artifact in a folder for a cluster.
func renderFor(t *testing.T, root string, b api.ChartBuild, facts api.ChartFacts) (*render.Result, error) {
	t.Helper()
	spec, err := json.Marshal(b)
	if err != nil {
		t.Fatal(err)
	}
	return Renderer{}.Render(t.Context(), render.Request{Spec: spec, Root: root, Facts: &facts})
}

// pack returns a packed chart with these entries, by path.
func pack(t *testing.T, entries ...*tar.Header) []byte {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	w := tar.NewWriter(z)
	for _, h := range entries {
		data := h.PAXRecords["NAVE.data"]
		h.PAXRecords, h.Size, h.Mode = nil, int64(len(data)), 0o644
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(data)); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(w.Close(), z.Close()); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func file(name, data string) *tar.Header {
	return &tar.Header{Name: name, Typeflag: tar.TypeReg, PAXRecords: map[string]string{"NAVE.data": data}}
}

const small = "apiVersion: v2\nname: app\nversion: 1.0.0\n"

// TestFindChart finds the chart of an artifact that has nothing else.
func TestFindChart(t *testing.T) {
	packed := string(pack(t, file("app/Chart.yaml", small), &tar.Header{Name: "app/link", Typeflag: tar.TypeSymlink,
		Linkname: "/etc/passwd"}))
	tests := map[string]struct {
		files map[string]string
		err   string
	}{
		"root":        {map[string]string{"Chart.yaml": small, "sub/Chart.yaml": small}, ""},
		"folder":      {map[string]string{"app/Chart.yaml": small, "README.md": ""}, ""},
		"packed":      {map[string]string{"layer": packed}, ""},
		"two_folders": {map[string]string{"a/Chart.yaml": small, "b/Chart.yaml": small}, "2 charts"},
		"none":        {map[string]string{"a.yaml": "", "b.yaml": ""}, "0 charts"},
		"empty":       {map[string]string{"a/b.yaml": ""}, "no chart"},
		"no_archive":  {map[string]string{"a.yaml": "a: b"}, "no packed chart"},
		"outside": {map[string]string{"layer": string(pack(t, file("app/Chart.yaml", small),
			file("app/../../x", "")))}, "not inside"},
		"no_folder": {map[string]string{"layer": string(pack(t, file("Chart.yaml", small)))}, "not inside"},
		"large": {map[string]string{"layer": string(pack(t, file("app/Chart.yaml", small),
			file("app/x", strings.Repeat("a", maxFileSize+1))))}, "over a limit"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			root := t.TempDir()
			for at, text := range test.files {
				at = filepath.Join(root, at)
				if err := errors.Join(os.MkdirAll(filepath.Dir(at), 0o755), os.WriteFile(at, []byte(text), 0o600)); err != nil {
					t.Fatal(err)
				}
			}
			b := newBuild()
			b.Chart = ""
			result, err := renderFor(t, root, b, api.ChartFacts{Capabilities: DefaultCapabilities()})
			switch {
			case test.err == "" && (err != nil || result.Release.Chart.Name != "app"):
				t.Errorf("error %v", err)
			case test.err != "" && (err == nil || !strings.Contains(err.Error(), test.err)):
				t.Errorf("error %v, want %q", err, test.err)
			}
		})
	}
}

// TestPlace gives objects for a cluster the namespace of their release.
func TestPlace(t *testing.T) {
	root := chartTree(t, map[string]string{"charts/app/templates/more.yaml": `apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: r}
---
apiVersion: v1
kind: Secret
metadata: {name: s, namespace: own}
---
apiVersion: example.com/v1
kind: Custom
metadata: {name: c}
spec: {password: "{{ now }}"}
`})
	result, err := renderFor(t, root, newBuild(), api.ChartFacts{Capabilities: DefaultCapabilities()})
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"a": "prod", "r": "", "s": "own", "c": "prod"}
	for _, o := range result.Objects {
		if got := o.GetNamespace(); got != want[o.GetName()] {
			t.Errorf("%s is in namespace %q", o.GetName(), got)
		}
	}
	if g := result.Release.Generated; len(g) != 1 || g[0].ID.Namespace != "prod" {
		t.Errorf("generated %v", g)
	}
	if hook := result.Release.Hooks[0].Object; hook.GetNamespace() != "prod" {
		t.Error("the hook has no namespace")
	}
	if got := string(result.Release.Values); got != "{}" {
		t.Errorf("values %s", got)
	}
}

// TestFacts has the facts of the request in place of those of the build.
func TestFacts(t *testing.T) {
	root := chartTree(t, map[string]string{"charts/app/templates/facts.yaml": "apiVersion: v1\nkind: ConfigMap\n" +
		"metadata: {name: facts}\ndata: {text: \"{{ .Release.IsUpgrade }} {{ .Release.Revision }}\"}\n",
		"charts/app/values.schema.json": `{"required": ["missing"]}`})
	b := newBuild()
	b.SkipSchemaOnUpgrade = true
	facts := api.ChartFacts{Capabilities: DefaultCapabilities()}
	if _, err := renderFor(t, root, b, facts); err == nil || !strings.Contains(err.Error(), "missing") {
		t.Errorf("an install has error %v", err)
	}
	facts.Upgrade = true
	result, err := renderFor(t, root, b, facts)
	if err != nil {
		t.Fatal(err)
	}
	if text, _ := json.Marshal(result.Objects); !strings.Contains(string(text), "true 2") {
		t.Errorf("objects %s", text)
	}
	if !result.Release.Asked.Upgrade {
		t.Error("the result does not depend on whether it is an upgrade")
	}
}
