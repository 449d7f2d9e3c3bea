package reference

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/navefleet/nave/e2e/kubetest"
)

// TestPackages looks in ARCHITECTURE.md for the last element of every package's path. Fetchers and renderers need no
// line: a kind adds them.
func TestPackages(t *testing.T) {
	checkout, err := kubetest.Root()
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(checkout, "ARCHITECTURE.md"))
	if err != nil {
		t.Fatal(err)
	}
	layers := strings.Split(string(text), "\n## ")[3]
	for _, side := range []string{"hub", "spoke", "shared", "e2e"} {
		files, err := below(filepath.Join(checkout, side), ".go")
		if err != nil {
			t.Fatal(err)
		}
		seen := map[string]bool{}
		for _, file := range files {
			name := filepath.Base(filepath.Dir(file))
			if seen[name] || strings.Contains(file, "testdata") || name == "prepare" || isOfKinds(file) {
				continue
			}
			seen[name] = true
			if !strings.Contains(layers, "`"+name+"`") && !strings.Contains(layers, "/"+name+"`") {
				t.Errorf("the layers of ARCHITECTURE.md lack the package %s", filepath.Dir(file))
			}
		}
	}
}

// isOfKinds reports whether a file is in a folder below hub/internal/source or hub/internal/render.
func isOfKinds(file string) bool {
	above := filepath.ToSlash(filepath.Dir(filepath.Dir(file)))
	return strings.HasSuffix(above, "hub/internal/source") || strings.HasSuffix(above, "hub/internal/render")
}
