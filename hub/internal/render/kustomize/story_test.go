package kustomize

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	"github.com/rogpeppe/go-internal/txtar"
	"sigs.k8s.io/yaml"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/render"
	"github.com/navefleet/nave/hub/internal/render/tree"
	"github.com/navefleet/nave/shared/manifest"
)

var update = flag.Bool("update", false, "write what the stories really give into them")

// A story is a txtar file. Files below tree/ are the artifact; spec.yaml is the Kustomization's spec; want.yaml is the
// objects, with <file: path> for the placeholder of a sealed value; error has parts of the error, one a line. The
// comment may have "sops PATH FIXTURE" and "symlink PATH TARGET" lines, which add to the tree, and "lenient".
func TestStories(t *testing.T) {
	stories, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(stories) == 0 {
		t.Fatalf("no stories: %v", err)
	}
	for _, file := range stories {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) { tell(t, file) })
	}
}

func tell(t *testing.T, file string) {
	archive, err := txtar.ParseFile(file)
	if err != nil {
		t.Fatal(err)
	}
	root := plantTree(t, archive)
	result, err := buildTree(t.Context(), root, specIn(t, archive))
	if parts := section(archive, "error"); parts != nil {
		if err == nil {
			t.Fatalf("built; want an error with %s", parts)
		}
		for part := range strings.Lines(string(parts)) {
			if part = strings.TrimSpace(part); !strings.Contains(err.Error(), part) {
				t.Errorf("error:\n%v\nwant it to say: %s", err, part)
			}
		}
		if strings.Contains(err.Error(), root) {
			t.Errorf("error shows the hub's own path: %v", err)
		}
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	got := show(t, result)
	if *update {
		setSection(archive, "want.yaml", got)
		if err := os.WriteFile(file, txtar.Format(archive), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if want := section(archive, "want.yaml"); !bytes.Equal(got, want) {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
	if !unchanged(result.Reads, plantTree(t, archive)) {
		t.Error("an equal tree elsewhere counts as changed")
	}
}

// buildTree builds a spec in the tree at root.
func buildTree(ctx context.Context, root string, spec Spec) (*render.Result, error) {
	data, err := Encode(spec)
	if err != nil {
		return nil, err
	}
	return Renderer{}.Render(ctx, render.Request{Spec: data, Root: root, Salt: []byte("salt")})
}

// unchanged reports whether a build of the tree at root would read exactly the same.
func unchanged(r render.Reads, root string) bool {
	probe := tree.NewProbe(root)
	defer probe.Close()
	return probe.Unchanged(r)
}

// plantTree writes a story's tree to a new directory.
func plantTree(t testing.TB, archive *txtar.Archive) string {
	root := t.TempDir()
	for _, f := range archive.Files {
		if name, ok := strings.CutPrefix(f.Name, "tree/"); ok {
			plant(t, root, name, f.Data)
		}
	}
	for line := range strings.Lines(string(archive.Comment)) {
		words := strings.Fields(line)
		switch {
		case len(words) == 3 && words[0] == "sops":
			data, err := os.ReadFile(filepath.Join("testdata/sops", words[2]))
			if err != nil {
				t.Fatal(err)
			}
			plant(t, root, words[1], data)
		case len(words) == 3 && words[0] == "symlink":
			if err := os.MkdirAll(filepath.Dir(filepath.Join(root, words[1])), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.Symlink(words[2], filepath.Join(root, words[1])); err != nil {
				t.Fatal(err)
			}
		}
	}
	return root
}

func plant(t testing.TB, root, name string, data []byte) {
	t.Helper()
	file := filepath.Join(root, name)
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, data, 0o644); err != nil {
		t.Fatal(err)
	}
}

func specIn(t testing.TB, archive *txtar.Archive) Spec {
	ks := &kustomizev1.Kustomization{}
	if err := yaml.UnmarshalStrict(section(archive, "spec.yaml"), &ks.Spec); err != nil {
		t.Fatal(err)
	}
	ks.Name, ks.Namespace = "apps", "flux-system"
	data, err := json.Marshal(ks)
	if err != nil {
		t.Fatal(err)
	}
	key := api.Key{Kind: api.KustomizationKind, Namespace: ks.Namespace, Name: ks.Name}
	spec, err := SpecOf(api.StoredObject(key, data))
	if err != nil {
		t.Fatal(err)
	}
	spec.Strict = !bytes.Contains(archive.Comment, []byte("\nlenient\n"))
	return spec
}

func section(archive *txtar.Archive, name string) []byte {
	for _, f := range archive.Files {
		if f.Name == name {
			return f.Data
		}
	}
	return nil
}

func setSection(archive *txtar.Archive, name string, data []byte) {
	for i, f := range archive.Files {
		if f.Name == name {
			archive.Files[i].Data = data
			return
		}
	}
	archive.Files = append(archive.Files, txtar.File{Name: name, Data: data})
}

// show writes a result as YAML documents. The owner labels, which every object has, are left out.
func show(t testing.TB, result *render.Result) []byte {
	var names []string
	for _, f := range result.Sealed {
		for _, v := range f.Values {
			names = append(names, v.Placeholder, "<"+f.Path+": "+strings.Join(v.Path, ".")+">")
		}
	}
	var out bytes.Buffer
	for i, o := range result.Objects {
		labels := o.GetLabels()
		if labels[NameLabel] != "apps" || labels[NamespaceLabel] != "flux-system" {
			t.Errorf("%s: owner labels: %v", o.GetName(), labels)
		}
		shown := o.DeepCopy()
		delete(labels, NameLabel)
		delete(labels, NamespaceLabel)
		shown.SetLabels(labels)
		decodeData(shown)
		if err := mapTexts(shown.Object, "", "", func(_, text string) (string, error) {
			return strings.NewReplacer(names...).Replace(text), nil
		}); err != nil {
			t.Fatal(err)
		}
		text, err := yaml.Marshal(shown.Object)
		if err != nil {
			t.Fatal(err)
		}
		if i > 0 {
			out.WriteString("---\n")
		}
		out.Write(text)
	}
	return out.Bytes()
}

// decodeData decodes the base64 of a Secret.
func decodeData(o *manifest.Object) {
	data, _ := o.Object[binaryFields(o)].(map[string]any)
	for k, v := range data {
		if text, ok := decoded(v.(string)); ok {
			data[k] = "decoded: " + text
		}
	}
}
