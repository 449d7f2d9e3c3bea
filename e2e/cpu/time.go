// Package cpu measures how much work a function does, for tests on machines that do other work, too.
package cpu

import (
	"runtime"
	"time"
)

// Time returns the time of a CPU that fn needs in its own goroutine. What fn waits for does not count, and neither does
// the work of other goroutines. Where the system cannot tell, Time returns the time that passes.
func Time(fn func()) time.Duration {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	before := used()
	fn()
	return used() - before
}
