package worker

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/confine"
	"github.com/navefleet/nave/hub/internal/render"
	"github.com/navefleet/nave/hub/internal/render/helm"
	"github.com/navefleet/nave/hub/internal/render/kustomize"
)

var _ render.Renderer = (*Pool)(nil)

// TestMain runs the tests, or a worker if the first argument is the kind of a worker.
func TestMain(m *testing.M) {
	if len(os.Args) < 2 {
		os.Exit(m.Run())
	}
	switch os.Args[1] {
	case Command:
		exit(ServeWorker(os.Stdin, os.Stdout, All(), kustomize.Warm))
	default:
		os.Exit(m.Run())
	}
}

func exit(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

func newPool(t testing.TB, c Config, kind string) *Pool {
	t.Helper()
	c.Command = []string{os.Args[0], kind}
	p, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Close() })
	return p
}

func tree(t testing.TB, files map[string]string) render.Request {
	t.Helper()
	root := t.TempDir()
	for name, content := range files {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(root, name)), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(root, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	spec, err := kustomize.Encode(kustomize.Spec{Name: "apps", Namespace: "flux-system"})
	if err != nil {
		t.Fatal(err)
	}
	return render.Request{Renderer: kustomize.Name, Spec: spec, Root: root, Salt: []byte("salt")}
}

func object(name string) string {
	return "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: " + name + "}\ndata: {k: v}\n"
}

// TestWorkerResult checks that a worker has the same results as the process itself.
func TestWorkerResult(t *testing.T) {
	p := newPool(t, Config{}, Command)
	secret, err := os.ReadFile("../kustomize/testdata/sops/multi.yaml")
	if err != nil {
		t.Fatal(err)
	}
	req := tree(t, map[string]string{"a.yaml": object("a"), "secret.yaml": string(secret),
		"n.yaml": "apiVersion: x/v1\nkind: N\nmetadata: {name: n}\nspec: {i: 3, f: 1.5, b: true, n: null, l: [1, a]}\n"})
	want, err := All().Render(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	if want.Encoded, err = want.Encode(); err != nil {
		t.Fatal(err)
	}
	want.Objects = nil
	got, err := p.Render(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("worker:\n%+v\nin process:\n%+v", got, want)
	}
}

// TestWorkerError checks that a build error is the same from a worker.
func TestWorkerError(t *testing.T) {
	p := newPool(t, Config{Workers: 1}, Command)
	req := tree(t, map[string]string{"a.yaml": object("a"), "b.yaml": object("a")})
	_, want := All().Render(t.Context(), req)
	_, err := p.Render(t.Context(), req)
	if !errors.Is(err, render.ErrDuplicate) || err.Error() != want.Error() {
		t.Errorf("error %v, want %v", err, want)
	}
}

// TestLargeResponse checks that a response over the limit is refused.
func TestLargeResponse(t *testing.T) {
	p := newPool(t, Config{Workers: 1, Output: 2000}, Command)
	large := tree(t, map[string]string{"a.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata:\n  x: " +
		strings.Repeat("x", 4000) + "\n"})
	if _, err := p.Render(t.Context(), large); !errors.Is(err, confine.ErrOutput) {
		t.Errorf("error %v", err)
	}
	if _, err := p.Render(t.Context(), tree(t, map[string]string{"a.yaml": object("a")})); err != nil {
		t.Errorf("the next build: %v", err)
	}
}

// TestMemory checks that a build that needs too much memory costs one worker.
func TestMemory(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("no limit on memory on this system")
	}
	p := newPool(t, Config{Workers: 1, Memory: 400 << 20}, Command)
	// Many small values: some megabytes of YAML become many hundreds of objects.
	var many bytes.Buffer
	many.WriteString("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata:\n")
	for i := range 1_500_000 {
		fmt.Fprintf(&many, "  k%d: v\n", i)
	}
	_, err := p.Render(t.Context(), tree(t, map[string]string{"a.yaml": many.String()}))
	var died *confine.DiedError // it may outrun the watch
	if !errors.Is(err, confine.ErrMemory) && !errors.As(err, &died) || !strings.Contains(err.Error(), "memory") {
		t.Fatalf("error %v", err)
	}
	if _, err := p.Render(t.Context(), tree(t, map[string]string{"a.yaml": object("a")})); err != nil {
		t.Errorf("the next build: %v", err)
	}
}

// TestNoNetwork checks that a worker has no network for any tree.
func TestNoNetwork(t *testing.T) {
	asked := false
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked = true }))
	defer server.Close()
	req := tree(t, map[string]string{
		"kustomization.yaml": "resources: [a.yaml]\ntransformers: [plugin]\n",
		"a.yaml":             object("a"),
	})
	plugin := filepath.Join(req.Root, "plugin")
	if err := os.Mkdir(plugin, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string]string{
		"kustomization.yaml": "resources: [t.yaml]\npatches:\n- target: {kind: PatchTransformer}\n  patch: |\n    - {op: " +
			"replace, path: /path, value: \"" + server.URL + "/p.yaml\"}\n",
		"t.yaml": "apiVersion: builtin\nkind: PatchTransformer\nmetadata: {name: t}\npath: ../a.yaml\n",
	} {
		if err := os.WriteFile(filepath.Join(plugin, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	_, err := newPool(t, Config{}, Command).Render(t.Context(), req)
	if asked || err == nil || !strings.Contains(err.Error(), "a build has no network") {
		t.Errorf("asked %t, error %v", asked, err)
	}
}

// TestParallelBuilds checks that builds run in parallel.
func TestParallelBuilds(t *testing.T) {
	p := newPool(t, Config{Workers: 3}, Command)
	var builds sync.WaitGroup
	for i := range 12 {
		name := fmt.Sprintf("cm-%d", i)
		req := tree(t, map[string]string{"a.yaml": object(name)})
		builds.Go(func() {
			result, err := p.Render(t.Context(), req)
			if err != nil || !bytes.Contains(result.Encoded[0], []byte(name)) {
				t.Errorf("%v: %v", result, err)
			}
		})
	}
	builds.Wait()
}

// TestWorkerEnds checks that a worker ends when standard input ends.
func TestWorkerEnds(t *testing.T) {
	cmd := exec.Command(os.Args[0], Command)
	cmd.Stdin = strings.NewReader("")
	if out, err := cmd.CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("%v: %s", err, out)
	}
}

func BenchmarkWarmBuild1000Files(b *testing.B) {
	files := map[string]string{}
	for i := range 1000 {
		files[fmt.Sprintf("cm-%04d.yaml", i)] = fmt.Sprintf("apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: cm-%04d\n "+
			" namespace: default\ndata:\n  key: \"value-%d\"\n  other: |\n    some text\n    more text\n", i, i)
	}
	req := tree(b, files)
	p := newPool(b, Config{Workers: 1}, Command)
	if _, err := p.Render(b.Context(), req); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, err := p.Render(b.Context(), req); err != nil {
			b.Fatal(err)
		}
	}
}

func FuzzDecode(f *testing.F) {
	valid, err := encode(&render.Result{Encoded: [][]byte{[]byte(`{"kind":"X"}`)}})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(valid)
	f.Fuzz(func(_ *testing.T, answer []byte) { _, _ = decode(answer) })
}

// TestWorkerRelease checks that a worker returns what a chart renders beside objects.
func TestWorkerRelease(t *testing.T) {
	root := tree(t, map[string]string{
		"Chart.yaml": "apiVersion: v2\nname: app\nversion: 1.0.0\n", "templates/NOTES.txt": "notes",
		"templates/a.yaml": object("a"), "crds/c.yaml": "apiVersion: x/v1\nkind: CustomResourceDefinition\nmetadata: {name: c}\nspec: {i: 3, f: 1.5}\n",
		"templates/h.yaml": "apiVersion: batch/v1\nkind: Job\nmetadata:\n  name: h\n  annotations: {helm.sh/hook: test}\n" +
			"spec: {i: 3, big: 9007199254740993}\n",
	}).Root
	spec, err := json.Marshal(api.ChartBuild{Name: "a", Namespace: "b", ReleaseName: "a", ReleaseNamespace: "b",
		Chart: ".", Capabilities: helm.DefaultCapabilities(), Revision: 1})
	if err != nil {
		t.Fatal(err)
	}
	req := render.Request{Renderer: helm.Name, Spec: spec, Root: root}
	want, err := All().Render(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	got, err := newPool(t, Config{Workers: 1}, Command).Render(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	want.Release.Templates = nil // stays in the process that renders
	if !reflect.DeepEqual(got.Release, want.Release) || len(got.Release.Hooks) != 1 || len(got.Encoded) != 1 {
		t.Errorf("worker:\n%+v\nin process:\n%+v", got.Release, want.Release)
	}
}
