package git

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/go-git/go-git/v5/plumbing"

	"github.com/navefleet/nave/hub/internal/artifact"
)

// objects are the Git objects of a cache: packs as they arrived, with an index each, and loose objects. The file of a
// loose object has the bytes that Git hashes ("blob 3\0abc"), uncompressed. Callers compare objects with their hashes.
type objects struct {
	dir   string
	packs []*openPack // nil until one is needed
}

// openPack is a pack with its files.
type openPack struct {
	*pack
	file, index *os.File
}

// recentBytes is how many bytes of objects are kept in memory for each open pack.
const recentBytes = 16 << 20

func (o *objects) packDir() string { return filepath.Join(o.dir, "pack") }

func (o *objects) packName(checksum plumbing.Hash) string {
	return filepath.Join(o.packDir(), "pack-"+checksum.String())
}

func (o *objects) looseName(id plumbing.Hash) string {
	name := id.String()
	return filepath.Join(o.dir, name[:2], name[2:])
}

// has reports whether the cache has an object.
func (o *objects) has(id plumbing.Hash) (bool, error) {
	if _, err := os.Stat(o.looseName(id)); err == nil {
		return true, nil
	}
	_, _, err := o.locate(id)
	if errors.Is(err, plumbing.ErrObjectNotFound) {
		return false, nil
	}
	return err == nil, cacheError(err)
}

// get returns an object's kind and content.
func (o *objects) get(id plumbing.Hash) (plumbing.ObjectType, []byte, error) {
	text, err := os.ReadFile(o.looseName(id))
	switch {
	case err == nil:
		return cutHeader(text)
	case !errors.Is(err, os.ErrNotExist):
		return 0, nil, err
	}
	pack, offset, err := o.locate(id)
	if err != nil {
		return 0, nil, err
	}
	return pack.object(offset)
}

// size returns the length of an object's content.
func (o *objects) size(id plumbing.Hash) (int64, error) {
	if pack, offset, err := o.locate(id); err == nil {
		return pack.size(offset)
	}
	_, content, err := o.get(id)
	return int64(len(content)), err
}

// add writes a loose object and returns how many bytes it takes on disk. A half written object is detected when read.
func (o *objects) add(id plumbing.Hash, kind plumbing.ObjectType, content []byte) (int64, error) {
	text := append(fmt.Appendf(nil, "%s %d\x00", kind, len(content)), content...)
	name := o.looseName(id)
	err := os.WriteFile(name, text, 0o600)
	if errors.Is(err, os.ErrNotExist) {
		if err = os.MkdirAll(filepath.Dir(name), 0o700); err == nil {
			err = os.WriteFile(name, text, 0o600)
		}
	}
	if err != nil {
		return 0, cacheError(artifact.StorageError(err))
	}
	return onDisk(int64(len(text))), nil
}

// onDisk returns how many bytes a file of n bytes takes on most disks.
func onDisk(n int64) int64 {
	const block = 4 << 10
	return (n + block - 1) / block * block
}

// cutHeader parses the header of an object and returns the rest as content.
func cutHeader(text []byte) (kind plumbing.ObjectType, content []byte, err error) {
	first, content, _ := bytes.Cut(text, []byte{0})
	name, _, _ := strings.Cut(string(first), " ")
	kind, err = plumbing.ParseObjectType(name)
	return kind, content, err
}

// locate finds an object in the packs. If no pack has the object, the error is plumbing.ErrObjectNotFound.
func (o *objects) locate(id plumbing.Hash) (*openPack, int64, error) {
	if err := o.open(); err != nil {
		return nil, 0, err
	}
	for _, pack := range o.packs {
		if offset, err := pack.find(id); !errors.Is(err, plumbing.ErrObjectNotFound) {
			return pack, offset, err
		}
	}
	return nil, 0, plumbing.ErrObjectNotFound
}

// open opens all packs and reads their indexes.
func (o *objects) open() error {
	if o.packs != nil {
		return nil
	}
	names, err := filepath.Glob(filepath.Join(o.packDir(), "pack-*.pack"))
	if err != nil {
		return err
	}
	o.packs = []*openPack{}
	for _, name := range names {
		p, err := openPackFile(strings.TrimSuffix(name, ".pack"))
		if err != nil {
			o.close() // so that the next search does not go without this pack
			return err
		}
		o.packs = append(o.packs, p)
	}
	return nil
}

func openPackFile(name string) (*openPack, error) {
	indexFile, err := os.Open(name + ".idx")
	if err != nil {
		return nil, err
	}
	index, err := openPackIndex(indexFile)
	if err != nil {
		return nil, errors.Join(err, indexFile.Close())
	}
	file, err := os.Open(name + ".pack")
	if err != nil {
		return nil, errors.Join(err, indexFile.Close())
	}
	return &openPack{newPack(file, index.find, newRecent(recentBytes)), file, indexFile}, nil
}

// close closes the packs; the next use opens them again.
func (o *objects) close() {
	for _, p := range o.packs {
		_ = errors.Join(p.file.Close(), p.index.Close())
	}
	o.packs = nil
}
