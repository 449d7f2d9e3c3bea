package helm

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/navefleet/nave/e2e/helmtest"
	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/render"
	"github.com/navefleet/nave/hub/internal/render/tree"
	"github.com/navefleet/nave/shared/manifest"
)

var update = flag.Bool("update", false, "write the results of the charts into their files")

// example is a chart in a txtar file. Files below chart/ are the chart; a folder whose name ends with .tgz becomes an
// archive. Files below values/ override the values, in the order of their names. The comment may have these lines:
//
//	namespace NAME
//	kube VERSION
//	apis API API …
//	upgrade
//	only 3, only 4      the other one does something else
//	only none           both do something else
//	link PATH TARGET    a symbolic link in the chart
type example struct {
	file    string
	archive *txtar.Archive
	dir     string // of the chart
	only    Compat
	in      Input
}

// errorFile of an example has parts of the error, one a line.
const errorFile = "error"

func openExample(t *testing.T, file string) *example {
	t.Helper()
	archive, err := txtar.ParseFile(file)
	if err != nil {
		t.Fatal(err)
	}
	x := &example{file: file, archive: archive, dir: filepath.Join(t.TempDir(), "chart")}
	x.in.Release = Release{Name: "demo", Namespace: "prod", Revision: 1}
	x.in.Capabilities = DefaultCapabilities()
	for _, f := range archive.Files {
		if name, ok := strings.CutPrefix(f.Name, "chart/"); ok {
			x.write(t, name, f.Data)
		}
	}
	for line := range strings.Lines(string(archive.Comment)) {
		x.configure(t, strings.Fields(line))
	}
	x.pack(t)
	return x
}

func (x *example) write(t *testing.T, name string, data []byte) {
	t.Helper()
	at := filepath.Join(x.dir, name)
	if err := errors.Join(os.MkdirAll(filepath.Dir(at), 0o755), os.WriteFile(at, data, 0o600)); err != nil {
		t.Fatal(err)
	}
}

// configure obeys one line of the comment. Lines that begin with another word are prose.
func (x *example) configure(t *testing.T, words []string) {
	if len(words) == 0 {
		return
	}
	switch words[0] {
	case "namespace":
		x.in.Release.Namespace = words[1]
	case "kube":
		x.in.Capabilities.KubeVersion = words[1]
	case "apis":
		x.in.Capabilities.APIVersions = append(x.in.Capabilities.APIVersions, words[1:]...)
	case "upgrade":
		x.in.Release.Upgrade = true
	case "only":
		x.only = map[string]Compat{"3": Helm3, "4": Helm4, "none": -1}[words[1]]
	case "link":
		if err := os.Symlink(words[2], filepath.Join(x.dir, words[1])); err != nil {
			t.Fatal(err)
		}
	}
}

// pack replaces each folder whose name ends with .tgz by an archive of its files.
func (x *example) pack(t *testing.T) {
	t.Helper()
	folders, err := filepath.Glob(filepath.Join(x.dir, "charts", "*.tgz"))
	if err != nil {
		t.Fatal(err)
	}
	for _, folder := range folders {
		data := archiveOf(t, folder)
		if err := errors.Join(os.RemoveAll(folder), os.WriteFile(folder, data, 0o600)); err != nil {
			t.Fatal(err)
		}
	}
}

func archiveOf(t *testing.T, folder string) []byte {
	t.Helper()
	var out bytes.Buffer
	zipped := gzip.NewWriter(&out)
	w := tar.NewWriter(zipped)
	err := errors.Join(w.AddFS(os.DirFS(folder)), w.Close(), zipped.Close())
	if err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// values writes the files below values/ and returns their paths.
func (x *example) values(t *testing.T) (files []string) {
	t.Helper()
	for _, f := range x.archive.Files {
		if name, ok := strings.CutPrefix(f.Name, "values/"); ok {
			at := filepath.Join(filepath.Dir(x.dir), path.Base(name))
			if err := os.WriteFile(at, f.Data, 0o600); err != nil {
				t.Fatal(err)
			}
			files = append(files, at)
		}
	}
	slices.Sort(files)
	return files
}

// render renders the example as a version of Helm does.
func (x *example) render(t *testing.T, compat Compat) (*render.Result, error) {
	t.Helper()
	in := x.in
	in.Compat = compat
	var from []api.ChartValues
	for _, file := range x.values(t) {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		text := string(data)
		from = append(from, api.ChartValues{Data: &text})
	}
	var err error
	if in.Values, err = MergeValues(from, nil); err != nil {
		return nil, err
	}
	if in.Files, err = filesBelow(t, x.dir); err != nil {
		return nil, err
	}
	unchanged := func(_ context.Context, all []document) ([]document, error) { return all, nil }
	return renderChart(t.Context(), V3{}, in, unchanged)
}

func filesBelow(t *testing.T, dir string) ([]File, error) {
	t.Helper()
	opened, err := tree.Open(t.Context(), dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer opened.Close()
	return readChart(opened, "/", false)
}

// arguments are those of helm template for the example.
func (x *example) arguments(t *testing.T) []string {
	args := []string{x.in.Release.Name, x.dir, "--namespace", x.in.Release.Namespace, "--include-crds", "--kube-version",
		x.in.Capabilities.KubeVersion}
	if x.in.Release.Upgrade {
		args = append(args, "--is-upgrade")
	}
	for _, api := range x.in.Capabilities.APIVersions {
		args = append(args, "--api-versions", api)
	}
	for _, file := range x.values(t) {
		args = append(args, "--values", file)
	}
	return args
}

// examples calls fn for each example.
func examples(t *testing.T, fn func(t *testing.T, x *example)) {
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no examples: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) { fn(t, openExample(t, file)) })
	}
}

// TestCharts checks that the charts of testdata render to what their files have in want.yaml, or fail with error.
func TestCharts(t *testing.T) {
	examples(t, func(t *testing.T, x *example) {
		r, err := x.render(t, Helm4)
		if parts := x.section(errorFile); parts != nil {
			checkError(t, err, parts, x.dir)
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		got := show(t, r)
		if *update {
			x.set("want.yaml", got)
			if err := os.WriteFile(x.file, txtar.Format(x.archive), 0o600); err != nil {
				t.Fatal(err)
			}
			return
		}
		if want := x.section("want.yaml"); !bytes.Equal(got, want) {
			t.Errorf("rendered:\n%s\nwant:\n%s", got, want)
		}
	})
}

func checkError(t *testing.T, err error, parts []byte, hidden string) {
	t.Helper()
	if err == nil {
		t.Fatalf("rendered; want an error with %s", parts)
	}
	for part := range strings.Lines(string(parts)) {
		if part = strings.TrimSpace(part); !strings.Contains(err.Error(), part) {
			t.Errorf("error:\n%v\nwant it to say: %s", err, part)
		}
	}
	if strings.Contains(err.Error(), hidden) {
		t.Errorf("error shows the hub's own path: %v", err)
	}
}

func (x *example) section(name string) []byte {
	for _, f := range x.archive.Files {
		if f.Name == name {
			return f.Data
		}
	}
	return nil
}

func (x *example) set(name string, data []byte) {
	x.archive.Files = slices.DeleteFunc(x.archive.Files, func(f txtar.File) bool { return f.Name == name })
	x.archive.Files = append(x.archive.Files, txtar.File{Name: name, Data: data})
}

// show returns a result as YAML.
func show(t *testing.T, r *render.Result) []byte {
	t.Helper()
	type hook struct {
		Events, DeletePolicies, OutputLogPolicies []string
		Weight                                    int
		Object                                    any
	}
	out := struct {
		Objects, CRDs []any
		Hooks         []hook
		Notes         string
		Asked         render.Asked
	}{Notes: r.Release.Notes, Asked: r.Release.Asked}
	for _, o := range r.Objects {
		out.Objects = append(out.Objects, o.Object)
	}
	for _, o := range r.Release.CRDs {
		out.CRDs = append(out.CRDs, o.Object)
	}
	for _, h := range r.Release.Hooks {
		out.Hooks = append(out.Hooks, hook{h.Events, h.DeletePolicies, h.OutputLogPolicies, h.Weight, h.Object.Object})
	}
	data, err := yaml.Marshal(out)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// TestHelm compares the charts of testdata with the real helm template of both versions.
func TestHelm(t *testing.T) {
	if testing.Short() {
		t.Skip("builds two helm commands")
	}
	for _, compat := range []Compat{Helm3, Helm4} {
		helm := newHelm(t, compat)
		t.Run(fmt.Sprintf("v%d", compat), func(t *testing.T) {
			examples(t, func(t *testing.T, x *example) {
				if x.only != 0 && x.only != compat {
					t.Skip("another version of Helm does something else")
				}
				compareWith(t, helm, x, compat)
			})
		})
	}
}

func newHelm(t *testing.T, compat Compat) helmtest.Helm {
	t.Helper()
	helm, err := helmtest.New(t.Context(), int(compat))
	if err != nil {
		t.Fatal(err)
	}
	return helm
}

// stricter is in the comment of an example that Helm refuses only when it applies the objects.
const stricter = "stricter"

// isStricter reports whether an error is one that Helm has only when it applies the objects.
func isStricter(err error) bool {
	return errors.Is(err, render.ErrIncomplete) || err != nil && strings.Contains(err.Error(), "want a text")
}

// templater is a helm command, or a version of an Oracle.
type templater interface {
	Template(ctx context.Context, args ...string) ([]helmtest.Document, error)
}

// compareWith compares an example with helm.
func compareWith(t *testing.T, helm templater, x *example, compat Compat) {
	t.Helper()
	documents, helmErr := helm.Template(t.Context(), x.arguments(t)...)
	r, err := x.render(t, compat)
	switch {
	case helmErr == nil && err != nil && !strings.Contains(string(x.archive.Comment), stricter):
		t.Fatalf("%v\nhelm has no error", err)
	case helmErr != nil && err == nil:
		t.Fatalf("no error; helm: %v", helmErr)
	case err != nil:
		return
	}
	want, wantCRDs := objectsOf(t, documents)
	got := objectsIn(r)
	forgetGenerated(t, x, compat, r, want)
	compare(t, got, want)
	compare(t, r.Release.CRDs, wantCRDs)
}

// forgetGenerated removes fields that differ from render to render from a result, and from the objects of helm.
func forgetGenerated(t *testing.T, x *example, compat Compat, r *render.Result, helm []*manifest.Object) {
	t.Helper()
	if files, err := filesBelow(t, x.dir); err == nil && !isGenerating(Input{Files: files}) {
		return
	}
	second, err := x.render(t, compat)
	if err != nil {
		t.Fatal(err)
	}
	ours, others := objectsIn(r), objectsIn(second)
	for i := range min(len(ours), len(others), len(helm)) {
		for _, field := range differing(ours[i].Object, others[i].Object, "") {
			for _, o := range []*manifest.Object{ours[i], helm[i]} {
				unstructured.RemoveNestedField(o.Object, strings.Split(strings.TrimPrefix(field, "/"), "/")...)
			}
		}
	}
}

// objectsOf returns the objects that helm template printed, and the CRDs, which helm prints in any order, by name.
func objectsOf(t *testing.T, printed []helmtest.Document) (objects, crds []*manifest.Object) {
	t.Helper()
	for _, d := range printed {
		parsed, err := parseTexts(map[string]string{d.Source: strings.TrimSuffix(d.Text, "\n")}, Helm4)
		if err != nil {
			t.Fatal(err)
		}
		flat, err := flatten(parsed)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(d.Source, "/crds/") {
			crds = append(crds, flat...)
		} else {
			objects = append(objects, flat...)
		}
	}
	return objects, crds
}

func compare(t *testing.T, got, want []*manifest.Object) {
	t.Helper()
	for i := range max(len(got), len(want)) {
		var a, b any
		if i < len(got) {
			a = got[i].Object
		}
		if i < len(want) {
			b = want[i].Object
		}
		if !reflect.DeepEqual(a, b) {
			t.Fatalf("object %d of %d:\n%s\nhelm, of %d:\n%s", i, len(got), asYAML(t, a), len(want), asYAML(t, b))
		}
	}
}

func asYAML(t *testing.T, v any) []byte {
	t.Helper()
	data, err := yaml.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// TestCorpus compares the charts below the folder HELM_CORPUS with the real helm.
func TestCorpus(t *testing.T) {
	root := os.Getenv("HELM_CORPUS")
	if root == "" {
		t.Skip("HELM_CORPUS names no folder with charts")
	}
	compareBelow(t, root)
}

// TestCorpus_helm compares the charts of Helm's own tests with the real helm.
func TestCorpus_helm(t *testing.T) {
	if testing.Short() {
		t.Skip("builds two versions of Helm")
	}
	for _, major := range []int{3, 4} {
		compareBelow(t, helmtest.Module(t, major))
	}
}

// compareBelow compares each chart below a folder, and each chart in an archive, with both versions of Helm, with its
// own values and with each file in its ci folder.
func compareBelow(t *testing.T, root string) {
	oracle, charts := helmtest.NewOracle(t), 0
	err := filepath.WalkDir(root, func(at string, e os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		dir := at
		if strings.HasSuffix(at, ".tgz") {
			dir = unpacked(t, at)
		}
		if _, err := os.Stat(filepath.Join(dir, "Chart.yaml")); err != nil {
			return nil
		}
		charts++
		name, _ := filepath.Rel(root, at)
		for _, compat := range []Compat{Helm3, Helm4} {
			t.Run(fmt.Sprintf("%s/v%d", name, compat), func(t *testing.T) {
				compareFolder(t, oracle.Version(int(compat)), dir, compat)
			})
		}
		return nil // there may be a chart in a chart
	})
	if err != nil || charts == 0 {
		t.Fatalf("%d charts: %v", charts, err)
	}
	t.Logf("%d charts", charts)
}

// unpacked returns the folder of the chart in an archive. If the archive is broken, the folder is not whole.
func unpacked(t *testing.T, archive string) string {
	dir := t.TempDir()
	data, err := os.ReadFile(archive)
	if err != nil {
		t.Fatal(err)
	}
	zipped, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		return dir
	}
	for files := tar.NewReader(zipped); ; {
		header, err := files.Next()
		if err != nil {
			break
		}
		_, name, found := strings.Cut(path.Clean(header.Name), "/")
		text, err := io.ReadAll(files)
		if at := filepath.Join(dir, name); found && err == nil && header.Typeflag == tar.TypeReg {
			_ = os.MkdirAll(filepath.Dir(at), 0o755)
			_ = os.WriteFile(at, text, 0o600)
		}
	}
	return dir
}

// compareFolder compares one chart of the corpus for all of its values.
func compareFolder(t *testing.T, helm templater, dir string, compat Compat) {
	cases, err := filepath.Glob(filepath.Join(dir, "ci", "*.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	for _, values := range append(cases, "") {
		t.Run(filepath.Base(values), func(t *testing.T) {
			x := &example{dir: dir, archive: &txtar.Archive{}}
			x.in.Release = Release{Name: "demo", Namespace: "prod", Revision: 1}
			x.in.Capabilities = DefaultCapabilities()
			if values != "" {
				data, err := os.ReadFile(values)
				if err != nil {
					t.Fatal(err)
				}
				x.archive.Files = []txtar.File{{Name: "values/a.yaml", Data: data}}
				x.dir = filepath.Join(t.TempDir(), "chart")
				if err := os.CopyFS(x.dir, os.DirFS(dir)); err != nil {
					t.Fatal(err)
				}
			}
			if _, err := x.render(t, compat); isStricter(err) {
				t.Skip(err)
			}
			compareWith(t, helm, x, compat)
		})
	}
}

// TestChecklist checks that each chart of testdata is in the table of docs/design/helm.md, and the other way round.
func TestChecklist(t *testing.T) {
	text, err := os.ReadFile("../../../../docs/design/helm.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, found := strings.Cut(string(text), "| Rule | Charts, or tests |")
	table, _, ends := strings.Cut(table, "\n\n")
	if !found || !ends {
		t.Fatal("docs/design/helm.md has no table of rules")
	}
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		if name := strings.TrimSuffix(filepath.Base(file), ".txtar"); !strings.Contains(table, "`"+name+"`") {
			t.Errorf("%s is in no row", name)
		}
	}
	for _, m := range regexp.MustCompile("`([a-z0-9-]+)`").FindAllStringSubmatch(table, -1) {
		if !slices.Contains(files, "testdata/"+m[1]+".txtar") && m[1] != "include" && m[1] != "tpl" {
			t.Errorf("the table names %s, which is no chart", m[1])
		}
	}
}
