// Package level tells whether what a test did has left goroutines or memory behind.
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

// Level is how many goroutines there are, and how many bytes of the heap are in use.
type Level struct {
	goroutines int
	heap       uint64
}

// Take returns the level of now.
func Take() Level {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return Level{goroutines: runtime.NumGoroutine(), heap: m.HeapAlloc}
}

// String returns "12 goroutines, 3456 KiB".
func (l Level) String() string { return fmt.Sprintf("%d goroutines, %d KiB", l.goroutines, l.heap>>10) }

// Return waits until the level is l again, but for a little. If it is not within patience, the error says what the
// level is and where goroutines stand.
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
