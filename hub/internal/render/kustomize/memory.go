package kustomize

import (
	"container/list"
	"crypto/sha256"
	"sync"

	"github.com/navefleet/nave/shared/manifest"
)

// parsedSize bounds the content whose objects are remembered, in bytes. Objects take several times as much.
const parsedSize = 32 << 20

// parsed remembers the objects of files between builds of this process. Parsing YAML is most of a build's work, and
// between two builds of a tree most files are equal.
var parsed = newMemory(parsedSize)

// memory is a least-recently-used cache from content to objects, safe for concurrent use.
type memory struct {
	mu    sync.Mutex
	limit int
	size  int
	order *list.List // of *remembered, newest first
	byKey map[[sha256.Size]byte]*list.Element
}

type remembered struct {
	key     [sha256.Size]byte
	size    int
	objects []*manifest.Object
}

func newMemory(limit int) *memory {
	return &memory{limit: limit, order: list.New(), byKey: map[[sha256.Size]byte]*list.Element{}}
}

// get returns copies of the objects that data was parsed to.
func (m *memory) get(data []byte) ([]*manifest.Object, bool) {
	key := sha256.Sum256(data)
	m.mu.Lock()
	defer m.mu.Unlock()
	e, ok := m.byKey[key]
	if !ok {
		return nil, false
	}
	m.order.MoveToFront(e)
	return copies(e.Value.(*remembered).objects), true
}

// put remembers copies of objects.
func (m *memory) put(data []byte, objects []*manifest.Object) {
	key := sha256.Sum256(data)
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, ok := m.byKey[key]; ok || len(data) > m.limit {
		return
	}
	m.byKey[key] = m.order.PushFront(&remembered{key, len(data), copies(objects)})
	for m.size += len(data); m.size > m.limit; {
		oldest := m.order.Back()
		r := m.order.Remove(oldest).(*remembered)
		delete(m.byKey, r.key)
		m.size -= r.size
	}
}

func copies(objects []*manifest.Object) []*manifest.Object {
	out := make([]*manifest.Object, len(objects))
	for i, o := range objects {
		out[i] = o.DeepCopy()
	}
	return out
}
