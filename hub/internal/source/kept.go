package source

import "sync"

// maxKept limits the values of a Kept.
const maxKept = 1000

// Kept keeps values that can be had again, such as tokens. If it is full, it drops them all. The zero Kept is empty. A
// Kept is safe for concurrent use.
type Kept[K comparable, V any] struct {
	mu     sync.Mutex
	values map[K]V
}

// Get returns the value of a key, and whether there is one.
func (k *Kept[K, V]) Get(key K) (V, bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	value, ok := k.values[key]
	return value, ok
}

// Put sets the value of a key.
func (k *Kept[K, V]) Put(key K, value V) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.values == nil || len(k.values) >= maxKept {
		k.values = map[K]V{}
	}
	k.values[key] = value
}

// Drop drops the value of a key.
func (k *Kept[K, V]) Drop(key K) {
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.values, key)
}
