package reference

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/navefleet/nave/e2e/kubetest"
)

// TestPackages looks in ARCHITECTURE.md for the last element of every package's path. A folder of a kind, below source
// or render, must be in the sentence about its parent.
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
			dir := filepath.Dir(file)
			name, parent, within := filepath.Base(dir), filepath.Base(filepath.Dir(dir)), layers
			if parent == "source" || parent == "render" {
				_, within, _ = strings.Cut(layers, "`"+parent+"`:")
				within, _, _ = strings.Cut(within, ". ")
				name = parent + "/" + name
			}
			if seen[name] || strings.Contains(file, "testdata") || name == "prepare" {
				continue
			}
			seen[name] = true
			last := filepath.Base(name)
			if !strings.Contains(within, "`"+last+"`") && !strings.Contains(within, "/"+last+"`") {
				t.Errorf("the layers of ARCHITECTURE.md lack the package %s", dir)
			}
		}
	}
}
