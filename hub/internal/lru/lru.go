// Package lru keeps the values that were used most recently, up to a total size.
package lru

import (
	"container/list"
	"sync"
)

// Cache maps keys to values. If the values are larger than its limit, it drops those that were used least recently. A
// Cache is safe for concurrent use.
type Cache[K comparable, V any] struct {
	mu      sync.Mutex
	limit   int
	size    int
	recent  list.List // of entry, the most recently used first
	entries map[K]*list.Element
}

type entry[K comparable, V any] struct {
	key   K
	value V
	size  int
}

// New returns a Cache that holds values whose sizes add up to at most limit.
func New[K comparable, V any](limit int) *Cache[K, V] {
	return &Cache[K, V]{limit: limit, entries: map[K]*list.Element{}}
}

// Get returns the value of a key, and whether the Cache holds it.
func (c *Cache[K, V]) Get(key K) (value V, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e, ok := c.entries[key]
	if ok {
		c.recent.MoveToFront(e)
		value = e.Value.(entry[K, V]).value
	}
	return value, ok
}

// Put stores the value of a key, unless the Cache holds a value of the key, or the value is larger than the limit.
func (c *Cache[K, V]) Put(key K, value V, size int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, ok := c.entries[key]; ok || size > c.limit {
		return
	}
	c.entries[key] = c.recent.PushFront(entry[K, V]{key, value, size})
	for c.size += size; c.size > c.limit; {
		oldest := c.recent.Remove(c.recent.Back()).(entry[K, V])
		delete(c.entries, oldest.key)
		c.size -= oldest.size
	}
}
