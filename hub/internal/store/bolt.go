package store

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"
	"syscall"
	"time"

	"go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"
)

// layout is the number of the layout that doc.go shows. A change that an older hub cannot read needs a new number, and
// a migration in prepare.
const layout = 1

// The bucket that describes the file, and its keys.
const (
	metaBucket = "meta"
	layoutKey  = "layout"
	epochKey   = "epoch"
)

// boltOptions returns the options of the file:
//   - Every commit is synced: spokes would refuse a hub that forgets a sequence that it has signed.
//   - The free list is a hash map and is not part of each commit. After a sweep of many blobs the list is large, and
//     each small commit would write it. In return, opening the file walks its pages once. etcd chose the same.
//   - The memory map is large from the start, because growing it waits for all readers. It costs address space, not
//     memory.
func boltOptions() *bbolt.Options {
	return &bbolt.Options{
		Timeout: time.Second, NoFreelistSync: true, FreelistType: bbolt.FreelistMapType,
		InitialMmapSize: 1 << 30, NoStatistics: true,
	}
}

// Open opens the store in the file at path. If there is no file, Open makes it, readable by its owner only; the folder
// must exist. Errors: ErrLocked after one second, ErrLayout, ErrDamaged, ErrFull, and those of the file.
func Open(path string, options ...Option) (*Store, error) {
	db, err := bbolt.Open(path, 0o600, boltOptions())
	if err != nil {
		return nil, fmt.Errorf("open store %s: %w", path, translate(err))
	}
	var epoch uint64
	err = db.Update(func(tx *bbolt.Tx) error {
		if epoch, err = prepare(tx); err != nil {
			return err
		}
		return reindex(&boltTx{tx})
	})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open store %s: %w", path, translate(err)), db.Close())
	}
	return newStore(&bolt{db: db}, epoch, options), nil
}

// prepare makes the buckets of a new file, checks the layout of an old one, and returns the epoch.
func prepare(tx *bbolt.Tx) (epoch uint64, err error) {
	meta, err := tx.CreateBucketIfNotExists([]byte(metaBucket))
	if err != nil {
		return 0, err
	}
	if found := number(meta, layoutKey); found > layout {
		return 0, fmt.Errorf("layout %d, this version knows %d: %w", found, layout, ErrLayout)
	}
	if err := putNumber(meta, layoutKey, layout); err != nil {
		return 0, err
	}
	if epoch = number(meta, epochKey); epoch == 0 {
		epoch = newEpoch()
		err = putNumber(meta, epochKey, epoch)
	}
	for _, name := range names() {
		if err == nil {
			_, err = tx.CreateBucketIfNotExists([]byte(name))
		}
	}
	return epoch, err
}

// newEpoch returns a number that is higher for a store that is made later.
func newEpoch() uint64 { return uint64(time.Now().Unix()) }

func number(b *bbolt.Bucket, key string) uint64 {
	if v := b.Get([]byte(key)); len(v) == 8 {
		return binary.BigEndian.Uint64(v)
	}
	return 0
}

func putNumber(b *bbolt.Bucket, key string, n uint64) error {
	return b.Put([]byte(key), binary.BigEndian.AppendUint64(nil, n))
}

// bolt is the engine in a file.
type bolt struct{ db *bbolt.DB }

func (b *bolt) begin(_ context.Context, writable bool) (engineTx, error) {
	tx, err := b.db.Begin(writable)
	if err != nil {
		return nil, translate(err)
	}
	return &boltTx{tx}, nil
}

func (b *bolt) close() error { return b.db.Close() }

// boltTx is one transaction on the file.
type boltTx struct{ tx *bbolt.Tx }

func (t *boltTx) bucket(table string) *bbolt.Bucket { return t.tx.Bucket([]byte(table)) }

func (t *boltTx) get(table, key string) ([]byte, error) { return t.bucket(table).Get([]byte(key)), nil }

func (t *boltTx) put(table, key string, value []byte) error {
	if value == nil {
		return t.bucket(table).Delete([]byte(key))
	}
	return t.bucket(table).Put([]byte(key), value)
}

func (t *boltTx) scan(table, prefix, after string, visit func(key string, value []byte) error) error {
	p, c := []byte(prefix), t.bucket(table).Cursor()
	for k, v := c.Seek([]byte(startOf(prefix, after))); k != nil && bytes.HasPrefix(k, p); k, v = c.Next() {
		if err := visit(string(k), v); err != nil {
			return err
		}
	}
	return nil
}

func (t *boltTx) commit() error { return translate(t.tx.Commit()) }

// rollback undoes what was not committed. After a commit bbolt returns an error, which means that there is nothing to
// undo.
func (t *boltTx) rollback() { _ = t.tx.Rollback() }

// translate returns the store's error for an error of bbolt.
func translate(err error) error {
	switch {
	case errors.Is(err, bolterrors.ErrTimeout):
		return ErrLocked
	case errors.Is(err, bolterrors.ErrDatabaseNotOpen):
		return ErrClosed
	case errors.Is(err, bolterrors.ErrInvalid), errors.Is(err, bolterrors.ErrChecksum), errors.Is(err,
		bolterrors.ErrVersionMismatch):
		return fmt.Errorf("%w: %w", ErrDamaged, err)
	case full(err):
		return fmt.Errorf("%w: %w", ErrFull, err)
	}
	return err
}

// full reports whether a full disk, a quota or a size limit caused err. bbolt keeps only the text of the error when the
// file cannot grow.
func full(err error) bool {
	for _, no := range []syscall.Errno{syscall.ENOSPC, syscall.EDQUOT, syscall.EFBIG} {
		if errors.Is(err, no) || err != nil && strings.HasSuffix(err.Error(), ": "+no.Error()) {
			return true
		}
	}
	return false
}

// Snapshot calls write with a copy of the file as it is now, and its size in bytes. Updates go on meanwhile; the file
// grows by what they change until write returns. Only a store in a file has a Snapshot.
func (s *Store) Snapshot(ctx context.Context, write func(size int64, file io.WriterTo) error) error {
	t, err := s.engine.begin(ctx, false)
	if err != nil {
		return fmt.Errorf("copy the store: %w", err)
	}
	defer t.rollback()
	file, ok := t.(*boltTx)
	if !ok {
		return fmt.Errorf("copy the store: it is in no file: %w", errors.ErrUnsupported)
	}
	return write(file.tx.Size(), file.tx)
}
