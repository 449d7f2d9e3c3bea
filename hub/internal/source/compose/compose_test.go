package compose

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/tools/txtar"
	"sigs.k8s.io/yaml"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/artifact"
	"github.com/navefleet/nave/hub/internal/source"
	"github.com/navefleet/nave/shared/manifest"
)

// memory is the contents of files by their IDs.
type memory map[artifact.ContentID]string

func (m memory) Size(f artifact.File) (int64, error) { return int64(len(m[f.Content])), nil }
func (m memory) Read(_ context.Context, f artifact.File, _ int64) ([]byte, error) {
	return []byte(m[f.Content]), nil
}

// store puts files, "path → target" for a symlink, as an artifact.
func store(t testing.TB, s *artifact.Store, revision string, files []txtar.File) artifact.Artifact {
	t.Helper()
	return storeAs(t, s, revision, files, nil)
}

// storeAs is store with spec.ignore.
func storeAs(t testing.TB, s *artifact.Store, revision string, files []txtar.File, ignore *string) artifact.Artifact {
	t.Helper()
	contents := memory{}
	tree := artifact.Tree{Revision: revision, Contents: contents, Ignore: ignore}
	for _, f := range files {
		name, target, isLink := strings.Cut(f.Name, " -> ")
		text, mode := string(f.Data), artifact.Regular
		if isLink {
			text, mode = target, artifact.Symlink
		}
		id := artifact.IdentifyContent([]byte(text))
		contents[id] = text
		tree.Files = append(tree.Files, artifact.File{Path: name, Mode: mode, Content: id})
	}
	a, err := s.Make(t.Context(), nil, func(w artifact.Workspace, _ *artifact.Artifact) (artifact.Artifact, error) {
		return w.Put(t.Context(), "00", tree, nil)
	})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// compose composes the artifact of an object.
func compose(t testing.TB, s *artifact.Store, text string, own, last *artifact.Artifact,
	inputs ...artifact.Artifact) (artifact.Artifact, error) {
	t.Helper()
	o, err := admitted(text)
	if err != nil {
		t.Fatal(err)
	}
	return composeObject(t, s, o, own, last, inputs...)
}

func admitted(text string) (*api.Object, error) {
	o := &manifest.Object{}
	if err := yaml.Unmarshal([]byte(text), &o.Object); err != nil {
		return nil, err
	}
	return api.Admit(o, api.Hub)
}

// quoted returns JSON.
func quoted(v any) string {
	text, _ := json.Marshal(v)
	return string(text)
}

func composeObject(t testing.TB, s *artifact.Store, o *api.Object, own, last *artifact.Artifact,
	inputs ...artifact.Artifact) (artifact.Artifact, error) {
	t.Helper()
	return s.Make(t.Context(), last, func(w artifact.Workspace, last *artifact.Artifact) (artifact.Artifact, error) {
		r := source.Request{Object: o, Own: own, Inputs: inputs, Last: last, Workspace: w}
		return Composer{}.Fetch(t.Context(), r)
	})
}

// tree returns the files of an artifact, "path: content".
func tree(t testing.TB, s *artifact.Store, a artifact.Artifact) string {
	t.Helper()
	var b strings.Builder
	root := t.TempDir()
	if err := s.Export(t.Context(), a, root); err != nil {
		t.Fatal(err)
	}
	err := filepath.WalkDir(root, func(name string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := os.ReadFile(name)
		below, _ := filepath.Rel(root, name)
		if d.Type()&os.ModeSymlink != 0 {
			below += "@"
		}
		fmt.Fprintf(&b, "%s: %s\n", below, strings.TrimSpace(string(text)))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// TestInclude composes a repository with others. An archive's comment is spec.include, want/ is the result, or the
// file error has words of the error.
func TestInclude(t *testing.T) {
	for name, text := range map[string]string{
		"default": "[{repository: {name: b}}]\n-- own/a.yaml --\n1\n-- b/x/c.yaml --\n2\n-- want --\na.yaml: 1\nb/x/c.yaml: 2\n",
		"paths": "[{repository: {name: b}, fromPath: ./x/, toPath: y/z}]\n-- own/y/a.yaml --\n1\n-- b/x/c.yaml --\n2\n" +
			"-- b/x2/d.yaml --\n3\n-- want --\ny/a.yaml: 1\ny/z/c.yaml: 2\n",
		"file": "[{repository: {name: b}, fromPath: x/c.yaml, toPath: y.yaml}]\n-- own/a.yaml --\n1\n-- b/x/c.yaml --\n2\n" +
			"-- want --\na.yaml: 1\ny.yaml: 2\n",
		"symlinks": "[{repository: {name: b}, fromPath: x}]\n-- own/a.yaml --\n1\n-- own/l -> a.yaml --\n" +
			"-- b/c.yaml --\n2\n-- b/x/to-file -> ../c.yaml --\n-- b/x/to-folder -> ../x --\n-- b/x/nowhere -> gone --\n" +
			"-- want --\na.yaml: 1\nl@: 1\nb/to-file: 2\n",
		"ignore": "[{repository: {name: b}}]\n-- own/.sourceignore --\nb/no.yaml\n-- b/no.yaml --\n1\n-- b/yes.yaml --\n2\n" +
			"-- want --\n.sourceignore: b/no.yaml\nb/yes.yaml: 2\n",
		"taken_folder": "[{repository: {name: b}}]\n-- own/b/a.yaml --\n1\n-- b/c.yaml --\n2\n" +
			"-- error --\nspec.include[0] toPath has b already\n",
		"taken_file": "[{repository: {name: b}, toPath: a}]\n-- own/a --\n1\n-- b/c.yaml --\n2\n" +
			"-- error --\nspec.include[0] toPath has a already\n",
		"below_a_file": "[{repository: {name: b}, toPath: a/b}]\n-- own/a --\n1\n-- b/c.yaml --\n2\n" +
			"-- error --\nspec.include[0] a is a file\n",
		"no_path": "[{repository: {name: b}, fromPath: nope}]\n-- own/a --\n1\n-- b/c.yaml --\n2\n" +
			"-- error --\nspec.include[0] fromPath no nope GitRepository flux-system/b main@1\n",
		"git": "[{repository: {name: b}, toPath: x/.GIT}]\n-- own/a --\n1\n-- b/config --\n2\n-- error --\n.GIT\n",
	} {
		t.Run(name, func(t *testing.T) {
			archive := txtar.Parse([]byte(text))
			s := artifact.New(t.TempDir())
			parts, want, words := map[string][]txtar.File{}, "", ""
			for _, f := range archive.Files {
				part, below, _ := strings.Cut(f.Name, "/")
				switch part {
				case "want":
					want = string(f.Data)
				case "error":
					words = string(f.Data)
				default:
					parts[part] = append(parts[part], txtar.File{Name: below, Data: f.Data})
				}
			}
			own, b := store(t, s, "main@0", parts["own"]), store(t, s, "main@1", parts["b"])
			object := "apiVersion: source.toolkit.fluxcd.io/v1\nkind: GitRepository\nmetadata: {name: a}\n" +
				"spec: {interval: 1m, url: \"https://example.com\", include: " + string(archive.Comment) + "}\n"
			a, err := compose(t, s, object, &own, nil, b)
			if words != "" {
				if err == nil {
					t.Fatal("no error")
				}
				for word := range strings.FieldsSeq(words) {
					if !strings.Contains(err.Error(), word) {
						t.Errorf("the error lacks %q: %v", word, err)
					}
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got := tree(t, s, a); got != sorted(want) || a.Revision != "main@0" {
				t.Errorf("revision %s, got:\n%swant:\n%s", a.Revision, got, want)
			}
			if again, err := compose(t, s, object, &own, &a, b); err != nil || again != a {
				t.Errorf("again: %+v, %v; want %+v", again, err, a)
			}
			if err := artifact.Verify(t.Context(), s.Path(a), a.Digest); err != nil {
				t.Error(err)
			}
		})
	}
}

// sorted returns the lines of a text in the order of paths.
func sorted(text string) string {
	lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	byPath := map[string]string{}
	var b strings.Builder
	dir, _ := os.MkdirTemp("", "sorted")
	defer os.RemoveAll(dir)
	for _, line := range lines {
		name, _, _ := strings.Cut(line, ": ")
		byPath[name] = line
		_ = os.MkdirAll(filepath.Join(dir, filepath.Dir(name)), 0o755)
		_ = os.WriteFile(filepath.Join(dir, name), nil, 0o644)
	}
	_ = filepath.WalkDir(dir, func(name string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			below, _ := filepath.Rel(dir, name)
			fmt.Fprintln(&b, byPath[below])
		}
		return err
	})
	return b.String()
}

// TestComposer_wrong gives it an artifact that is not what its digest says, and fewer artifacts than inputs.
func TestComposer_wrong(t *testing.T) {
	s := artifact.New(t.TempDir())
	own := store(t, s, "main@0", []txtar.File{{Name: "a"}})
	object := "apiVersion: source.toolkit.fluxcd.io/v1\nkind: GitRepository\nmetadata: {name: a}\n" +
		"spec: {interval: 1m, url: \"https://example.com\", include: [{repository: {name: b}}, {repository: {name: c}}]}\n"
	if _, err := compose(t, s, object, &own, nil, own); !errors.Is(err, source.ErrRequest) {
		t.Errorf("too few: %v", err)
	}
	bad := own
	bad.Digest[0]++
	if _, err := compose(t, s, object, &own, nil, own, bad); !errors.Is(err, artifact.ErrStorage) {
		t.Errorf("another digest: %v", err)
	}
}
