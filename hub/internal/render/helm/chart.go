package helm

import (
	"bytes"
	"fmt"
	"io/fs"
	"path"
	"strings"
	"time"

	"helm.sh/helm/v3/pkg/ignore"

	"github.com/navefleet/nave/hub/internal/render"
	"github.com/navefleet/nave/hub/internal/render/tree"
)

// The limits of a chart, as in Helm.
const (
	maxFileSize  = 5 << 20   // bytes of one file
	maxChartSize = 100 << 20 // bytes of all files
	maxDepth     = 64        // folders inside each other; symbolic links may make circles
	maxEntries   = 20_000    // files and folders; Helm has no such limit
)

// byteOrderMark may begin a text file.
var byteOrderMark = []byte{0xEF, 0xBB, 0xBF}

// readChart returns the files of the chart in a folder of the tree, without those that .helmignore names, and with the
// files of packed subcharts. The folder of an archive has everything that it shall have, so .helmignore does not count
// there.
func readChart(t *tree.Tree, folder string, unpacked bool) ([]File, error) {
	r := chartReader{tree: t, root: folder, rules: ignore.Empty()}
	if !unpacked {
		if err := r.readIgnore(); err != nil {
			return nil, err
		}
		r.rules.AddDefaults()
	}
	if err := r.walk(folder, 0); err != nil {
		return nil, err
	}
	return unpackSubcharts(r.files)
}

// chartReader reads the files of one chart.
type chartReader struct {
	tree    *tree.Tree
	root    string
	rules   *ignore.Rules
	files   []File
	size    int
	entries int
}

func (r *chartReader) readIgnore() error {
	p := path.Join(r.root, ignore.HelmIgnore)
	kind, err := r.tree.Type(p)
	if err != nil || kind != render.Regular {
		return err
	}
	data, err := r.tree.Read(p)
	if err != nil {
		return err
	}
	if r.rules, err = ignore.Parse(bytes.NewReader(data)); err != nil {
		return fmt.Errorf("%s: %w", tree.Local(p), err)
	}
	return nil
}

// walk reads the files in a folder and in the folders below it, sorted by name.
func (r *chartReader) walk(folder string, depth int) error {
	if depth > maxDepth {
		return fmt.Errorf("%s: %w: more than %d folders inside each other; a symbolic link may make a circle",
			tree.Local(r.root), render.ErrLimit, maxDepth)
	}
	entries, err := r.tree.List(folder)
	if err != nil {
		return err
	}
	for _, e := range entries {
		at := path.Join(folder, e.Name)
		kind, err := r.tree.Type(at)
		if err != nil {
			return err
		}
		name := strings.TrimPrefix(strings.TrimPrefix(at, r.root), "/")
		if kind == render.Absent || r.rules.Ignore(name, entryInfo{e.Name, kind == render.Directory}) {
			continue
		}
		if r.entries++; r.entries > maxEntries {
			return tooMany(tree.Local(r.root))
		}
		if kind == render.Directory {
			err = r.walk(at, depth+1)
		} else {
			err = r.read(at, name)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// tooMany returns the error of a chart, or an archive in it, with too many entries.
func tooMany(name string) error {
	return fmt.Errorf("%s: %w: the chart has more than %d files and folders; symbolic links to folders may multiply them",
		name, render.ErrLimit, maxEntries)
}

// read reads one file within the limits.
func (r *chartReader) read(at, name string) error {
	data, err := r.tree.Read(at)
	if err != nil {
		return err
	}
	if len(data) > maxFileSize {
		return fmt.Errorf("%s: %w: %d bytes, Helm allows %d: keep it out with .helmignore", tree.Local(at),
			render.ErrLimit, len(data), maxFileSize)
	}
	if r.size += len(data); r.size > maxChartSize {
		return fmt.Errorf("%s: %w: the files of the chart have more than %d bytes", tree.Local(r.root), render.ErrLimit,
			maxChartSize)
	}
	r.files = append(r.files, File{name, bytes.TrimPrefix(data, byteOrderMark)})
	return nil
}

// entryInfo is what .helmignore needs to know of a file.
type entryInfo struct {
	name string
	dir  bool
}

var _ fs.FileInfo = entryInfo{}

// Name implements fs.FileInfo.
func (e entryInfo) Name() string { return e.name }

// IsDir implements fs.FileInfo.
func (e entryInfo) IsDir() bool { return e.dir }

// Mode implements fs.FileInfo.
func (e entryInfo) Mode() fs.FileMode {
	if e.dir {
		return fs.ModeDir
	}
	return 0
}

// Size, ModTime and Sys implement fs.FileInfo. Rules do not ask for them.
func (entryInfo) Size() int64        { return 0 }
func (entryInfo) ModTime() time.Time { return time.Time{} }
func (entryInfo) Sys() any           { return nil }
