// Package state is what a spoke remembers on disk.
package state

import (
	"errors"

	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/manifest"
)

// ErrNotFound says that the state holds nothing under that name.
var ErrNotFound = errors.New("not in the state")

// Store is the spoke's state file.
type Store struct{}

// Open opens or creates the state file at path.
func Open(path string) (*Store, error) { return nil, errors.New("not yet") }

// Close closes the file.
func (s *Store) Close() error { return nil }

// Blob returns the uncompressed bytes of a blob, or ErrNotFound.
func (s *Store) Blob(d manifest.Digest) ([]byte, error) { return nil, ErrNotFound }

// PutInventory remembers what an application owns, as bytes that only the inventory package reads.
func (s *Store) PutInventory(owner bundle.Owner, data []byte) error { return nil }

// Inventory returns what PutInventory was last given for the owner, or ErrNotFound.
func (s *Store) Inventory(owner bundle.Owner) ([]byte, error) { return nil, ErrNotFound }

// DeleteInventory forgets the owner's inventory; it is no error when there is none.
func (s *Store) DeleteInventory(owner bundle.Owner) error { return nil }

// Inventories calls fn for every inventory, sorted by owner.
func (s *Store) Inventories(fn func(owner bundle.Owner, data []byte) error) error { return nil }
