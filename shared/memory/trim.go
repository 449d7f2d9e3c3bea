package memory

import (
	"context"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

const (
	trimEvery  = 10 * time.Second
	quiet      = 4 << 20  // bytes allocated in that time by a process that has nothing to do
	worthwhile = 64 << 20 // bytes allocated since the last time, of which most are garbage
)

// Trim gives the memory of garbage back to the system when the process has nothing to do any more, until ctx ends. Go
// itself keeps as much as the busiest moment needed, because an idle process collects its garbage late.
func Trim(ctx context.Context) {
	ticker := time.NewTicker(trimEvery)
	defer ticker.Stop()
	var t trimmer
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			if t.isDue(allocated()) {
				debug.FreeOSMemory()
			}
		}
	}
}

// allocated returns how many bytes the process has allocated since its start.
func allocated() uint64 {
	sample := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}}
	metrics.Read(sample)
	return sample[0].Value.Uint64()
}

// trimmer decides when memory is given back.
type trimmer struct{ last, trimmed uint64 } // bytes allocated

// isDue reports whether memory is given back now, given the bytes that were allocated since the start.
func (t *trimmer) isDue(now uint64) bool {
	isQuiet := now-t.last < quiet
	t.last = now
	if !isQuiet || now-t.trimmed < worthwhile {
		return false
	}
	t.trimmed = now
	return true
}
