package kustomize

import (
	"bytes"
	"fmt"
	"path"
	"slices"
	"strconv"

	"sigs.k8s.io/kustomize/api/types"
	"sigs.k8s.io/yaml"

	"github.com/navefleet/nave/hub/internal/render"
	"github.com/navefleet/nave/hub/internal/render/seal"
	"github.com/navefleet/nave/hub/internal/render/tree"
)

// joins replaces the resources that kustomization files list by fewer ones with the same objects in the same order,
// because kustomize has constant costs for each:
//
//   - a base that only lists resources is replaced by what it lists, unless a kustomization file below it was read
//     before: kustomize refuses a base with a directory from which the base is reached
//   - files that stand next to each other are replaced by one file with all their documents
//
// A build with joins that fails is repeated without them, so that its error names the files of the tree. A nil joins
// replaces nothing.
type joins struct {
	fsys  *fileSystem
	files map[string][]byte  // joined files, by path
	lists map[string]*listed // by path of the kustomization file; nil: being read
	reads map[string]int     // of kustomization files at or below a directory
	size  int                // bytes of files
}

// Limits of the joins of one build: bases that list each other can double with each level.
const (
	maxJoined = 32 << 20 // bytes of files
	maxParts  = 50_000   // resources of one kustomization file
)

// listed is a kustomization file and its resources.
type listed struct {
	parts []part
	only  bool // the file has nothing but local resources
	reads int  // at or below its directory when it was read, if nothing there was read before; or 0
}

// part is one resource of a kustomization file. If data is set, it is the content of the file at path, which may be
// joined with its neighbours.
type part struct {
	path string
	name string // in the kustomization file
	data []byte
	wide bool // a base below which a kustomization file was read before the base was
}

func newJoins(fsys *fileSystem) *joins {
	return &joins{fsys: fsys, files: map[string][]byte{}, lists: map[string]*listed{}, reads: map[string]int{}}
}

// file returns the content of a joined file.
func (j *joins) file(p string) ([]byte, bool) {
	if j == nil {
		return nil, false
	}
	data, ok := j.files[p]
	return data, ok
}

// join returns the content of a kustomization file with joined resources. k is the decoded file.
func (j *joins) join(p string, k *types.Kustomization, data []byte) ([]byte, error) {
	if j == nil {
		return data, nil
	}
	l, err := j.list(p, k)
	if err != nil {
		return nil, err
	}
	joined := *k
	if joined.Resources = j.joined(p, l.parts); slices.Equal(joined.Resources, k.Resources) {
		return data, nil
	}
	if j.size > maxJoined {
		return nil, fmt.Errorf("%s: %w: joined resources", tree.Local(p), render.ErrLimit)
	}
	return yaml.Marshal(joined)
}

// list returns the resources of a kustomization file. k is the decoded file.
func (j *joins) list(p string, k *types.Kustomization) (*listed, error) {
	j.lists[p] = nil
	for dir := p; dir != path.Dir(dir); {
		dir = path.Dir(dir)
		j.reads[dir]++
	}
	l := &listed{only: isPlain(k) && k.Namespace == "" && k.APIVersion == types.KustomizationVersion}
	for _, name := range k.Resources {
		if isRemote(name) || path.IsAbs(name) {
			l.parts, l.only = append(l.parts, part{name: name}), false
			continue
		}
		parts, err := j.partsOf(path.Dir(p), name)
		l.only = l.only && !slices.ContainsFunc(parts, func(a part) bool { return a.wide })
		if l.parts = append(l.parts, parts...); err == nil && len(l.parts) > maxParts {
			err = fmt.Errorf("%s: %w: more than %d resources", tree.Local(p), render.ErrLimit, maxParts)
		}
		if err != nil {
			return nil, err
		}
	}
	j.lists[p] = l
	return l, nil
}

// partsOf returns the resources that take the place of one in a kustomization file of a directory.
func (j *joins) partsOf(dir, name string) ([]part, error) {
	one := part{path: tree.Clean(path.Join(dir, name)), name: name}
	if j.fsys.is(one.path, render.Directory) {
		base, err := j.base(one.path)
		one.wide = base != nil && base.reads != j.reads[one.path]
		if err != nil || base == nil || !base.only || one.wide {
			return []part{one}, err
		}
		parts := slices.Clone(base.parts)
		for i := range parts {
			parts[i].name = relative(dir, parts[i].path)
		}
		return parts, nil
	}
	if data, err := j.fsys.tree.Read(one.path); err == nil && !isKustomizationFile(one.path) && canJoin(data) {
		one.data = data
	}
	return []part{one}, nil
}

// base returns the resources of the kustomization file of a directory. If kustomize would read the file in another
// directory, or is reading it, base returns nil.
func (j *joins) base(dir string) (*listed, error) {
	at, err := j.fsys.tree.Resolve(dir)
	if err != nil || at != dir {
		return nil, err
	}
	file, err := kustomizationFile(j.fsys, dir)
	if err != nil || file == "" {
		return nil, err
	}
	if l, known := j.lists[file]; known {
		return l, nil
	}
	_, k, err := j.fsys.admitted(file)
	if err != nil {
		return nil, err
	}
	above := j.reads[dir] > 0
	l, err := j.list(file, k)
	if err == nil && !above {
		l.reads = j.reads[dir]
	}
	return l, err
}

// canJoin reports whether kustomize reads the same objects from a manifest file as from one that also has other
// documents. kustomize treats a list differently if it is the only document, and the documents of a file are joined at
// line ends. SOPS files, files that are checked when kustomize reads them, and files whose text may be another than
// their bytes, are not joined.
func canJoin(data []byte) bool {
	if !bytes.HasSuffix(data, []byte("\n")) || bytes.ContainsAny(data, "\\&\x00") ||
		bytes.Contains(data, []byte("List")) || bytes.Contains(data, pluginMark) {
		return false
	}
	_, sealed := seal.Detect(data)
	return !sealed
}

// joined returns the resources of the kustomization file p that stand for parts.
func (j *joins) joined(p string, parts []part) (names []string) {
	for len(parts) > 0 {
		n := slices.IndexFunc(parts, func(a part) bool { return a.data == nil })
		if n < 0 {
			n = len(parts)
		}
		if n < 2 {
			names, parts = append(names, parts[0].name), parts[1:]
			continue
		}
		names, parts = append(names, j.put(p, parts[:n])), parts[n:]
	}
	return names
}

// put adds a file with the documents of parts, and returns its name in the kustomization file p. The file is below p,
// where a tree has no files.
func (j *joins) put(p string, parts []part) string {
	const separator = "---\n"
	size := 0
	for _, a := range parts {
		size += len(a.data) + len(separator)
	}
	at := path.Join(p, strconv.Itoa(len(j.files)))
	if j.size += size; j.size <= maxJoined {
		data := make([]byte, 0, size)
		for _, a := range parts {
			data = append(append(data, a.data...), separator...)
		}
		j.files[at] = bytes.TrimSuffix(data, []byte(separator))
	}
	return relative(path.Dir(p), at)
}
