package store

import (
	"os"
	"strings"
	"testing"
)

// TestTables: every bucket has a name of its own, and doc.go shows its keys.
func TestTables(t *testing.T) {
	doc, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, name := range names() {
		if seen[name] {
			t.Errorf("%s: two tables have this name", name)
		}
		seen[name] = true
		if !strings.Contains(string(doc), "\n//\t"+name+" ") {
			t.Errorf("%s: doc.go does not show its keys", name)
		}
	}
}
