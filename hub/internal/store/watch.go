package store

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"strings"
	"sync"
)

// Change names a row that was put or deleted. If Key is empty, every row of the table may have changed: the watcher was
// too far behind to keep single keys.
type Change struct{ Table, Key string }

// Compare orders changes by table and key.
func (c Change) Compare(other Change) int {
	return cmp.Or(strings.Compare(c.Table, other.Table), strings.Compare(c.Key, other.Key))
}

// maxPending is how many keys a watcher keeps before it replaces them by whole tables.
const maxPending = 1 << 18

// Watcher collects the names of the rows that changed since the last Take. A row that changes often is kept once, so
// that a slow watcher costs no more than the rows that exist. Read the rows themselves in a View after Take.
type Watcher struct {
	all    *watchers
	tables map[string]bool
	signal chan struct{}
	unbind func() bool // from the context of Watch

	mu      sync.Mutex
	pending map[Change]bool // nil: closed
}

// Watch starts to collect changes of the tables, or of all tables if none is named, until ctx ends. Call Watch before
// the View that reads the first state; then no change is lost between the two.
func (s *Store) Watch(ctx context.Context, tables ...string) *Watcher {
	w := &Watcher{
		all: &s.watchers, tables: map[string]bool{}, signal: make(chan struct{}, 1), pending: map[Change]bool{},
	}
	for _, t := range tables {
		w.tables[t] = true
	}
	s.watchers.add(w)
	w.unbind = context.AfterFunc(ctx, w.stop)
	return w
}

// C receives when there is something to Take. It is closed when the watcher or the store is closed, or the context of
// Watch ends.
func (w *Watcher) C() <-chan struct{} { return w.signal }

// Take returns the changes since the last Take, each once, sorted by table and key.
func (w *Watcher) Take() []Change {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.pending) == 0 {
		return nil
	}
	taken := slices.SortedFunc(maps.Keys(w.pending), Change.Compare)
	w.pending = map[Change]bool{}
	return taken
}

// Close ends the watcher and closes C. Further calls do nothing.
func (w *Watcher) Close() {
	w.unbind()
	w.stop()
}

func (w *Watcher) stop() {
	w.all.remove(w)
	w.end()
}

func (w *Watcher) end() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.pending != nil {
		w.pending = nil
		close(w.signal)
	}
}

// add notes the changes of the watched tables and signals if there were any.
func (w *Watcher) add(changes []Change) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.pending == nil {
		return
	}
	for _, c := range changes {
		if len(w.tables) == 0 || w.tables[c.Table] {
			w.note(c)
		}
	}
	if len(w.pending) > 0 {
		select {
		case w.signal <- struct{}{}:
		default:
		}
	}
}

// note adds one change to the pending ones; with too many of them it keeps tables only.
func (w *Watcher) note(c Change) {
	whole := Change{Table: c.Table}
	if w.pending[whole] {
		return
	}
	if len(w.pending) < maxPending {
		w.pending[c] = true
		return
	}
	for p := range w.pending {
		delete(w.pending, p)
		w.pending[Change{Table: p.Table}] = true
	}
	w.pending[whole] = true
}

// watchers are the open watchers of one store.
type watchers struct {
	mu  sync.Mutex
	set map[*Watcher]bool // nil: the store is closed
}

// add enters a watcher, or ends it if the store is closed.
func (ws *watchers) add(w *Watcher) {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	if ws.set == nil {
		w.end()
		return
	}
	ws.set[w] = true
}

func (ws *watchers) remove(w *Watcher) {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	delete(ws.set, w)
}

func (ws *watchers) wake(changes []Change) {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	for w := range ws.set {
		w.add(changes)
	}
}

func (ws *watchers) closeAll() {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	for w := range ws.set {
		w.end()
	}
	ws.set = nil
}
