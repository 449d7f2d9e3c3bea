package helm

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/navefleet/nave/hub/internal/render"
	"github.com/navefleet/nave/hub/internal/render/tree"
)

// TestReadChart_limits checks that files that Helm would not load are refused, also inside of archives.
func TestReadChart_limits(t *testing.T) {
	zeros := bytes.Repeat([]byte{0}, maxFileSize+1)
	part := zeros[:maxFileSize]
	for name, c := range map[string]struct {
		files map[string][]byte
		want  string
	}{
		"file":        {map[string][]byte{"big.bin": zeros}, "big.bin"},
		"ignored":     {map[string][]byte{"big.bin": zeros, ".helmignore": []byte("*.bin\n")}, ""},
		"in_archive":  {map[string][]byte{"charts/a.tgz/a/big.bin": zeros}, "big.bin"},
		"all_archive": {map[string][]byte{"charts/a.tgz/a/0": part, "charts/a.tgz/a/1": part}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			x := &example{dir: filepath.Join(t.TempDir(), "chart")}
			x.write(t, "Chart.yaml", []byte("apiVersion: v2\nname: app\nversion: 1.0.0\n"))
			for file, data := range c.files {
				x.write(t, file, data)
				if strings.HasPrefix(file, "charts/a.tgz/") {
					x.write(t, "charts/a.tgz/a/Chart.yaml", []byte("apiVersion: v2\nname: a\nversion: 1.0.0\n"))
				}
			}
			x.pack(t)
			files, err := filesBelow(t, x.dir)
			if err == nil {
				_, err = load(files)
			}
			if (err != nil) != (c.want != "") || err != nil && !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want it to name %q", err, c.want)
			}
		})
	}
}

// TestReadChart_circle checks that symbolic links that make a circle are an error.
func TestReadChart_circle(t *testing.T) {
	dir := t.TempDir()
	if err := os.Symlink(".", filepath.Join(dir, "again")); err != nil {
		t.Fatal(err)
	}
	if _, err := filesBelow(t, dir); err == nil {
		t.Error("it has no error")
	}
}

// TestReadChart_branches checks that symbolic links that stand for 30^6 folders are an error, and soon.
func TestReadChart_branches(t *testing.T) {
	dir := t.TempDir()
	const levels = 6
	for i := range levels {
		level := filepath.Join(dir, fmt.Sprint(i))
		if err := os.Mkdir(level, 0o700); err != nil {
			t.Fatal(err)
		}
		for link := range 30 {
			if err := os.Symlink(fmt.Sprintf("../%d", i+1), filepath.Join(level, fmt.Sprint(link))); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := os.Mkdir(filepath.Join(dir, fmt.Sprint(levels)), 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := filesBelow(t, dir); !errors.Is(err, render.ErrLimit) || !strings.Contains(err.Error(), "symbolic links") {
		t.Errorf("error %v", err)
	}
}

// TestReadChart_many checks that a chart of very many files is refused, also if they are in one or in many archives.
func TestReadChart_many(t *testing.T) {
	const files = 10_001
	dir := t.TempDir()
	for i := range files {
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprint(i)), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	inner := archiveOf(t, dir) // a chart has a folder with a name
	x := &example{dir: filepath.Join(t.TempDir(), "chart")}
	x.write(t, "Chart.yaml", nil)
	x.write(t, "charts/a.tgz", inner)
	if _, err := filesBelow(t, x.dir); err == nil {
		t.Error("files beside the folder of a chart have no error")
	}
	outer := t.TempDir()
	if err := os.Rename(dir, filepath.Join(outer, "a")); err != nil {
		t.Fatal(err)
	}
	x.write(t, "charts/a.tgz", archiveOf(t, outer))
	if got, err := filesBelow(t, x.dir); err != nil || len(got) != files+1 {
		t.Errorf("one archive: %d files, %v", len(got), err)
	}
	x.write(t, "charts/b.tgz", archiveOf(t, outer))
	if _, err := filesBelow(t, x.dir); !errors.Is(err, render.ErrLimit) {
		t.Errorf("two archives: %v", err)
	}
}

// TestReadChart_unpacked checks that .helmignore does not count in what was an archive.
func TestReadChart_unpacked(t *testing.T) {
	x := &example{dir: t.TempDir()}
	x.write(t, ".helmignore", []byte("a.txt\n"))
	x.write(t, "a.txt", nil)
	opened, err := tree.Open(t.Context(), x.dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer opened.Close()
	for unpacked, want := range map[bool]int{true: 2, false: 1} {
		if files, err := readChart(opened, "/", unpacked); err != nil || len(files) != want {
			t.Errorf("unpacked %t: %d files, %v", unpacked, len(files), err)
		}
	}
}

// TestReadChart_packed checks that the files of packed subcharts are read, also of those in a packed subchart.
func TestReadChart_packed(t *testing.T) {
	x := &example{dir: filepath.Join(t.TempDir(), "chart")}
	inner := filepath.Join(t.TempDir(), "inner")
	if err := os.MkdirAll(filepath.Join(inner, "b/templates"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(inner, "b/templates/b.yaml"), []byte("b"), 0o600); err != nil {
		t.Fatal(err)
	}
	x.write(t, "charts/a.tgz/a/Chart.yaml", nil)
	x.write(t, "charts/a.tgz/a/charts/b.tgz", archiveOf(t, inner))
	x.pack(t)
	x.write(t, "charts/_c.tgz", []byte("no archive, and ignored"))
	files, err := filesBelow(t, x.dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, f := range files {
		names = append(names, f.Name)
	}
	want := []string{"charts/_c.tgz", "charts/a.tgz!/Chart.yaml", "charts/a.tgz!/charts/b.tgz!/templates/b.yaml"}
	if !slices.Equal(names, want) {
		t.Errorf("%v, want %v", names, want)
	}
	x.write(t, "charts/d.tgz", []byte("no archive"))
	if _, err := filesBelow(t, x.dir); err == nil || !strings.Contains(err.Error(), "charts/d.tgz: ") {
		t.Errorf("error %v", err)
	}
}

// TestDefaults checks that the values of a chart for the record are those that Helm stores: with imported values, with
// those of subcharts that Chart.yaml names, and without those of the release.
func TestDefaults(t *testing.T) {
	root := chartTree(t, map[string]string{
		"charts/app/Chart.yaml": "apiVersion: v2\nname: app\nversion: 1.0.0\n" +
			"dependencies: [{name: sub, version: 1.0.0, import-values: [data]}]\n",
		"charts/app/charts/sub/Chart.yaml":  "apiVersion: v2\nname: sub\nversion: 1.0.0\n",
		"charts/app/charts/sub/values.yaml": "exports: {data: {c: sub, b: sub}}\nempty: null\n",
	})
	b := newBuild()
	b.Values = []byte(`{"a": "release"}`)
	r, err := render1(t, root, b)
	if err != nil {
		t.Fatal(err)
	}
	const want = `{"a":"chart","b":"chart","c":"sub","sub":{"empty":null,"exports":{"data":{"b":"sub","c":"sub"}},"global":{}}}`
	if got := string(r.Release.Chart.Defaults); got != want {
		t.Errorf("%s, want %s", got, want)
	}
}
