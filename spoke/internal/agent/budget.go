package agent

import (
	"context"
	"fmt"
	"math"
	"slices"
	"sync"

	"golang.org/x/sync/semaphore"

	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/spoke/internal/apply"
	"github.com/navefleet/nave/spoke/internal/release"
)

// Shares of the memory limit. The rest is for the bundle's applications, the inventories, the watches and the program
// itself.
const (
	objectsPercent = 35 // for objects that are being applied
	livePercent    = 10 // for fields that objects take over from live ones
	filesPercent   = 28 // for SOPS files and values that are being read, and their plaintext until the run ends
	// assumedMemory is the limit if none is known.
	assumedMemory = 1 << 30
)

// The most memory that one byte or one value takes, measured by TestCost.
const (
	objectByteCost  = 8   // the blob, the request, the answer
	objectValueCost = 150 // in the desired object, until it is applied, and in the live one
	objectMapCost   = 550
	fileByteCost    = 4
	fileValueCost   = 400 // in the parser's tree and in sops's
	textValueCost   = 500 // more, while a whole file is written as YAML
	keptByteCost    = 2   // the plaintext of an open file
	// knownCost is the most that the Redactor of an open file takes.
	knownCost     = 4 << 20
	knownByteCost = 100
)

const (
	// recordCost is the memory to read a record of a release, measured by TestCost: what is unpacked, twice in parts.
	recordCost = 8 * release.MaxContent
	// documentCost is the most memory that one document of a record may take to be read.
	documentCost = recordCost / 2
	// lookCost is the memory to look at an object of unknown size: its bytes, compressed and not.
	lookCost = 2 * bundle.MaxObjectBytes
	// uncounted is the memory by which a live object may exceed the desired one before it counts: some 128 objects may be
	// in memory at the same time.
	uncounted = 64 << 10
	// keepable is the number of bytes up to which an object is kept while it waits for memory. Larger ones are read again.
	keepable = 64 << 10
)

// budget is the memory that loads may take at a time. A load that holds memory for files asks for objects, and one that
// holds memory for objects asks for that of a live object, once, so no two loads wait for each other. A look at drifted
// fields and the answer to an apply take more only if there is more at once. A preview does ask for more; but there is
// one at a time, and an apply that begins ends it.
type budget struct {
	limit   int64
	objects pool
	live    pool
	files   pool
}

// newBudget divides a memory limit in bytes. 0 or math.MaxInt64 mean that no limit is known.
func newBudget(limit int64) *budget {
	if limit <= 0 || limit == math.MaxInt64 {
		limit = assumedMemory
	}
	return &budget{limit: limit, objects: newPool(limit / 100 * objectsPercent),
		live: newPool(limit / 100 * livePercent), files: newPool(limit / 100 * filesPercent)}
}

// look returns the memory to look at an object of unknown size.
func (b *budget) look() int64 { return min(lookCost, b.objects.size) }

// pool is a number of bytes to acquire from.
type pool struct {
	size int64
	free *semaphore.Weighted
}

func newPool(size int64) pool { return pool{size, semaphore.NewWeighted(size)} }

// memoryError means that an object or a file does not fit into the memory of this spoke at all.
type memoryError struct{ need, have, limit int64 }

// Error returns the memory that is needed, the memory that is available, and the remedy.
func (e *memoryError) Error() string {
	const mib = 1 << 20
	return fmt.Sprintf("needs some %d MiB of memory, and nave-spoke gives %d of its %d MiB to it: raise its memory "+
		"limit, or split it",
		e.need/mib+1, e.have/mib, e.limit/mib)
}

// Is reports whether the error is apply.ErrMemory.
func (e *memoryError) Is(target error) bool { return target == apply.ErrMemory }

// acquire waits for n bytes of a pool. The caller gives them back with the returned function. If the pool has fewer
// than n bytes in all, acquire returns a *memoryError.
func (b *budget) acquire(ctx context.Context, p pool, n int64) (func(), error) {
	if n > p.size {
		return nil, &memoryError{n, p.size, b.limit}
	}
	if err := p.free.Acquire(ctx, n); err != nil {
		return nil, context.Cause(ctx)
	}
	return sync.OnceFunc(func() { p.free.Release(n) }), nil
}

// holding is memory for objects that is held together.
type holding struct {
	budget *budget // what there is beside it
	held   []func()
}

// holding returns one that holds no memory yet.
func (b *budget) holding() *holding {
	beside := *b
	return &holding{budget: &beside}
}

// grow acquires n more bytes. If there are fewer beside the memory that is held, grow returns a *memoryError.
func (h *holding) grow(ctx context.Context, n int64) error {
	release, err := h.budget.acquire(ctx, h.budget.objects, n)
	if err != nil {
		return err
	}
	h.budget.objects.size -= n
	h.held = append(h.held, release)
	return nil
}

// stretch acquires n more bytes without waiting, because others that hold memory may do the same. A few bytes are not
// counted. If there are fewer now, stretch returns a *memoryError.
func (h *holding) stretch(n int64) error {
	if n <= uncounted {
		return nil
	}
	p := h.budget.objects
	if n > p.size || !p.free.TryAcquire(n) {
		return &memoryError{n, p.size, h.budget.limit}
	}
	h.budget.objects.size -= n
	h.held = append(h.held, sync.OnceFunc(func() { p.free.Release(n) }))
	return nil
}

// await waits for n bytes for a live object. A few bytes are not counted. If there are fewer in all, await returns a
// *memoryError.
func (h *holding) await(ctx context.Context, n int64) error {
	if n <= uncounted {
		return nil
	}
	release, err := h.budget.acquire(ctx, h.budget.live, n)
	if err == nil {
		h.held = append(h.held, release)
	}
	return err
}

// release gives all memory back.
func (h *holding) release() {
	for _, release := range h.held {
		release()
	}
}

// objectCost returns the most memory that applying an object takes, in bytes.
func objectCost(json []byte) int64 {
	values, maps := bundle.ObjectValues(json)
	return objectByteCost*int64(len(json)) + objectValueCost*int64(values) + objectMapCost*int64(maps)
}

// versionCost returns the most memory that one more version of an object takes while it is compared, in bytes.
func versionCost(json []byte) int64 { return objectCost(json) / 2 }

// openCost returns the most memory that opening a SOPS file takes, in bytes. texts are the formats in which the whole
// file is used.
func openCost(file []byte, texts ...bundle.Format) int64 {
	valueCost := int64(fileValueCost)
	if slices.Contains(texts, bundle.YAML) {
		valueCost += textValueCost
	}
	return fileByteCost*int64(len(file)) + valueCost*int64(bundle.SealedFileValues(file))
}

// keptCost returns the memory that an open file takes until the run ends, in bytes.
func keptCost(file []byte) int64 {
	return keptByteCost*int64(len(file)) + min(knownCost, knownByteCost*int64(len(file)))
}
