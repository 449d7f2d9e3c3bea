package arch

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// testName is a test as documents name it.
var testName = regexp.MustCompile(`\b(?:Test|Fuzz|Benchmark)[A-Z]\w*`)

// TestDocs: every test that a document under docs/design names is there. A name may be the beginning of several, as
// -run takes it.
func TestDocs(t *testing.T) {
	root, there := root(t), []string{}
	declared := regexp.MustCompile(`(?m)^func (\w+)\(`)
	err := filepath.WalkDir(root, func(path string, _ os.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		b, err := os.ReadFile(path)
		for _, found := range declared.FindAllSubmatch(b, -1) {
			there = append(there, string(found[1]))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	documents, err := filepath.Glob(filepath.Join(root, "docs", "design", "*.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range documents {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range testName.FindAllString(string(b), -1) {
			if !slices.ContainsFunc(there, func(test string) bool { return strings.HasPrefix(test, name) }) {
				t.Errorf("%s names %s, which no test file has: name the test that holds this now", path, name)
			}
		}
	}
}
