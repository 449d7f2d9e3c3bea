package decrypt

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// The .paths file beside a file lists the values that the hub seals in it: document, type, path. The hub's own test
// holds it to that list.
func TestComments(t *testing.T) {
	for _, name := range []string{"comments", "marked"} {
		t.Run(name, func(t *testing.T) {
			p, err := openString(t, fixture(t, name+".yaml"), map[string][]byte{"age.agekey": fixture(t, "age.key")})
			if err != nil {
				t.Fatal(err)
			}
			plain, sealed := leaves(t, fixture(t, name+".plain.yaml")), map[string]bool{}
			for line := range strings.Lines(string(fixture(t, name+".paths"))) {
				fields := strings.Fields(line)
				document, err := strconv.Atoi(fields[0])
				if err != nil {
					t.Fatal(err)
				}
				at, path := fields[0]+"\x00"+strings.Join(fields[2:], "\x00"), fields[2:]
				if v, ok := p.Value(document, path); !ok || v != want(t, plain[at]) {
					t.Errorf("document %d, %q: not what was encrypted (found: %v)", document, path, ok)
				}
				sealed[leafKey(document, path)] = true
			}
			for at, v := range p.leaves {
				if !sealed[at] && v != "" { // the empty string is its own encryption, and no secret
					t.Errorf("%s is a value here, but not for the hub", at)
				}
			}
		})
	}
}

func TestComments_same_files(t *testing.T) {
	const render = "../../../hub/internal/render/"
	files, err := filepath.Glob("testdata/*")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, name := range files {
		here, there := fixture(t, filepath.Base(name)), []byte(nil)
		for _, folder := range []string{"seal/testdata", "kustomize/testdata/sops"} {
			data, err := os.ReadFile(filepath.Join(render, folder, filepath.Base(name)))
			if err != nil && !errors.Is(err, fs.ErrNotExist) {
				t.Fatal(err)
			}
			there = append(there, data...)
		}
		if !bytes.Equal(here, there) {
			t.Errorf("%s is not the file of that name below %s", name, render)
		}
	}
}
