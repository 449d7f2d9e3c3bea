package source_test

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"strconv"
	"strings"
	"testing"

	"github.com/navefleet/nave/hub/internal/artifact"
	"github.com/navefleet/nave/hub/internal/source"
)

// sparse returns an archive of files that have no data, only holes of that size in bytes.
func sparse(t *testing.T, files int, size int64) []byte {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for i := range files {
		h := &tar.Header{Name: strconv.Itoa(i), Mode: 0o644, Size: 512, PAXRecords: map[string]string{
			"XXX.sparse.major": "1", "XXX.sparse.minor": "0", "XXX.sparse.realsize": strconv.FormatInt(size, 10),
			"XXX.sparse.name": strconv.Itoa(i) + ".yaml"}}
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte("0\n" + strings.Repeat("\x00", 510))); err != nil { // a map of no data
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return bytes.ReplaceAll(b.Bytes(), []byte("XXX.sparse"), []byte("GNU.sparse")) // which the writer refuses
}

// TestArchive_sparse counts the holes of sparse files as content.
func TestArchive_sparse(t *testing.T) {
	for name, c := range map[string]struct {
		files int
		size  int64
		err   error
	}{
		"small":     {1, 1 << 20, nil},
		"one_large": {1, 1 << 40, artifact.ErrLimit},
		"together":  {3, 1 << 20, artifact.ErrLimit},
	} {
		t.Run(name, func(t *testing.T) {
			a := source.Archive{Reader: bytes.NewReader(sparse(t, c.files, c.size)), Name: "it", Bytes: 2 << 20, Entries: 10}
			var read int64
			err := a.Unpack(t.Context(), func(_ string, _ artifact.Mode, content io.Reader) error {
				n, err := io.Copy(io.Discard, io.LimitReader(content, 8<<20))
				read += n
				return err
			})
			if !errors.Is(err, c.err) || read > 2<<20+1 || c.err == nil && read != c.size {
				t.Errorf("read %d bytes: %v; want %v", read, err, c.err)
			}
		})
	}
}
