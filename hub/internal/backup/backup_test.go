package backup

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// database is a store with one content.
type database struct {
	content string
	opened  func() // when the snapshot begins
}

func (d database) Snapshot(_ context.Context, write func(int64, io.WriterTo) error) error {
	if d.opened != nil {
		d.opened()
	}
	return write(int64(len(d.content)), strings.NewReader(d.content))
}

var noCheck = func(string) error { return nil }

// folderOf returns a folder with files.
func folderOf(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		put(t, dir, name, content)
	}
	return dir
}

func put(t *testing.T, dir, name, content string) {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

// contents returns the files of a folder.
func contents(t *testing.T, dir string) (files string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		name, _ := filepath.Rel(dir, path)
		files += name + "=" + string(data) + " "
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func archiveOf(t *testing.T, s Store, o Options) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := Write(t.Context(), &b, s, o); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

var dataFiles = map[string]string{"hub.db": "changes", "signing.key": "s", "ca/ca.key": "c", "ca/ca.crt": "d",
	"operator.yaml": "o", "sources/cache": "big", ".tmp": "half"}

// TestRestore brings back the store and the files beside it, without caches and unfinished files.
func TestRestore(t *testing.T) {
	archive := archiveOf(t, database{content: "rows"}, Options{Folder: folderOf(t, dataFiles), Version: "v1",
		Now: time.Unix(1, 0)})
	to := filepath.Join(t.TempDir(), "new")
	checked := ""
	m, err := Restore(bytes.NewReader(archive), to, "", func(path string) error {
		data, err := os.ReadFile(path)
		checked = string(data)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if got, want := contents(t, to), "ca/ca.crt=d ca/ca.key=c hub.db=rows operator.yaml=o signing.key=s "; got != want {
		t.Errorf("restored %s, want %s", got, want)
	}
	if checked != "rows" || m.Version != "v1" || !m.Created.Equal(time.Unix(1, 0)) || len(m.Needs()) > 0 {
		t.Errorf("checked %q, the manifest is %+v", checked, m)
	}
	_, err = Restore(bytes.NewReader(archive), to, "", noCheck)
	if err == nil || !strings.Contains(err.Error(), "has a store already") {
		t.Errorf("restored over a store: %v", err)
	}
}

// TestRestore_without_keys takes the keys from elsewhere, if they are the right ones.
func TestRestore_without_keys(t *testing.T) {
	archive := archiveOf(t, database{content: "rows"}, Options{Folder: folderOf(t, dataFiles), WithoutKeys: true})
	if bytes.Contains(archive, []byte("ca/ca.key\x00")) {
		t.Error("the archive has a key")
	}
	right := map[string]string{"signing.key": "s", "ca/ca.key": "c", "ca/ca.crt": "d", "operator.yaml": "o"}
	other := map[string]string{"signing.key": "other", "ca/ca.key": "c", "ca/ca.crt": "d", "operator.yaml": "o"}
	for name, c := range map[string]struct {
		data, keys map[string]string
		err        string
	}{
		"named":    {nil, right, ""},
		"in_place": {right, nil, ""},
		"missing":  {nil, map[string]string{"signing.key": "s"}, "the backup needs ca/ca.key, which is not in "},
		"other":    {nil, other, "signing.key in "},
		"differs":  {other, right, "has another signing.key than the backup"},
	} {
		t.Run(name, func(t *testing.T) {
			to, keys := folderOf(t, c.data), ""
			if c.keys != nil {
				keys = folderOf(t, c.keys)
			}
			before := contents(t, to)
			_, err := Restore(bytes.NewReader(archive), to, keys, noCheck)
			switch {
			case c.err == "" && (err != nil || !strings.Contains(contents(t, to), "hub.db=rows")):
				t.Errorf("%v: %s", err, contents(t, to))
			case c.err != "" && (err == nil || !strings.Contains(err.Error(), c.err) || contents(t, to) != before):
				t.Errorf("%v, want %s; the folder has %s", err, c.err, contents(t, to))
			}
		})
	}
}

// TestRestore_damaged refuses an archive that is cut off or changed anywhere, and leaves nothing behind.
func TestRestore_damaged(t *testing.T) {
	archive := archiveOf(t, database{content: strings.Repeat("rows", 1000)}, Options{Folder: folderOf(t, dataFiles)})
	refused := func(name string, archive []byte) {
		to := t.TempDir()
		if _, err := Restore(bytes.NewReader(archive), to, "", noCheck); err == nil {
			t.Errorf("%s: restored %s", name, contents(t, to))
		} else if left := contents(t, to); left != "" {
			t.Errorf("%s: left %s", name, left)
		}
	}
	end := bytes.LastIndex(archive, []byte(`"files"`))
	for cut := 0; cut < end; cut += 101 {
		refused(fmt.Sprint("cut at ", cut), archive[:cut])
	}
	changed := bytes.Clone(archive)
	changed[bytes.Index(changed, []byte("rowsrows"))]++
	refused("changed", changed)
	refused("check", nil)
}

// TestRestore_again removes what a killed restore left, and lets no second one into the folder.
func TestRestore_again(t *testing.T) {
	archive := archiveOf(t, database{content: "rows"}, Options{Folder: folderOf(t, dataFiles)})
	to := folderOf(t, map[string]string{unfinished + "1/ca/ca.key": "c", "signing.key": "s"})
	_, err := Restore(bytes.NewReader(archive), to, "", func(string) error {
		_, err := Restore(bytes.NewReader(archive), to, "", noCheck)
		if err == nil || !strings.Contains(err.Error(), "another restore into ") {
			t.Errorf("the second restore: %v", err)
		}
		return nil
	})
	if got, want := contents(t, to), "ca/ca.crt=d ca/ca.key=c hub.db=rows operator.yaml=o signing.key=s "; err != nil ||
		got != want {
		t.Errorf("%v: restored %s, want %s", err, got, want)
	}
}

// TestRestore_hub_starts does not replace the store of a hub that started while the archive was read.
func TestRestore_hub_starts(t *testing.T) {
	archive := archiveOf(t, database{content: "rows"}, Options{Folder: folderOf(t, dataFiles)})
	to := t.TempDir()
	_, err := Restore(bytes.NewReader(archive), to, "", func(string) error {
		put(t, to, Database, "new")
		return nil
	})
	if err == nil || !strings.Contains(err.Error(), "was made meanwhile") || !strings.Contains(contents(t, to),
		"hub.db=new ") {
		t.Errorf("%v: %s", err, contents(t, to))
	}
}

// TestWrite_links follows links to keys, and leaves out what is not the hub's.
func TestWrite_links(t *testing.T) {
	keys := folderOf(t, map[string]string{"signing.key": "s", "ca/ca.key": "c"})
	dir := folderOf(t, map[string]string{manifestName: "{}", "lost+found/1": "x"})
	for _, name := range []string{"signing.key", "ca"} {
		if err := os.Symlink(filepath.Join(keys, name), filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	archive, to := archiveOf(t, database{content: "rows"}, Options{Folder: dir}), t.TempDir()
	_, err := Restore(bytes.NewReader(archive), to, "", noCheck)
	if got, want := contents(t, to), "ca/ca.key=c hub.db=rows signing.key=s "; err != nil || got != want {
		t.Errorf("%v: restored %s, want %s", err, got, want)
	}
}

// TestRestore_hostile refuses archives that would write elsewhere or too much.
func TestRestore_hostile(t *testing.T) {
	for name, h := range map[string]*tar.Header{
		"parent":   {Name: "../evil", Size: 1},
		"absolute": {Name: "/tmp/evil", Size: 1},
		"unclean":  {Name: "ca/../../evil", Size: 1},
		"link":     {Name: "signing.key", Typeflag: tar.TypeSymlink, Linkname: "/etc/passwd"},
		"device":   {Name: "signing.key", Typeflag: tar.TypeChar},
		"large":    {Name: "signing.key", Size: maxFile + 1},
		"cache":    {Name: "sources", Size: 1},
		"locked":   {Name: "hub.db.lock", Size: 1},
	} {
		t.Run(name, func(t *testing.T) {
			var b bytes.Buffer
			w := tar.NewWriter(&b)
			h.Mode = 0o600
			if err := w.WriteHeader(h); err != nil {
				t.Fatal(err)
			}
			if _, err := io.CopyN(w, zeros{}, h.Size); err != nil {
				t.Fatal(err)
			}
			if err := w.Close(); err != nil {
				t.Fatal(err)
			}
			to := t.TempDir()
			_, err := Restore(&b, to, "", noCheck)
			if err == nil || !strings.Contains(err.Error(), "was not made by nave-hub backup") {
				t.Error(err)
			}
			if left := contents(t, to); left != "" {
				t.Errorf("left %s", left)
			}
		})
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// TestWrite_moment reads the files again if one changes while the store is opened.
func TestWrite_moment(t *testing.T) {
	dir, times := folderOf(t, dataFiles), 0
	s := database{content: "rows", opened: func() {
		if times++; times < 3 {
			put(t, dir, "signing.key", fmt.Sprint("key ", times))
		}
	}}
	archive := archiveOf(t, s, Options{Folder: dir})
	to := t.TempDir()
	if _, err := Restore(bytes.NewReader(archive), to, "", noCheck); err != nil || !strings.Contains(contents(t, to),
		"signing.key=key 2 ") || times != 3 {
		t.Errorf("%v: %s after %d times", err, contents(t, to), times)
	}
}

// TestServe gives a backup to whoever opens the socket, also in a folder whose path is longer than a socket's may be.
func TestServe(t *testing.T) {
	dir := filepath.Join(folderOf(t, nil), strings.Repeat("long", 40))
	put(t, dir, "signing.key", "s")
	if _, err := Dial(t.Context(), dir, false); !errors.Is(err, ErrNoHub) {
		t.Errorf("no hub: %v", err)
	}
	for range 2 { // the second takes the place of what the first left
		l, err := Listen(dir)
		if err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan bool)
		go func() {
			defer close(done)
			Serve(ctx, l, database{content: "rows"}, func() Options { return Options{Folder: dir} }, func(error) {})
		}()
		for _, without := range []bool{false, true} {
			archive, err := Dial(t.Context(), dir, without)
			if err != nil {
				t.Fatal(err)
			}
			m, err := Copy(io.Discard, archive)
			if err != nil || len(m.Files) != 2 || (len(m.Needs()) > 0) != without {
				t.Errorf("%v: %+v", err, m)
			}
			_ = archive.Close()
		}
		if info, err := os.Stat(filepath.Join(dir, SocketName)); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%v: the socket is %v", err, info.Mode())
		}
		stop()
		_ = l.Close()
		<-done
		if _, err := Dial(t.Context(), dir, false); !errors.Is(err, ErrNoHub) {
			t.Errorf("after the end: %v", err)
		}
	}
}

// FuzzRestore gives Restore any bytes.
func FuzzRestore(f *testing.F) {
	dir := f.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "signing.key"), []byte("s"), 0o600); err != nil {
		f.Fatal(err)
	}
	var b bytes.Buffer
	if err := Write(f.Context(), &b, database{content: "rows"}, Options{Folder: dir}); err != nil {
		f.Fatal(err)
	}
	f.Add(b.Bytes())
	f.Fuzz(func(t *testing.T, archive []byte) {
		to := t.TempDir()
		if _, err := Restore(bytes.NewReader(archive), to, "", noCheck); err != nil && contents(t, to) != "" {
			t.Errorf("%v: left %s", err, contents(t, to))
		}
	})
}
