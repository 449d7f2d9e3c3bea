package store

import (
	"context"
	"maps"
	"slices"
	"strings"
	"sync"
)

// OpenMemory returns a new store in memory, which the end of the process deletes. It is for tests and trials.
func OpenMemory(options ...Option) *Store {
	return newStore(&memory{tables: map[string][]entry{}}, newEpoch(), options)
}

// entry is one row.
type entry struct {
	key   string
	value []byte
}

// memory is the engine in memory. A committed table is replaced, never changed, so that a reader keeps the state of its
// begin.
type memory struct {
	mu     sync.Mutex
	tables map[string][]entry // sorted by key; nil: closed
}

func (m *memory) begin(_ context.Context, writable bool) (engineTx, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.tables == nil {
		return nil, ErrClosed
	}
	t := &memoryTx{memory: m, tables: m.tables}
	if writable {
		t.tables, t.own = maps.Clone(m.tables), map[string]bool{}
	}
	return t, nil
}

func (m *memory) close() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.tables = nil
	return nil
}

// memoryTx copies a table before its first write to it.
type memoryTx struct {
	memory *memory
	tables map[string][]entry
	own    map[string]bool // tables that this transaction has copied
}

func find(rows []entry, key string) (int, bool) {
	return slices.BinarySearchFunc(rows, key, func(e entry, key string) int { return strings.Compare(e.key, key) })
}

func (t *memoryTx) get(table, key string) ([]byte, error) {
	rows := t.tables[table]
	if i, ok := find(rows, key); ok {
		return rows[i].value, nil
	}
	return nil, nil
}

func (t *memoryTx) put(table, key string, value []byte) error {
	if !t.own[table] {
		t.own[table] = true
		t.tables[table] = slices.Clone(t.tables[table])
	}
	rows := t.tables[table]
	i, ok := find(rows, key)
	switch {
	case value == nil && ok:
		t.tables[table] = slices.Delete(rows, i, i+1)
	case value != nil && ok:
		rows[i].value = value
	case value != nil:
		t.tables[table] = slices.Insert(rows, i, entry{key, value})
	}
	return nil
}

func (t *memoryTx) scan(table, prefix, after string, visit func(key string, value []byte) error) error {
	rows := t.tables[table]
	from, _ := find(rows, startOf(prefix, after))
	for _, e := range rows[from:] {
		if !strings.HasPrefix(e.key, prefix) {
			return nil
		}
		if err := visit(e.key, e.value); err != nil {
			return err
		}
	}
	return nil
}

func (t *memoryTx) commit() error {
	t.memory.mu.Lock()
	defer t.memory.mu.Unlock()
	if t.memory.tables == nil {
		return ErrClosed
	}
	t.memory.tables = t.tables
	return nil
}

func (t *memoryTx) rollback() {}
