// Package state stores the state of a spoke on disk: the last verified envelope, its blobs as received and still
// encrypted, and a mark and an inventory for each application. With this state a spoke repairs drift without its hub,
// and continues after a restart. The stage of a bundle follows from the marks.
//
// The state is one bbolt file. Every change is one transaction that is on disk when the call returns. After kill -9 a
// call that had not returned has taken effect as a whole or not at all.
//
// Layout (version 1), buckets and keys:
//
//	meta         "layout"                 → the version, as decimal digits
//	             "seeded"                 → "yes" when the file knows all that the spoke owns; see Seed
//	accepted     "id"                     → bundle.ID as JSON: the last verified bundle
//	             "recipient"              → the SPIFFE ID of the cluster that it is for
//	             "envelope"               → its signing.Envelope's bytes, as received
//	seen         SPIFFE ID of a cluster   → bundle.ID as JSON: the newest bundle ever verified for it
//	blobs        SHA-256, 32 bytes        → 8 bytes big-endian length uncompressed, then the zstd frame as received
//	applied      kind NUL namespace NUL name → Mark as JSON
//	inventories  kind NUL namespace NUL name → as encoded by spoke/internal/inventory
//
// A spoke that moves from one hub to another and back has a recipient, and so a high-water mark, with each of them.
//
// A file is used by one process at a time. If the disk is full, the call fails and the file stays as it was. If the
// file was cut off or overwritten, Open returns ErrDamaged; the caller then sets the file aside and starts with a new
// one.
package state

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"syscall"
	"time"

	bolt "go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"

	"github.com/navefleet/nave/shared/bundle"
)

const layout = "1"

var (
	// ErrNotFound means that the row does not exist.
	ErrNotFound = errors.New("not in the state")
	// ErrOlder means that a bundle is not newer than the one accepted last.
	ErrOlder = errors.New("not newer than the last accepted bundle")
	// ErrDamaged means that the file, or a row in it, cannot be read.
	ErrDamaged = errors.New("the state is damaged")
	// ErrFull means that the volume has no space left. All earlier changes are intact.
	ErrFull = errors.New("the state volume is full: enlarge it or free space on it")
)

var (
	metaBucket        = []byte("meta")
	acceptedBucket    = []byte("accepted")
	seenBucket        = []byte("seen")
	blobsBucket       = []byte("blobs")
	appliedBucket     = []byte("applied")
	inventoriesBucket = []byte("inventories")
	journalsBucket    = []byte("journals")

	layoutKey    = []byte("layout")
	idKey        = []byte("id")
	recipientKey = []byte("recipient")
	envelopeKey  = []byte("envelope")

	buckets = [][]byte{metaBucket, acceptedBucket, seenBucket, blobsBucket, appliedBucket, inventoriesBucket,
		journalsBucket}
)

// Store is the spoke's state file. It is safe for concurrent use.
type Store struct {
	db      *bolt.DB
	frames  decoder
	damaged chan struct{} // see Damaged
	report  sync.Once
}

// Open opens or creates the state file at path, mode 0600. If another process has the file, or a newer version of Nave
// wrote it, Open returns an error. If the file is damaged, the error wraps ErrDamaged.
func Open(path string) (*Store, error) { return OpenLimited(path, 0) }

// OpenLimited is Open for a file that never grows beyond a size in bytes. A change that does not fit returns ErrFull.
func OpenLimited(path string, maxSize int) (*Store, error) {
	db, err := openFile(path, maxSize)
	if errors.Is(err, bolterrors.ErrTimeout) {
		return nil, fmt.Errorf("open state %s: another process has it open", path)
	}
	if err != nil {
		return nil, fmt.Errorf("open state %s: %w", path, full(err))
	}
	s := &Store{db: db, damaged: make(chan struct{})}
	if err := s.prepare(); err != nil {
		return nil, errors.Join(fmt.Errorf("open state %s: %w", path, err), s.Close())
	}
	return s, nil
}

func openFile(path string, maxSize int) (db *bolt.DB, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%w: %v", ErrDamaged, p)
		}
	}()
	return bolt.Open(path, 0o600, &bolt.Options{
		Timeout:        time.Second,
		NoFreelistSync: true, // one page less to write; the list is rebuilt on open
		FreelistType:   bolt.FreelistMapType,
		MaxSize:        maxSize,
		OpenFile:       openWhole,
	})
}

func (s *Store) prepare() error {
	var found []byte
	whole := true
	err := s.view(func(tx *bolt.Tx) error {
		for _, name := range buckets {
			whole = whole && tx.Bucket(name) != nil
		}
		if b := tx.Bucket(metaBucket); b != nil {
			found = append(found, b.Get(layoutKey)...)
		}
		return nil
	})
	switch {
	case err != nil:
		return err
	case found != nil && string(found) != layout:
		return fmt.Errorf("layout %s is from a newer version of Nave, this one knows %s: upgrade the spoke", found, layout)
	case whole:
		return nil
	}
	return s.update(func(tx *bolt.Tx) error {
		for _, name := range buckets {
			if _, err := tx.CreateBucketIfNotExists(name); err != nil {
				return err
			}
		}
		return tx.Bucket(metaBucket).Put(layoutKey, []byte(layout))
	})
}

// SetAside renames a damaged file and returns its new path. It replaces a file that was set aside before.
func SetAside(path string) (aside string, err error) {
	aside = path + ".damaged"
	if err := os.Rename(path, aside); err != nil {
		return "", fmt.Errorf("move the damaged state aside: %w", err)
	}
	return aside, nil
}

// Close waits for running calls and closes the file.
func (s *Store) Close() error {
	s.frames.close()
	return s.db.Close()
}

// Damaged is closed when a call finds that the file is damaged. Then the caller should close the Store and set the file
// aside.
func (s *Store) Damaged() <-chan struct{} { return s.damaged }

func (s *Store) update(fn func(*bolt.Tx) error) (err error) {
	defer s.catch(&err)
	return full(s.db.Update(fn))
}

func (s *Store) view(fn func(*bolt.Tx) error) (err error) {
	defer s.catch(&err)
	return s.db.View(fn)
}

// catch turns a panic into an error, because bbolt panics if the pages of its file contradict each other.
func (s *Store) catch(err *error) {
	if p := recover(); p != nil {
		*err = fmt.Errorf("%w: %v", ErrDamaged, p)
	}
	if errors.Is(*err, ErrDamaged) {
		s.report.Do(func() { close(s.damaged) })
	}
}

// full returns ErrFull for errors of a full disk, and other errors unchanged.
func full(err error) error {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) || errors.Is(err, bolterrors.ErrMaxSizeReached) {
		return fmt.Errorf("%w (%w)", ErrFull, err)
	}
	return err
}

func rowKey(o bundle.ApplicationName) []byte { return []byte(o.Key()) }

func parseRowKey(key []byte) (bundle.ApplicationName, error) {
	parts := strings.Split(string(key), "\x00")
	if len(parts) != 3 {
		return bundle.ApplicationName{}, fmt.Errorf("key %q of an application: want three parts", key)
	}
	return bundle.ApplicationName{Kind: parts[0], Namespace: parts[1], Name: parts[2]}, nil
}
