package tree

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/navefleet/nave/hub/internal/render"
)

// TestSuggest suggests nothing that the place of a missing path cannot use.
func TestSuggest(t *testing.T) {
	root := t.TempDir()
	for _, name := range []string{"apps/production/a.yaml", "apps/prod.yaml", "clusters.yaml", "strategic-merges/x.yaml"} {
		at := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(at, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for name, target := range map[string]string{"link": "apps/production", "notes.yaml": "clusters.yaml"} {
		if err := os.Symlink(target, filepath.Join(root, name)); err != nil {
			t.Fatal(err)
		}
	}
	tree, err := Open(t.Context(), root, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer tree.Close()
	const directory, file = render.Directory, render.Regular
	for name, tt := range map[string]struct {
		missing string
		types   []render.FileType
		want    string
	}{
		"directory":         {"/apps/prod", []render.FileType{directory}, " (did you mean ./apps/production?)"},
		"either":            {"/apps/prod", []render.FileType{file, directory}, " (did you mean ./apps/prod.yaml?)"},
		"file":              {"/apps/prod.yml", []render.FileType{file}, " (did you mean ./apps/prod.yaml?)"},
		"no_directory":      {"/cluster", []render.FileType{directory}, ""},
		"no_file":           {"/strategic-merges.yaml", []render.FileType{file}, ""},
		"no_directory_here": {"/cluster/prod", []render.FileType{directory, file}, ""},
		"file_below":        {"/app/prod.yaml", []render.FileType{file}, " (did you mean ./apps/prod.yaml?)"},
		"link":              {"/linc", []render.FileType{directory}, " (did you mean ./link?)"},
		"link_to_file":      {"/note.yaml", []render.FileType{directory}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			if got := tree.Suggest(tt.missing, tt.types...); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}
