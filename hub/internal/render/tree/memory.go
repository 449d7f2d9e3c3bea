package tree

import (
	"path"
	"slices"
	"strings"

	"github.com/navefleet/nave/hub/internal/artifact"
	"github.com/navefleet/nave/hub/internal/lru"
	"github.com/navefleet/nave/hub/internal/render"
	"github.com/navefleet/nave/shared/manifest"
)

const (
	contentsSize = 16 << 20 // limits the contents that are remembered, in bytes
	indexesSize  = 200_000  // limits the indexes that are remembered, in files
	overhead     = 256      // bytes of a content beside its data
)

// content is the content of a file.
type content struct {
	data []byte
	fact string // see render.Reads
}

// contents remembers contents between the trees of this process. Between two commits most files stay the same.
var contents = lru.New[artifact.ContentID, content](contentsSize)

// index is the index of an artifact without symlinks. Its maps must not be changed.
type index struct {
	files   map[string]artifact.ContentID // by path
	folders map[string][]Entry            // by path, sorted by name
}

// indexes remembers the indexes of artifacts, because several renders read one artifact.
var indexes = lru.New[manifest.Digest, *index](indexesSize)

// UseIndex lets t take folders from the index of an artifact, and the content of a file from memory, if it was read
// before. If the index cannot be read, or the artifact has symlinks, which give files a second path, t reads from disk.
func (t *Tree) UseIndex(dir string, digest manifest.Digest) {
	if digest == (manifest.Digest{}) || t.exclude != nil {
		return
	}
	found, ok := indexes.Get(digest)
	if !ok {
		found = indexOf(dir, digest)
		indexes.Put(digest, found, 1+len(found.files))
	}
	t.index = found
}

// indexOf returns the index of an artifact. If t has to read from disk, the index is empty.
func indexOf(dir string, digest manifest.Digest) *index {
	files, err := artifact.Workspace{}.Files(artifact.Artifact{Dir: dir, Digest: digest})
	isOdd := func(f artifact.File) bool {
		return f.Mode == artifact.Symlink || f.Size > MaxFileSize || !artifact.IsPlain(f.Path)
	}
	if err != nil || slices.ContainsFunc(files, isOdd) {
		return &index{}
	}
	x := &index{files: make(map[string]artifact.ContentID, len(files)), folders: map[string][]Entry{"/": nil}}
	for _, f := range files {
		p := "/" + f.Path
		x.files[p] = f.Content
		x.add(path.Dir(p), Entry{Name: path.Base(p)})
	}
	for _, entries := range x.folders {
		slices.SortFunc(entries, func(a, b Entry) int { return strings.Compare(a.Name, b.Name) })
	}
	return x
}

// fileType returns the type of the file at a path. If the index is empty, fileType returns false.
func (x *index) fileType(p string) (render.FileType, bool) {
	if x.folders == nil {
		return render.Absent, false
	}
	if _, ok := x.files[p]; ok {
		return render.Regular, true
	}
	if _, ok := x.folders[p]; ok {
		return render.Directory, true
	}
	return render.Absent, true
}

// add adds an entry to a folder, and the folder to the one above it.
func (x *index) add(folder string, e Entry) {
	_, known := x.folders[folder]
	x.folders[folder] = append(x.folders[folder], e)
	if !known {
		x.add(path.Dir(folder), Entry{Name: path.Base(folder), Dir: true})
	}
}

// contentOf returns the content of a file, from memory if possible.
func (t *Tree) contentOf(p string) (content, error) {
	id, ok := t.index.files[p]
	if ok {
		if c, ok := contents.Get(id); ok {
			return c, nil
		}
	}
	data, err := t.load(p)
	if err != nil {
		return content{}, err
	}
	c := content{data, factOf(data)}
	if ok {
		contents.Put(id, c, overhead+len(data))
	}
	return c, nil
}
