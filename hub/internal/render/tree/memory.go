package tree

import (
	"slices"

	"github.com/navefleet/nave/hub/internal/artifact"
	"github.com/navefleet/nave/hub/internal/lru"
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

// indexes remembers the contents of the files of artifacts, by path, because several renders read one artifact.
var indexes = lru.New[manifest.Digest, map[string]artifact.ContentID](indexesSize)

// UseIndex lets t read the files of an artifact from memory, if their content was read before. If the index of the
// artifact cannot be read, or the artifact has symlinks, which give files a second path, t reads from disk.
func (t *Tree) UseIndex(dir string, digest manifest.Digest) {
	if digest == (manifest.Digest{}) || t.exclude != nil {
		return
	}
	index, ok := indexes.Get(digest)
	if !ok {
		index = indexOf(dir, digest)
		indexes.Put(digest, index, 1+len(index))
	}
	t.index = index
}

// indexOf returns the content of each file by its path.
func indexOf(dir string, digest manifest.Digest) map[string]artifact.ContentID {
	files, err := artifact.Workspace{}.Files(artifact.Artifact{Dir: dir, Digest: digest})
	isLink := func(f artifact.File) bool { return f.Mode == artifact.Symlink }
	if err != nil || slices.ContainsFunc(files, isLink) {
		return nil
	}
	index := make(map[string]artifact.ContentID, len(files))
	for _, f := range files {
		if f.Size <= MaxFileSize && artifact.IsPlain(f.Path) {
			index["/"+f.Path] = f.Content
		}
	}
	return index
}

// contentOf returns the content of a file, from memory if possible.
func (t *Tree) contentOf(p string) (content, error) {
	id, ok := t.index[p]
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
