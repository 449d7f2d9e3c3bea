package state

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"os"
	"syscall"
	"time"

	bolterrors "go.etcd.io/bbolt/errors"
)

// bbolt maps its file into memory and follows the numbers in it. In a file that was cut off or overwritten these
// numbers are invalid, and the process dies. So the file is checked before bbolt opens it, by the layout of bbolt's
// pages (version 2):
//
//	page      number (8 bytes), flags (2), count of elements (2), pages that follow as part of this one (4), elements
//	meta      magic (4), version (4), page size (4), flags (4), root bucket (16), free list (8), end (8),
//	          transaction (8), sum (8)
//	branch    element: offset of the key from here (4), size of the key (4), page (8)
//	leaf      element: flags (4), offset of key and value from here (4), size of the key (4), size of the value (4)
//	bucket    the value of a leaf with flag 1: root page (8), sequence (8), and a page in place when the root is 0
const (
	boltMagic   = 0xED0CDAED
	boltVersion = 2
	headSize    = 16
	elementSize = 16
	bucketHead  = 16
	metaSize    = 64 // of a meta page after its head, with the sum
	branchFlag  = 0x01
	leafFlag    = 0x02
	bucketFlag  = 0x01

	lockTimeout = time.Second
	lockRetry   = 20 * time.Millisecond
)

var order = binary.NativeEndian

// openWhole opens and locks a file for bbolt, and checks its structure. If the structure is damaged, openWhole returns
// ErrDamaged.
func openWhole(path string, flag int, perm os.FileMode) (*os.File, error) {
	f, err := os.OpenFile(path, flag, perm)
	if err != nil {
		return nil, err
	}
	if err := lock(f); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	if err := examine(f); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// lock takes the lock that bbolt takes.
func lock(f *os.File) error {
	for end := time.Now().Add(lockTimeout); ; time.Sleep(lockRetry) {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if !errors.Is(err, syscall.EWOULDBLOCK) {
			return err
		}
		if time.Now().After(end) {
			return bolterrors.ErrTimeout
		}
	}
}

// examine returns ErrDamaged if the pages of a file are not those of a bbolt file. An empty file is accepted as new.
func examine(f *os.File) error {
	info, err := f.Stat()
	if err != nil || info.Size() == 0 {
		return err
	}
	w := &walk{file: f, seen: map[uint64]bool{}}
	root, err := w.meta()
	if err == nil && uint64(info.Size()) < w.end*w.pageSize {
		err = fmt.Errorf("%d bytes are missing", w.end*w.pageSize-uint64(info.Size()))
	}
	if err == nil {
		err = w.tree(root, nil, nil)
	}
	if err != nil {
		return fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	return nil
}

// walk is the state of a check of one file.
type walk struct {
	file     io.ReaderAt
	pageSize uint64
	end      uint64 // number of the first page that was never used
	seen     map[uint64]bool
}

// meta reads the newest valid one of the two meta pages, and returns the page of the root bucket.
func (w *walk) meta() (root uint64, err error) {
	first, ok := w.metaAt(0)
	size := uint64(os.Getpagesize())
	if ok {
		size = uint64(order.Uint32(first[8:]))
	}
	second, also := w.metaAt(size)
	switch {
	case !ok && !also:
		return 0, errors.New("no meta page is valid")
	case !ok || also && order.Uint64(second[48:]) > order.Uint64(first[48:]):
		first = second
	}
	w.pageSize, w.end = uint64(order.Uint32(first[8:])), order.Uint64(first[40:])
	if w.pageSize < 1024 || w.pageSize > 16<<20 || w.end > 1<<40 {
		return 0, fmt.Errorf("pages of %d bytes", w.pageSize)
	}
	return order.Uint64(first[16:]), nil
}

// metaAt returns a meta page without its head, if it is valid.
func (w *walk) metaAt(at uint64) ([]byte, bool) {
	b := make([]byte, metaSize)
	if _, err := w.file.ReadAt(b, int64(at)+headSize); err != nil {
		return nil, false
	}
	sum := fnv.New64a()
	sum.Write(b[:metaSize-8])
	return b, order.Uint32(b) == boltMagic && order.Uint32(b[4:]) == boltVersion &&
		order.Uint64(b[metaSize-8:]) == sum.Sum64()
}

// tree checks a page and all pages below it. Keys must be in order, at or after low, and before high unless high is
// nil.
func (w *walk) tree(page uint64, low, high []byte) error {
	b, err := w.page(page)
	if err != nil {
		return err
	}
	return w.elements(b, page, low, high)
}

// page reads a page with its overflow pages. If a page was reached before, page returns an error.
func (w *walk) page(number uint64) ([]byte, error) {
	head := make([]byte, headSize)
	if number < 2 || number >= w.end {
		return nil, fmt.Errorf("page %d of %d", number, w.end)
	}
	if _, err := w.file.ReadAt(head, int64(number*w.pageSize)); err != nil {
		return nil, fmt.Errorf("page %d: %w", number, err)
	}
	more := uint64(order.Uint32(head[12:]))
	if order.Uint64(head) != number || number+more >= w.end {
		return nil, fmt.Errorf("page %d is not one", number)
	}
	for n := number; n <= number+more; n++ {
		if w.seen[n] {
			return nil, fmt.Errorf("page %d is in two places", n)
		}
		w.seen[n] = true
	}
	b := make([]byte, (more+1)*w.pageSize)
	if _, err := w.file.ReadAt(b, int64(number*w.pageSize)); err != nil {
		return nil, fmt.Errorf("page %d: %w", number, err)
	}
	return b, nil
}

// element is one element of a page.
type element struct {
	key, value []byte
	branch     bool
	page       uint64 // of a branch
	bucket     bool   // the value is one
}

// elements checks the elements of a page.
func (w *walk) elements(b []byte, number uint64, low, high []byte) error {
	flags, count := order.Uint16(b[8:]), int(order.Uint16(b[10:]))
	if flags != leafFlag && (flags != branchFlag || count == 0) || headSize+count*elementSize > len(b) {
		return fmt.Errorf("page %d has flags %#x and %d elements", number, flags, count)
	}
	all := make([]element, count)
	for i := range all {
		var ok bool
		if all[i], ok = readElement(b[headSize+i*elementSize:], flags == leafFlag); !ok {
			return fmt.Errorf("page %d: element %d goes beyond the page", number, i)
		}
		key := all[i].key
		if c := bytes.Compare(key, low); c < 0 || c == 0 && i > 0 || high != nil && bytes.Compare(key, high) >= 0 {
			return fmt.Errorf("page %d: the key of element %d is out of order", number, i)
		}
		low = key
	}
	for i, e := range all {
		next := high
		if i+1 < count {
			next = all[i+1].key
		}
		if err := w.follow(e, number, next); err != nil {
			return err
		}
	}
	return nil
}

// readElement reads the element at the start of b. If the element goes beyond b, readElement returns false.
func readElement(b []byte, leaf bool) (e element, ok bool) {
	offset, keySize, valueSize := uint64(order.Uint32(b)), uint64(order.Uint32(b[4:])), uint64(0)
	if leaf {
		e.bucket = order.Uint32(b)&bucketFlag != 0
		offset, keySize, valueSize = uint64(order.Uint32(b[4:])), uint64(order.Uint32(b[8:])), uint64(order.Uint32(b[12:]))
	} else {
		e.branch, e.page = true, order.Uint64(b[8:])
	}
	if offset+keySize+valueSize > uint64(len(b)) {
		return e, false
	}
	e.key, e.value = b[offset:offset+keySize], b[offset+keySize:offset+keySize+valueSize]
	return e, true
}

// follow checks the page or bucket that an element refers to.
func (w *walk) follow(e element, number uint64, next []byte) error {
	switch {
	case e.branch:
		return w.tree(e.page, e.key, next)
	case e.bucket:
		return w.bucket(e.value, number)
	}
	return nil
}

// bucket checks a bucket that is the value of a leaf.
func (w *walk) bucket(value []byte, number uint64) error {
	if len(value) < bucketHead {
		return fmt.Errorf("page %d: a bucket of %d bytes", number, len(value))
	}
	if root := order.Uint64(value); root != 0 {
		return w.tree(root, nil, nil)
	}
	if len(value) < bucketHead+headSize {
		return fmt.Errorf("page %d: a bucket of %d bytes", number, len(value))
	}
	return w.elements(value[bucketHead:], number, nil, nil)
}
