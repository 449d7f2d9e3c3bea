package tree

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestNames has names that an artifact may have and a render cannot use.
func TestNames(t *testing.T) {
	root := t.TempDir()
	for _, name := range []string{"app.yaml", "caf\xe9.yaml", "Icon\r"} {
		if err := os.WriteFile(filepath.Join(root, name), []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	tree, err := Open(t.Context(), root, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer tree.Close()
	if entries, err := tree.List("/"); err != nil || len(entries) != 3 {
		t.Errorf("listed %v, %v", entries, err)
	}
	if _, err := tree.Read("/app.yaml"); err != nil {
		t.Error(err)
	}
	for name, quoted := range map[string]string{"/caf\xe9.yaml": `"caf\xe9.yaml"`, "/Icon\r": `"Icon\r"`} {
		if _, err := tree.Read(name); err == nil || !strings.Contains(err.Error(), quoted) {
			t.Errorf("read %q: %v", name, err)
		}
	}
}
