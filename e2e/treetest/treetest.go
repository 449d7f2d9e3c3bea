// Package treetest reads folders for tests.
package treetest

import (
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

// Files returns the files below a folder by path, with their contents. The content of a symlink is "-> TARGET".
func Files(t testing.TB, dir string) map[string]string {
	t.Helper()
	found := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		name, _ := filepath.Rel(dir, path)
		if d.Type() == fs.ModeSymlink {
			target, err := os.Readlink(path)
			found[name] = "-> " + target
			return err
		}
		text, err := os.ReadFile(path)
		found[name] = string(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}
