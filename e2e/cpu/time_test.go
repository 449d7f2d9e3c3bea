package cpu

import (
	"runtime"
	"testing"
	"time"
)

// TestTime counts the work of a function, and not what the function waits for.
func TestTime(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("only Linux tells")
	}
	waits := make(chan struct{})
	go func() {
		defer close(waits)
		for begun := time.Now(); time.Since(begun) < 200*time.Millisecond; { // busy
		}
	}()
	if took := Time(func() { <-waits }); took > 50*time.Millisecond {
		t.Errorf("waiting took %s", took)
	}
	sum := 0
	work := func(n int) time.Duration {
		return Time(func() {
			for i := range n {
				sum += i % 7
			}
		})
	}
	if took := work(100_000_000); took < time.Millisecond || sum == 0 {
		t.Errorf("work took %s", took)
	}
}
