package helm

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"path/filepath"
	"strings"
	"testing"
)

// packed returns an archive of files, given as name and content.
func packed(files ...string) []byte {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	out := tar.NewWriter(z)
	for i := 0; i < len(files); i += 2 {
		_ = out.WriteHeader(&tar.Header{Name: files[i], Mode: 0o644, Size: int64(len(files[i+1]))})
		_, _ = out.Write([]byte(files[i+1]))
	}
	_, _ = out.Close(), z.Close()
	return b.Bytes()
}

// FuzzUnpack unpacks any archive: every file of a chart is below one folder with its name, within the limits.
func FuzzUnpack(f *testing.F) {
	f.Add(packed("a/Chart.yaml", "name: a\nversion: 1.0.0\n", "a/templates/x.yaml", "x: 1\n"))
	f.Add(packed("a/Chart.yaml", "name: ..\nversion: 1.0.0\n"))
	f.Add(packed("./a/Chart.yaml", "\xef\xbb\xbfname: b\nversion: 1\n", "b/../c", ""))
	limits := Limits{File: 1 << 12, Unpacked: 1 << 16, Entries: 20, Archive: 1 << 16}
	f.Fuzz(func(t *testing.T, archive []byte) {
		c, err := unpack(t.Context(), bytes.NewReader(archive), limits)
		if err != nil {
			return
		}
		size := 0
		for name, text := range c.files {
			size += len(text)
			if !filepath.IsLocal(name) || !strings.HasPrefix(name, c.Name+"/") || strings.ContainsRune(c.Name, '/') {
				t.Errorf("%q is not below %q", name, c.Name)
			}
			if int64(len(text)) > limits.File {
				t.Errorf("%q has %d bytes", name, len(text))
			}
		}
		if int64(size) > limits.Unpacked || len(c.files) > limits.Entries || c.Version == "" {
			t.Errorf("%d files with %d bytes, version %q", len(c.files), size, c.Version)
		}
	})
}
