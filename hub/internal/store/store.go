package store

import (
	"errors"
	"fmt"
	"sync"
)

// Errors of the store, to be told apart with errors.Is.
var (
	ErrNotFound = errors.New("not found")
	// ErrReadOnly: a View tried to write.
	ErrReadOnly = errors.New("write in a read-only transaction")
	// ErrClosed: the store, or the transaction, is over.
	ErrClosed = errors.New("store is closed")
	// ErrFull: the disk has no room for a transaction. Nothing of it was written; the store stays usable.
	ErrFull = errors.New("no space left for the store: free some on its disk; nothing was lost, and the hub tries again")
	// ErrLocked: another process has the file open.
	ErrLocked = errors.New("the store is in use by another process: stop it first")
	// ErrDamaged: the file, or a row, is not what was written.
	ErrDamaged = errors.New("the store is damaged: restore it from a backup")
	// ErrLayout: a newer Nave wrote the file.
	ErrLayout = errors.New("the store was written by a newer version of the hub: run that version")
)

// Store is the hub's state. Its methods may be called by any number of goroutines.
type Store struct {
	engine engine
	epoch  uint64

	writing  sync.Mutex // held by the one Update that runs
	watchers watchers
}

// engine keeps tables of key → value in transactions. The two engines differ in nothing that a caller can see, except
// that one of them remembers.
type engine interface {
	// begin starts a transaction. There is at most one writable one at a time; readers see the state at their begin.
	begin(writable bool) (engineTx, error)
	close() error
}

// engineTx is one transaction of an engine. Values handed out stay valid until it ends; values handed in must stay
// unchanged until then.
type engineTx interface {
	get(table, key string) []byte // nil: no such row
	put(table, key string, value []byte) error
	delete(table, key string) error
	// scan visits the keys with the prefix in order. The visitor must not write.
	scan(table, prefix string, visit func(key string, value []byte) error) error
	commit() error
	rollback()
}

// Close ends all watchers, waits for the transactions under way and closes the file.
func (s *Store) Close() error {
	s.writing.Lock()
	defer s.writing.Unlock()
	s.watchers.closeAll()
	if err := s.engine.close(); err != nil {
		return fmt.Errorf("close store: %w", err)
	}
	return nil
}

// errFound ends a scan at its first row.
var errFound = errors.New("found")

// Epoch numbers the history of this store: a store made anew, later, has a higher one. It never changes.
func (s *Store) Epoch() uint64 { return s.epoch }

// Empty reports whether no table has a row, and no blob was put.
func (s *Store) Empty() (bool, error) {
	t, err := s.engine.begin(false)
	if err != nil {
		return false, fmt.Errorf("view store: %w", err)
	}
	defer t.rollback()
	for _, table := range buckets {
		err := t.scan(table, "", func(string, []byte) error { return errFound })
		if errors.Is(err, errFound) {
			return false, nil
		}
		if err != nil {
			return false, fmt.Errorf("view store: %w", err)
		}
	}
	return true, nil
}

// View runs fn on the state as it is now; what others commit meanwhile, fn does not see. It returns fn's error.
// Neither View nor Update may be called from within fn.
func (s *Store) View(fn func(*Tx) error) error {
	t, err := s.engine.begin(false)
	if err != nil {
		return fmt.Errorf("view store: %w", err)
	}
	tx := &Tx{engine: t}
	defer tx.end()
	return fn(tx)
}

// Update runs fn alone among the writers. If it returns nil, all it wrote is on disk when Update returns, and then the
// watchers wake; if fn returns an error, nothing is written and Update returns that error. An fn that changed nothing
// writes nothing. Errors of the commit: ErrFull, ErrClosed, or those of the file; nothing was written then either.
func (s *Store) Update(fn func(*Tx) error) error {
	s.writing.Lock()
	defer s.writing.Unlock()
	t, err := s.engine.begin(true)
	if err != nil {
		return fmt.Errorf("update store: %w", err)
	}
	tx := &Tx{engine: t, before: map[Change][]byte{}}
	defer tx.end()
	if err := fn(tx); err != nil {
		return err
	}
	changes := tx.changes()
	if len(changes) == 0 {
		return nil
	}
	if err := t.commit(); err != nil {
		return fmt.Errorf("commit to store: %w", err)
	}
	s.watchers.wake(changes)
	return nil
}
