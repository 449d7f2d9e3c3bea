package agent

import (
	"context"
	"fmt"
	"math"
	"slices"
	"sync"

	"golang.org/x/sync/semaphore"

	"github.com/navefleet/nave/shared/bundle"
)

// Shares of the memory limit. The rest is for the bundle's applications, the inventories, the watches and the programs
// themselves.
const (
	objectsPercent = 35 // for objects that are being applied
	filesPercent   = 28 // for SOPS files that are being opened, and their plaintext until the run ends
	// assumedMemory is the limit where none is known.
	assumedMemory = 1 << 30
)

// The most memory that one byte or one value takes, measured by TestCost.
const (
	objectByteCost  = 8   // the blob, the request, the answer
	objectValueCost = 100 // in the desired object and in the live one
	objectMapCost   = 400
	fileByteCost    = 4
	fileValueCost   = 400 // in the parser's tree and in sops's
	textValueCost   = 500 // more, while a whole file is written as YAML
	keptByteCost    = 2   // the plaintext of an open file
	// knownCost is what keeps the values of an open file out of texts.
	knownCost     = 4 << 20
	knownByteCost = 100
)

const (
	// lookCost is the memory to look at an object whose size nobody knows yet: its bytes, compressed and not.
	lookCost = 2 * bundle.MaxObjectBytes
	// keepable is how many bytes an object may have to be kept while it waits for memory. Larger ones are read again.
	keepable = 64 << 10
)

// budget is how much memory loads may take at a time. A load that holds memory for objects asks for nothing more, and a
// load that holds memory for files asks for objects only, so no two loads wait for each other.
type budget struct {
	limit   int64
	objects pool
	files   pool
}

// newBudget divides a memory limit in bytes; none is math.MaxInt64 or 0.
func newBudget(limit int64) *budget {
	if limit <= 0 || limit == math.MaxInt64 {
		limit = assumedMemory
	}
	return &budget{limit: limit, objects: newPool(limit / 100 * objectsPercent),
		files: newPool(limit / 100 * filesPercent)}
}

// pool is bytes that are handed out.
type pool struct {
	size int64
	free *semaphore.Weighted
}

func newPool(size int64) pool { return pool{size, semaphore.NewWeighted(size)} }

// memoryError is that something does not fit into the memory of this spoke at all.
type memoryError struct{ need, have, limit int64 }

// Error says how much is missing and what to do.
func (e *memoryError) Error() string {
	const mib = 1 << 20
	return fmt.Sprintf("needs some %d MiB of memory, and nave-spoke gives %d of its %d MiB to it: raise its memory "+
		"limit, or split it",
		e.need/mib+1, e.have/mib, e.limit/mib)
}

// acquire waits for bytes. The caller gives them back with the returned function. A *memoryError says that they never
// come.
func (b *budget) acquire(ctx context.Context, p pool, n int64) (func(), error) {
	if n > p.size {
		return nil, &memoryError{n, p.size, b.limit}
	}
	if err := p.free.Acquire(ctx, n); err != nil {
		return nil, context.Cause(ctx)
	}
	return sync.OnceFunc(func() { p.free.Release(n) }), nil
}

// objectCost is the most memory that applying an object takes, in bytes.
func objectCost(json []byte) int64 {
	values, maps := bundle.ObjectValues(json)
	return objectByteCost*int64(len(json)) + objectValueCost*int64(values) + objectMapCost*int64(maps)
}

// openCost is the most memory that opening a SOPS file takes if these are the formats in which the whole file is used,
// and keptCost what stays until the run ends.
func openCost(file []byte, texts ...bundle.Format) int64 {
	valueCost := int64(fileValueCost)
	if slices.Contains(texts, bundle.YAML) {
		valueCost += textValueCost
	}
	return fileByteCost*int64(len(file)) + valueCost*int64(bundle.SealedFileValues(file))
}

func keptCost(file []byte) int64 {
	return keptByteCost*int64(len(file)) + min(knownCost, knownByteCost*int64(len(file)))
}
