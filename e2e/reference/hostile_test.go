package reference

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/navefleet/nave/e2e/kubetest"
)

var (
	testName  = regexp.MustCompile(`\b(Test|Fuzz)[A-Z]\w*`)
	testStory = regexp.MustCompile(`TestStories \(([^)]*)\)`)
	folder    = regexp.MustCompile("`([a-z0-9]+(/[a-z0-9]+)+)`")
)

// TestHostileInputs looks for each test that the numbered list of hostile inputs names, in the package that it names.
func TestHostileInputs(t *testing.T) {
	checkout, err := kubetest.Root()
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(checkout, "docs/design/hostile-inputs.md"))
	if err != nil {
		t.Fatal(err)
	}
	rows := 0
	for line := range strings.Lines(string(text)) {
		cells := strings.Split(line, "|")
		if !strings.HasPrefix(line, "| H") || len(cells) < 4 {
			continue
		}
		rows++
		for held := range strings.SplitSeq(cells[3], ";") {
			at := folder.FindStringSubmatch(held)
			if at == nil {
				t.Errorf("%s: no package in %q", cells[1], held)
				continue
			}
			requireTests(t, filepath.Join(checkout, at[1]), held)
		}
	}
	if rows != 21 {
		t.Errorf("%d rows", rows)
	}
}

// requireTests looks for the tests that a text names among those of a package, and for the stories in its testdata.
func requireTests(t *testing.T, dir, text string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	var there []string
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		there = append(there, testName.FindAllString(string(b), -1)...)
	}
	for _, name := range testName.FindAllString(text, -1) {
		if !slices.Contains(there, name) {
			t.Errorf("%s has no %s", dir, name)
		}
	}
	for _, stories := range testStory.FindAllStringSubmatch(text, -1) {
		for name := range strings.SplitSeq(stories[1], ", ") {
			if _, err := os.Stat(filepath.Join(dir, "testdata", name+".txtar")); err != nil {
				t.Error(err)
			}
		}
	}
}
