package worker

import (
	"encoding/json"
	"errors"
	"maps"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/confine"
	"github.com/navefleet/nave/hub/internal/render"
	"github.com/navefleet/nave/hub/internal/render/helm"
)

// chart returns the render of a chart with some files.
func chart(t *testing.T, files map[string]string) render.Request {
	t.Helper()
	all := map[string]string{"Chart.yaml": "apiVersion: v2\nname: app\nversion: 1.0.0\n"}
	maps.Copy(all, files)
	spec, err := json.Marshal(api.ChartBuild{Name: "a", Namespace: "b", ReleaseName: "a", ReleaseNamespace: "b",
		Chart: ".", Capabilities: helm.DefaultCapabilities(), Revision: 1})
	if err != nil {
		t.Fatal(err)
	}
	return render.Request{Renderer: helm.Name, Spec: spec, Root: tree(t, all).Root}
}

// hostileCharts never end, or take more memory than there is.
var hostileCharts = map[string]map[string]string{
	"endless": {"templates/a.yaml": "{{ range until 100000 }}{{ range until 100000 }}{{ range until 100000 }}" +
		"{{ end }}{{ end }}{{ end }}"},
	"until":  {"templates/a.yaml": "{{ until 1000000000 | len }}"},
	"repeat": {"templates/a.yaml": "{{ range until 100 }}{{ $x := repeat 1000000000 \"x\" }}{{ len $x }}{{ end }}"},
	"double": {"templates/a.yaml": "{{ $x := \"x\" }}{{ range until 40 }}{{ $x = printf \"%s%s\" $x $x }}{{ end }}"},
	"output": {"templates/a.yaml": "{{ range until 1000000 }}{{ repeat 10000 \"x\" }}{{ end }}"},
	"tpl": {"values.yaml": "x: '{{ tpl .Values.x . }}'\n", "templates/_a.tpl": strings.Repeat("{{ define \"a\" }}x{{ end }}",
		100), "templates/a.yaml": "{{ tpl .Values.x . }}"},
	"template": {"templates/a.yaml": "{{ define \"a\" }}{{ template \"a\" . }}{{ template \"a\" . }}{{ end }}" +
		"{{ template \"a\" . }}"},
	"include": {"templates/a.yaml": "{{ define \"a\" }}{{ include \"a\" . }}{{ include \"a\" . }}{{ end }}{{ include \"a\" . }}"},
	"documents": {"templates/a.yaml": "{{ range until 3000000 }}\n---\napiVersion: v1\nkind: Secret\n" +
		"metadata: {name: s{{ . }}}\n{{ end }}"},
	"aliases": {"templates/a.yaml": "a: &a [x, x, x, x, x, x, x, x, x, x]\nb: &b [*a, *a, *a, *a, *a, *a, *a, *a, *a, *a]\n" +
		"c: &c [*b, *b, *b, *b, *b, *b, *b, *b, *b, *b]\nd: &d [*c, *c, *c, *c, *c, *c, *c, *c, *c, *c]\n" +
		"e: &e [*d, *d, *d, *d, *d, *d, *d, *d, *d, *d]\nf: &f [*e, *e, *e, *e, *e, *e, *e, *e, *e, *e]\n" +
		"g: &g [*f, *f, *f, *f, *f, *f, *f, *f, *f, *f]\nh: [*g, *g, *g, *g, *g, *g, *g, *g, *g, *g]\n"},
	"schema": {"values.schema.json": `{"$ref": "#/definitions/a", "definitions": {"a": {"$ref": "#/definitions/b"}, ` +
		`"b": {"$ref": "#/definitions/a"}}}`},
	"regex": {"templates/a.yaml": "{{ range until 100000 }}{{ regexFindAll \"(a|aa)+$\" (repeat 1000000 \"a\") -1 | len }}" +
		"{{ end }}"},
	"nested_actions": {"templates/a.yaml": strings.Repeat("{{ if 1 }}", 400_000)},
	"nested_lists":   {"templates/a.yaml": "a: {{ repeat 4000000 \"[\" }}"},
	"nested_values":  {"values.yaml": "a: " + strings.Repeat("[", 4_000_000)},
	"large_values":   {"values.yaml": "a: " + strings.Repeat("x", 10<<20)},
	"values": {"values.yaml": "a: &a [x, x, x, x, x, x, x, x, x, x]\nb: &b [*a, *a, *a, *a, *a, *a, *a, *a, *a, *a]\n" +
		"c: &c [*b, *b, *b, *b, *b, *b, *b, *b, *b, *b]\nd: &d [*c, *c, *c, *c, *c, *c, *c, *c, *c, *c]\n" +
		"e: &e [*d, *d, *d, *d, *d, *d, *d, *d, *d, *d]\nf: &f [*e, *e, *e, *e, *e, *e, *e, *e, *e, *e]\n" +
		"g: [*f, *f, *f, *f, *f, *f, *f, *f, *f, *f]\n"},
	"grown_values": {"values.yaml": "x: []\n", "templates/a.yaml": "{{ range until 40 }}" +
		"{{ $_ := set $.Values \"x\" (concat $.Values.x $.Values.x (list 1)) }}{{ end }}"},
	"keys": {"templates/a.yaml": "{{ genPrivateKey \"rsa\" }}{{ range until 100000 }}{{ genPrivateKey \"rsa\" | len }}" +
		"{{ end }}"},
}

// TestHostileCharts checks that a chart that never ends, or that eats memory, costs its own render and one worker.
func TestHostileCharts(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("no limit on memory on this system")
	}
	if testing.Short() {
		t.Skip("it takes memory and time until they are stopped")
	}
	p := newPool(t, Config{Workers: 1, Memory: 400 << 20, Timeout: 4 * time.Second}, Command)
	good := chart(t, map[string]string{"templates/a.yaml": object("a")})
	for name, files := range hostileCharts {
		t.Run(name, func(t *testing.T) {
			began := time.Now()
			if _, err := p.Render(t.Context(), chart(t, files)); err == nil {
				t.Error("it has no error")
			} else if len(err.Error()) > 4000 {
				t.Errorf("an error of %d bytes", len(err.Error()))
			}
			if took := time.Since(began); took > 20*time.Second {
				t.Errorf("it took %s", took)
			}
			if _, err := p.Render(t.Context(), good); err != nil {
				t.Errorf("the next render: %v", err)
			}
		})
	}
}

// TestChartNetwork checks that no schema and no template of a chart reaches the network or the environment.
func TestChartNetwork(t *testing.T) {
	t.Setenv("CANARY", "canary")
	p := newPool(t, Config{Workers: 1}, Command)
	for name, file := range map[string]string{
		"http": `{"$ref": "http://127.0.0.1:1/x.json"}`, "file": `{"$ref": "file:///etc/hostname"}`,
		"relative": `{"$ref": "../../../etc/hostname"}`,
	} {
		t.Run(name, func(t *testing.T) {
			_, err := p.Render(t.Context(), chart(t, map[string]string{"values.schema.json": file}))
			var died *confine.DiedError
			if err == nil || errors.As(err, &died) || !strings.Contains(err.Error(), "a render reads no other schema") {
				t.Errorf("error %v", err)
			}
		})
	}
}
