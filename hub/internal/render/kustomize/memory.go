package kustomize

import (
	"encoding/json"
	"fmt"

	"github.com/navefleet/nave/hub/internal/lru"
	"github.com/navefleet/nave/shared/manifest"
)

// Limits of the content whose objects are remembered, in bytes. The objects take several times as much memory.
const (
	parsedSize   = 16 << 20
	finishedSize = 32 << 20
)

// Between two builds of a tree most files are equal. Parsing, finishing and encoding their objects is most of a build's
// work, so the process remembers them.
var (
	// parsed has the objects of files whose finished objects depend on more than a finishedKey, by content.
	parsed = lru.New[manifest.Digest, []*manifest.Object](parsedSize)
	// finished has the finished objects of all other files.
	finished = lru.New[finishedKey, []finishedObject](finishedSize)
)

// finishedKey identifies what the finished objects of a file depend on: its content, and what finishing adds.
type finishedKey struct{ content, added manifest.Digest }

type finishedObject struct {
	object    *manifest.Object
	canonical []byte
}

// memory is the use that one build makes of finished. The zero memory remembers nothing.
type memory struct {
	added manifest.Digest
	// canonical has the canonical JSON of objects that were finished by an earlier build.
	canonical map[*manifest.Object][]byte
	fresh     []freshFile
}

// freshFile is a file whose finished objects can be remembered.
type freshFile struct {
	content manifest.Digest
	objects []*manifest.Object
}

// newMemory returns the memory of a build that puts a namespace on its objects; empty: it does not.
func newMemory(spec *Spec, namespace string) (*memory, error) {
	added, err := json.Marshal(struct {
		Name, Namespace, Target string
		Common                  any
	}{spec.Name, spec.Namespace, namespace, spec.CommonMetadata})
	if err != nil {
		return nil, fmt.Errorf("name a build: %w", err)
	}
	return &memory{manifest.DigestOf(added), map[*manifest.Object][]byte{}, nil}, nil
}

// recall returns the finished objects of a file. If they are not remembered, recall returns false.
func (m *memory) recall(content manifest.Digest) (objects []*manifest.Object, ok bool) {
	known, ok := finished.Get(finishedKey{content, m.added})
	for _, f := range known {
		o := f.object.DeepCopy()
		m.canonical[o] = f.canonical
		objects = append(objects, o)
	}
	return objects, ok
}

// unfinished returns the objects that finish has to finish.
func (m *memory) unfinished(objects []*manifest.Object) (rest []*manifest.Object) {
	for _, o := range objects {
		if _, done := m.canonical[o]; !done {
			rest = append(rest, o)
		}
	}
	return rest
}

// keep remembers the finished objects of the build's files.
func (m *memory) keep() error {
	for _, f := range m.fresh {
		known, size := make([]finishedObject, len(f.objects)), 0
		for i, o := range f.objects {
			data, err := manifest.Canonical(o)
			if err != nil {
				return err
			}
			m.canonical[o] = data
			known[i] = finishedObject{o.DeepCopy(), data}
			size += len(data)
		}
		finished.Put(finishedKey{f.content, m.added}, known, size)
	}
	return nil
}

// dependsOnContent reports whether a finished object depends on nothing but its file and on what a memory has added:
// finish neither seals nor substitutes anything in it.
func dependsOnContent(o *manifest.Object) bool {
	_, encrypted := o.Object["sops"]
	return !encrypted && o.GetKind() != "Secret" && !manifest.IsDecryptionDisabled(o) && !hasReference(o.Object)
}

func copies(objects []*manifest.Object) []*manifest.Object {
	out := make([]*manifest.Object, len(objects))
	for i, o := range objects {
		out[i] = o.DeepCopy()
	}
	return out
}
