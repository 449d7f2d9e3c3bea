package tree

import (
	"cmp"
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/navefleet/nave/hub/internal/artifact"
)

// texts are the contents of files by path; those of links are targets.
type texts map[string]string

func (s texts) Size(f artifact.File) (int64, error) { return int64(len(s[f.Path])), nil }

func (s texts) Read(_ context.Context, f artifact.File, _ int64) ([]byte, error) {
	return []byte(s[f.Path]), nil
}

// TestMemory reads a file of an artifact, and then the same content of another artifact, which is taken from memory.
func TestMemory(t *testing.T) {
	store := artifact.New(t.TempDir())
	open := func(files texts, links ...string) (*Tree, string) {
		made := artifact.Tree{Revision: "main", Contents: files}
		for path, text := range files {
			mode := artifact.Regular
			if len(links) > 0 && path == links[0] {
				mode = artifact.Symlink
			}
			if path == "run.sh" {
				mode = artifact.Executable
			}
			made.Files = append(made.Files, artifact.File{Path: path, Mode: mode,
				Content: artifact.IdentifyContent([]byte(text))})
		}
		a, err := store.Make(t.Context(), nil, func(w artifact.Workspace, _ *artifact.Artifact) (artifact.Artifact, error) {
			return w.Put(t.Context(), "00", made, nil)
		})
		if err != nil {
			t.Fatal(err)
		}
		tree, err := Open(t.Context(), store.Path(a), nil)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = tree.Close() })
		return tree, filepath.Join(filepath.Dir(filepath.Dir(store.Path(a))), "contents")
	}
	const text = "the content of TestMemory"
	first, _ := open(texts{"a": text})
	if data, err := first.Read("/a"); err != nil || string(data) != text {
		t.Fatalf("%q, %v", data, err)
	}
	for name, c := range map[string]struct {
		files texts
		link  string
		path  string
		read  bool
	}{
		"executable":     {texts{"run.sh": text}, "", "/run.sh", true},
		"in_memory":      {texts{"dir/b": text}, "", "/dir/b", true},
		"new_content":    {texts{"dir/b": "other"}, "", "/dir/b", false},
		"beside_a_link":  {texts{"dir/b": text, "link": "dir"}, "link", "/dir/b", true},
		"through_a_link": {texts{"dir/b": text, "link": "dir"}, "link", "/link/b", true},
		"new_by_a_link":  {texts{"dir/b": "others", "link": "dir"}, "link", "/link/b", false},
	} {
		t.Run(name, func(t *testing.T) {
			tree, contents := open(c.files, c.link)
			removed := artifact.IdentifyContent([]byte(cmp.Or(c.files["dir/b"], text)))
			if err := os.Remove(filepath.Join(contents, string(removed))); err != nil {
				t.Fatal(err)
			}
			data, err := tree.Read(c.path)
			if (err == nil) != c.read || c.read && string(data) != text {
				t.Errorf("%q, %v", data, err)
			}
			if c.read && tree.Reads().Facts[c.path] != first.Reads().Facts["/a"] {
				t.Error("the facts of equal files differ")
			}
		})
	}
}
