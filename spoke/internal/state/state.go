// Package state is what a spoke remembers on disk: the last verified envelope, the blobs it reaches, still encrypted and
// as they were received, and how far the cluster has come. With it a spoke goes on repairing when the hub is gone, and
// knows after a restart what it has done. How far a bundle has come follows from the marks.
//
// It is one bbolt file, and every change is one transaction that is on disk when the call returns. kill -9 is safe at
// any moment: what a call did not return for is either there as a whole or not at all.
//
// Layout (version 1), buckets and keys:
//
//	meta         "layout"                 → the version, as decimal digits
//	accepted     "id"                     → bundle.ID as JSON: the last verified bundle, and so the high-water mark
//	             "envelope"               → its signing.Envelope's bytes, as received
//	blobs        SHA-256, 32 bytes        → 8 bytes big-endian length uncompressed, then the zstd frame as received
//	applied      kind NUL namespace NUL name → Mark as JSON
//	inventories  kind NUL namespace NUL name → whatever spoke/internal/inventory writes
//
// Caveats. A file is used by one process at a time. A full disk fails the one call; the file stays as it was.
package state

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"syscall"
	"time"

	bolt "go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"

	"github.com/navefleet/nave/shared/bundle"
)

const layout = "1"

var (
	// ErrNotFound says that the state holds nothing under that name.
	ErrNotFound = errors.New("not in the state")
	// ErrOlder says that a bundle is not newer than the one accepted last.
	ErrOlder = errors.New("not newer than the last accepted bundle")
	// ErrFull says that the volume has no space left. What was stored before is intact.
	ErrFull = errors.New("the state volume is full: enlarge it or free space on it")
)

var (
	metaBucket        = []byte("meta")
	acceptedBucket    = []byte("accepted")
	blobsBucket       = []byte("blobs")
	appliedBucket     = []byte("applied")
	inventoriesBucket = []byte("inventories")

	layoutKey   = []byte("layout")
	idKey       = []byte("id")
	envelopeKey = []byte("envelope")
)

// Store is the spoke's state file. It is safe for concurrent use.
type Store struct {
	db     *bolt.DB
	frames *decoder
}

// Open opens or creates the state file at path, mode 0600. It fails when another process has the file, or when a newer
// version of Nave wrote it.
func Open(path string) (*Store, error) { return OpenLimited(path, 0) }

// OpenLimited is Open for a file that never grows beyond a size in bytes; what does not fit is ErrFull, as on a full disk.
func OpenLimited(path string, maxSize int) (*Store, error) {
	db, err := bolt.Open(path, 0o600, &bolt.Options{
		Timeout:        time.Second,
		NoFreelistSync: true, // one page less to write; the list is rebuilt on open
		FreelistType:   bolt.FreelistMapType,
		MaxSize:        maxSize,
	})
	if errors.Is(err, bolterrors.ErrTimeout) {
		return nil, fmt.Errorf("open state %s: another process has it open", path)
	}
	if err != nil {
		return nil, fmt.Errorf("open state %s: %w", path, full(err))
	}
	s := &Store{db: db, frames: newDecoder()}
	if err := s.prepare(); err != nil {
		return nil, errors.Join(fmt.Errorf("open state %s: %w", path, err), s.Close())
	}
	return s, nil
}

func (s *Store) prepare() error {
	var found []byte
	err := s.db.View(func(tx *bolt.Tx) error {
		if b := tx.Bucket(metaBucket); b != nil {
			found = append(found, b.Get(layoutKey)...)
		}
		return nil
	})
	switch {
	case err != nil:
		return err
	case string(found) == layout:
		return nil
	case found != nil:
		return fmt.Errorf("layout %s is from a newer version of Nave, this one knows %s: upgrade the spoke", found, layout)
	}
	return s.update(func(tx *bolt.Tx) error {
		for _, name := range [][]byte{metaBucket, acceptedBucket, blobsBucket, appliedBucket, inventoriesBucket} {
			if _, err := tx.CreateBucketIfNotExists(name); err != nil {
				return err
			}
		}
		return tx.Bucket(metaBucket).Put(layoutKey, []byte(layout))
	})
}

// Close closes the file. Calls that run end first.
func (s *Store) Close() error {
	s.frames.close()
	return s.db.Close()
}

func (s *Store) update(fn func(*bolt.Tx) error) error { return full(s.db.Update(fn)) }

// full says in words that a disk is full.
func full(err error) error {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) || errors.Is(err, bolterrors.ErrMaxSizeReached) {
		return fmt.Errorf("%w (%w)", ErrFull, err)
	}
	return err
}

// Accepted is the last verified bundle.
type Accepted struct {
	ID       bundle.ID
	Envelope []byte // as received
}

// Accepted returns the last verified bundle, or ErrNotFound.
func (s *Store) Accepted() (Accepted, error) {
	var a Accepted
	err := s.db.View(func(tx *bolt.Tx) error {
		b := tx.Bucket(acceptedBucket)
		id := b.Get(idKey)
		if id == nil {
			return ErrNotFound
		}
		a.Envelope = append(a.Envelope, b.Get(envelopeKey)...)
		return json.Unmarshal(id, &a.ID)
	})
	if err != nil {
		return Accepted{}, fmt.Errorf("last accepted bundle: %w", err)
	}
	return a, nil
}

// Accept makes a verified bundle the last accepted one and stores the blobs that came with it, all in one transaction.
// All that the bundle reaches must be stored then. It returns ErrOlder for a bundle that is not newer than the last, so
// that no mistake elsewhere can turn time back; accepting the last one again changes nothing.
func (s *Store) Accept(id bundle.ID, envelope []byte, blobs []Blob) error {
	row, err := json.Marshal(id)
	if err != nil {
		return err
	}
	err = s.update(func(tx *bolt.Tx) error {
		b := tx.Bucket(acceptedBucket)
		if last := b.Get(idKey); last != nil {
			var was bundle.ID
			if err := json.Unmarshal(last, &was); err != nil {
				return err
			}
			if was == id {
				return nil
			}
			if !id.Newer(was) {
				return fmt.Errorf("%w: sequence %d.%d after %d.%d", ErrOlder, id.Epoch, id.Sequence, was.Epoch, was.Sequence)
			}
		}
		if err := putBlobs(tx, blobs); err != nil {
			return err
		}
		return errors.Join(b.Put(idKey, row), b.Put(envelopeKey, envelope))
	})
	if err != nil {
		return fmt.Errorf("accept bundle %d.%d: %w", id.Epoch, id.Sequence, err)
	}
	return nil
}

// ownerKey orders as bundles order their applications: NUL sorts before all that a name can hold.
func ownerKey(o bundle.Owner) []byte {
	return []byte(o.Kind + "\x00" + o.Namespace + "\x00" + o.Name)
}

func parseOwner(key []byte) (bundle.Owner, error) {
	parts := strings.Split(string(key), "\x00")
	if len(parts) != 3 {
		return bundle.Owner{}, fmt.Errorf("owner key %q: want three parts", key)
	}
	return bundle.Owner{Kind: parts[0], Namespace: parts[1], Name: parts[2]}, nil
}
