// Package heap measures how much memory a function needs, for tests.
package heap

import (
	"runtime"
	"runtime/debug"
	"time"
)

// Peak returns about how many bytes of the heap fn needs at the same time. It looks each millisecond, while garbage is
// collected early. On a busy machine the collector lags behind, and Peak counts garbage as needed.
func Peak(fn func()) int64 {
	defer debug.SetGCPercent(debug.SetGCPercent(5))
	runtime.GC()
	before, most := held(), int64(0)
	done, sampled := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(sampled)
		for {
			select {
			case <-done:
				return
			case <-time.After(time.Millisecond):
				most = max(most, held())
			}
		}
	}()
	fn()
	close(done)
	<-sampled
	return max(0, most-before)
}

func held() int64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
