// Package level finds goroutines and memory that a test left behind.
package level

import (
	"fmt"
	"runtime"
	"runtime/pprof"
	"strings"
	"time"
)

// What may stay: idle workers of the runtime and of libraries, and caches that are bounded.
const (
	slackGoroutines = 8
	slackHeap       = 8 << 20 // bytes
)

// Level is a number of goroutines, and of bytes of the heap that are in use.
type Level struct {
	goroutines int
	heap       uint64
}

// Take returns the level of now, after a garbage collection.
func Take() Level {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return Level{goroutines: runtime.NumGoroutine(), heap: m.HeapAlloc}
}

// String returns "12 goroutines, 3456 KiB".
func (l Level) String() string { return fmt.Sprintf("%d goroutines, %d KiB", l.goroutines, l.heap>>10) }

// Return waits until the level is l again, up to a small difference. If that takes longer than patience, the error has
// the level of now and the stacks of all goroutines.
func (l Level) Return(patience time.Duration) error {
	deadline := time.Now().Add(patience)
	for {
		now := Take()
		if now.goroutines <= l.goroutines+slackGoroutines && now.heap <= l.heap+slackHeap {
			return nil
		}
		if time.Now().After(deadline) {
			var stacks strings.Builder
			_ = pprof.Lookup("goroutine").WriteTo(&stacks, 1)
			return fmt.Errorf("level is %s, was %s; goroutines:\n%s", now, l, stacks.String())
		}
		time.Sleep(50 * time.Millisecond)
	}
}
