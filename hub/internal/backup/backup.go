// Package backup writes everything that a hub needs to come back into one tar archive, while the hub runs, and makes a
// data folder of an archive.
//
// The archive has the store as of one moment, the files of the data folder beside it (keys and configurations, as they
// were at that moment), and at its end a manifest with the SHA-256 of each file. An archive that was cut off has no
// manifest, and is refused. Caches, which the hub makes again, are not in it.
package backup

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Database is the name of the store in the data folder.
const Database = "hub.db"

const (
	manifestName = "backup.json"
	format       = 1
	maxFile      = 1 << 20 // of all files but the store
	maxFiles     = 1000
)

// Manifest says what an archive has.
type Manifest struct {
	Format  int       `json:"format"`
	Created time.Time `json:"created"`
	Version string    `json:"version"` // of the hub
	Files   []File    `json:"files"`   // the store, and the files beside it, sorted by name
}

// File is a file of the data folder. Missing is set for one that the archive leaves out: a restore needs it from
// elsewhere.
type File struct {
	Name    string `json:"name"`
	Size    int64  `json:"size"`
	SHA256  string `json:"sha256"`
	Missing bool   `json:"missing,omitempty"`
}

// Needs returns the names of the files that a restore needs and the archive does not have.
func (m Manifest) Needs() (names []string) {
	for _, f := range m.Files {
		if f.Missing {
			names = append(names, f.Name)
		}
	}
	return names
}

// Store is what a backup copies: (*store.Store).Snapshot.
type Store interface {
	Snapshot(ctx context.Context, write func(size int64, file io.WriterTo) error) error
}

// Options are of one backup.
type Options struct {
	Folder  string // the data folder
	Version string // of the hub
	// WithoutKeys leaves out all files but the store. The manifest names them.
	WithoutKeys bool
	Now         time.Time
}

// Write writes an archive. The store and the files beside it are of one moment: if a file changes while the store is
// opened, both are read again.
func Write(ctx context.Context, w io.Writer, s Store, o Options) error {
	const attempts = 10
	for range attempts {
		before, err := readFiles(o.Folder)
		if err != nil {
			return err
		}
		moved := false
		err = s.Snapshot(ctx, func(size int64, db io.WriterTo) error {
			now, err := readFiles(o.Folder)
			if moved = err == nil && !maps.EqualFunc(before, now, bytes.Equal); moved || err != nil {
				return err
			}
			return write(w, size, db, now, o)
		})
		if err != nil || !moved {
			return err
		}
	}
	return errors.New("the files beside the store change all the time: try again")
}

func write(w io.Writer, size int64, db io.WriterTo, files map[string][]byte, o Options) error {
	out := tar.NewWriter(w)
	m := Manifest{Format: format, Created: o.Now.UTC(), Version: o.Version}
	add := func(name string, size int64, content io.WriterTo) error {
		sum := sha256.New()
		if err := out.WriteHeader(header(name, size, o.Now)); err != nil {
			return err
		}
		if _, err := content.WriteTo(io.MultiWriter(out, sum)); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		m.Files = append(m.Files, File{Name: name, Size: size, SHA256: hex.EncodeToString(sum.Sum(nil))})
		return nil
	}
	if err := add(Database, size, db); err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if o.WithoutKeys {
			m.Files = append(m.Files, File{Name: name, Size: int64(len(files[name])), SHA256: digest(files[name]),
				Missing: true})
		} else if err := add(name, int64(len(files[name])), bytes.NewReader(files[name])); err != nil {
			return err
		}
	}
	text, err := json.MarshalIndent(m, "", "  ")
	if err == nil {
		err = out.WriteHeader(header(manifestName, int64(len(text)), o.Now))
	}
	if err == nil {
		_, err = out.Write(text)
	}
	return errors.Join(err, out.Close())
}

func header(name string, size int64, at time.Time) *tar.Header {
	return &tar.Header{Name: name, Size: size, Mode: 0o600, ModTime: at.Truncate(time.Second), Format: tar.FormatPAX}
}

func digest(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

// readFiles reads the files of a data folder that a backup has beside the store, in the folder and in the folders below
// it that have keys.
func readFiles(folder string) (map[string][]byte, error) {
	files := map[string][]byte{}
	var read func(dir string) error
	read = func(dir string) error {
		entries, err := os.ReadDir(filepath.Join(folder, dir))
		for _, e := range entries {
			name := filepath.ToSlash(filepath.Join(dir, e.Name()))
			if err != nil || isLeftOut(name) {
				continue
			}
			var kind fs.FileMode
			switch kind, err = kindOf(folder, name, e); {
			case err != nil:
			case len(files) > maxFiles:
				err = fmt.Errorf("%s has more than %d files beside the store: move away what is not the hub's", folder,
					maxFiles)
			case kind.IsDir():
				err = read(name)
			case kind.IsRegular():
				files[name], err = readFile(filepath.Join(folder, name))
			}
			if errors.Is(err, fs.ErrNotExist) { // it was replaced meanwhile
				delete(files, name)
				err = nil
			}
		}
		return err
	}
	return files, read(".")
}

// kindOf returns what an entry is. Keys may be links, as in a folder where a Secret is mounted: the hub follows them,
// and a backup without them would not bring it back.
func kindOf(folder, name string, e fs.DirEntry) (fs.FileMode, error) {
	if e.Type()&fs.ModeSymlink == 0 {
		return e.Type(), nil
	}
	info, err := os.Stat(filepath.Join(folder, name))
	if err != nil {
		return 0, err
	}
	return info.Mode().Type(), nil
}

// isLeftOut reports whether a file or folder is no part of a backup: the store itself, caches, what begins with a dot,
// as unfinished files do, the manifest of an archive that was unpacked by hand, and what file systems keep there.
func isLeftOut(name string) bool {
	return name == "sources" || strings.HasPrefix(name, Database) || strings.HasPrefix(filepath.Base(name), ".") ||
		name == SocketName || name == manifestName || name == "lost+found"
}

func readFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err == nil && len(data) > maxFile {
		err = fmt.Errorf("%s has more than %d bytes: it is no file of the hub; move it away", path, maxFile)
	}
	return data, err
}
