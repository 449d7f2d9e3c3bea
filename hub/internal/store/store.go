package store

import (
	"context"
	"errors"
	"fmt"

	"github.com/navefleet/nave/shared/manifest"
)

// Errors of the store, to be told apart with errors.Is.
var (
	ErrNotFound = errors.New("not found")
	// ErrReadOnly: a View tried to write.
	ErrReadOnly = errors.New("write in a read-only transaction")
	// ErrClosed: the store is closed, or the transaction has ended.
	ErrClosed = errors.New("store is closed")
	// ErrFull: the disk has no room for a transaction. Nothing of the transaction was written; the store stays usable.
	ErrFull = errors.New("no space left for the store: free some on its disk; nothing was lost, and the hub tries again")
	// ErrLocked: another process has the file open.
	ErrLocked = errors.New("the store is in use by another process: stop it first")
	// ErrDamaged: the file, a row or a blob differs from what was written.
	ErrDamaged = errors.New("the store is damaged: restore it from a backup")
	// ErrLayout: a newer Nave wrote the file.
	ErrLayout = errors.New("the store was written by a newer version of the hub: run that version")
)

// Store is the hub's state. Its methods may be called by any number of goroutines.
type Store struct {
	engine engine
	epoch  uint64
	run    string // another one each time that the store is opened
	twice  bool

	writing  chan struct{} // capacity 1: full while an Update runs
	watchers watchers
	blobs    blobs
}

// Option changes how a store works.
type Option func(*Store)

// Twice makes View and Update run their function twice and keep only the writes of the second run, as an engine does
// that has to try again. Tests use Twice to find functions that must not run twice.
func Twice(s *Store) { s.twice = true }

func newStore(e engine, epoch uint64, options []Option) *Store {
	s := &Store{
		engine: e, epoch: epoch, run: NewUID(), writing: make(chan struct{}, 1), watchers: watchers{set: map[*Watcher]bool{}},
	}
	s.blobs = blobs{store: s, waiting: map[manifest.Digest][]byte{}, young: map[manifest.Digest]bool{}}
	for _, o := range options {
		o(s)
	}
	return s
}

// engine keeps tables of keys and values in transactions. Callers cannot tell engines apart, except that only some
// survive the process.
type engine interface {
	// begin starts a transaction. The caller has at most one writable transaction at a time; a read-only transaction sees
	// the state at its begin.
	begin(ctx context.Context, writable bool) (engineTx, error)
	close() error
}

// engineTx is one transaction of an engine. The values that get and scan return are valid until the transaction ends;
// the caller must not change the values that it gives to put until then.
type engineTx interface {
	get(table, key string) ([]byte, error)     // nil: there is no such row
	put(table, key string, value []byte) error // nil deletes the row, if there is one
	// scan visits the keys that have the prefix and come after the key after, in order. The visitor must not write.
	scan(table, prefix, after string, visit func(key string, value []byte) error) error
	commit() error
	rollback()
}

// startOf returns the least key that may have the prefix and come after the key after.
func startOf(prefix, after string) string {
	if after < prefix {
		return prefix
	}
	return after + "\x00"
}

// Close closes all watchers, waits for the transactions under way and closes the file.
func (s *Store) Close() error {
	s.writing <- struct{}{}
	defer s.unlock()
	s.watchers.closeAll()
	if err := s.engine.close(); err != nil {
		return fmt.Errorf("close store: %w", err)
	}
	return nil
}

// errEnough ends a scan early.
var errEnough = errors.New("enough")

// Epoch returns the number of this store's history. A store that is made later has a higher epoch. The epoch of a store
// never changes.
func (s *Store) Epoch() uint64 { return s.epoch }

// Empty reports whether no table has a row and no blob was put.
func (s *Store) Empty(ctx context.Context) (bool, error) {
	err := s.View(ctx, func(tx *Tx) error {
		for _, name := range names() {
			if err := tx.scan(name, "", func(string, []byte) error { return errEnough }); err != nil {
				return err
			}
		}
		return nil
	})
	if errors.Is(err, errEnough) {
		return false, nil
	}
	return err == nil, err
}

// View runs fn on the state as it is now; fn does not see later commits. View returns fn's error, or the error of ctx
// if ctx ended before fn ran. fn must not call View or Update, and may run more than once.
func (s *Store) View(ctx context.Context, fn func(*Tx) error) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("view store: %w", err)
	}
	if s.twice {
		if err := s.view(ctx, fn); err != nil {
			return err
		}
	}
	return s.view(ctx, fn)
}

func (s *Store) view(ctx context.Context, fn func(*Tx) error) error {
	t, err := s.engine.begin(ctx, false)
	if err != nil {
		return fmt.Errorf("view store: %w", err)
	}
	tx := &Tx{engine: t, run: s.run}
	defer tx.end()
	return fn(tx)
}

// Update runs fn alone among the writers. If fn returns nil, its writes are on disk when Update returns, and then the
// watchers wake. If fn returns an error, Update writes nothing and returns that error. If fn changes nothing, Update
// touches no disk. If ctx ends while Update waits for another writer, Update returns the error of ctx. If the commit
// fails, nothing is written; the errors are ErrFull, ErrClosed and those of the file. fn must not call View or Update,
// and may run more than once.
func (s *Store) Update(ctx context.Context, fn func(*Tx) error) error {
	if err := s.lock(ctx); err != nil {
		return fmt.Errorf("update store: %w", err)
	}
	defer s.unlock()
	if s.twice {
		if err := s.update(ctx, fn, false); err != nil {
			return err
		}
	}
	return s.update(ctx, fn, true)
}

// update runs fn, and commits or drops its writes.
func (s *Store) update(ctx context.Context, fn func(*Tx) error, commit bool) error {
	t, err := s.engine.begin(ctx, true)
	if err != nil {
		return fmt.Errorf("update store: %w", err)
	}
	tx := &Tx{engine: t, before: map[Change][]byte{}, run: s.run}
	defer tx.end()
	if err := fn(tx); err != nil || !commit {
		return err
	}
	changes, err := tx.changes()
	if err != nil || len(changes) == 0 {
		return err
	}
	write := s.blobs.commit
	if tx.alone {
		write = engineTx.commit
	}
	if err := write(t); err != nil {
		return fmt.Errorf("commit to store: %w", err)
	}
	s.watchers.wake(changes)
	return nil
}

// lock waits until no other Update runs, or returns the error of ctx.
func (s *Store) lock(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	select {
	case s.writing <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (s *Store) unlock() { <-s.writing }
