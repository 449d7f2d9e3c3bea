//go:build !linux

package cpu

import "time"

var begun = time.Now()

func used() time.Duration { return time.Since(begun) }
