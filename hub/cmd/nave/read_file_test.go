package main

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/navefleet/nave/hub/internal/artifact"
)

// TestManifestsIn_hostile refuses files of a folder that are not its own regular files, without opening them.
func TestManifestsIn_hostile(t *testing.T) {
	outside := t.TempDir()
	for name, c := range map[string]struct {
		make func(path string) error
		err  string
	}{
		"fifo":        {func(path string) error { return syscall.Mkfifo(path, 0o600) }, "x.yaml is not a regular file"},
		"device":      {func(path string) error { return os.Symlink("/dev/zero", path) }, "leads out of"},
		"outside":     {func(path string) error { return os.Symlink(outside+"/a.yaml", path) }, "leads out of"},
		"link_fifo":   {func(path string) error { return os.Symlink("fifo", path) }, "x.yaml is not a regular file"},
		"dangling":    {func(path string) error { return os.Symlink("none.yaml", path) }, "no such file"},
		"inside":      {func(path string) error { return os.Symlink("a.yaml", path) }, ""},
		"other_name":  {func(path string) error { return os.Symlink("/dev/zero", path+".txt") }, ""},
		"folder_link": {func(path string) error { return os.Symlink("/dev", path+".d") }, ""},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			err := errors.Join(syscall.Mkfifo(filepath.Join(dir, "fifo"), 0o600), c.make(filepath.Join(dir, "x.yaml")),
				os.WriteFile(filepath.Join(dir, "a.yaml"), nil, 0o600), os.WriteFile(filepath.Join(outside, "a.yaml"), nil, 0o600))
			if err != nil {
				t.Fatal(err)
			}
			for _, path := range []string{dir, linkTo(t, dir)} {
				found, err := manifestsIn([]string{path}, true)
				if c.err == "" && (err != nil || !slices.Contains(found, filepath.Join(path, "a.yaml"))) ||
					c.err != "" && (err == nil || !strings.Contains(err.Error(), c.err)) {
					t.Errorf("%v, %v; want %q", found, err, c.err)
				}
			}
		})
	}
}

func linkTo(t *testing.T, dir string) string {
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(dir, link); err != nil {
		t.Fatal(err)
	}
	return link
}

// TestReadInput_size reads no more than the limit of a file without end.
func TestReadInput_size(t *testing.T) {
	if _, err := readInput(nil, "/dev/zero"); !errors.Is(err, artifact.ErrLimit) {
		t.Error(err)
	}
}

// TestIgnorePatterns reads the rules of a folder before those below it, and none of what is no regular file.
func TestIgnorePatterns(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte(text), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	write(".sourceignore", "*.md\n")
	write("a/.sourceignore", "!keep.md\n/only.yaml\n")
	write(".git/.sourceignore", "*\n")
	write("pipe/x", "")
	write("link/x", "")
	if err := errors.Join(syscall.Mkfifo(filepath.Join(dir, "pipe", ".sourceignore"), 0o600),
		os.Symlink("/dev/zero", filepath.Join(dir, "link", ".sourceignore"))); err != nil {
		t.Fatal(err)
	}
	for _, root := range []string{dir, linkTo(t, dir)} {
		excludes, err := ignored(root, nil)
		if err != nil {
			t.Fatal(err)
		}
		for path, want := range map[string]bool{"x.md": true, "a/x.md": true, "a/keep.md": false, "a/only.yaml": true,
			"a/b/only.yaml": false, "only.yaml": false, "pipe/x": false, "link/x": false} {
			if excludes(path, false) != want {
				t.Errorf("%s is excluded: %t, want %t", path, !want, want)
			}
		}
	}
	write("large/.sourceignore", strings.Repeat("a\n", maxIgnore/2+1))
	if _, err := ignored(dir, nil); !errors.Is(err, artifact.ErrLimit) {
		t.Error(err)
	}
}
