//go:build !linux

package confine

import "syscall"

// limitMemory does nothing: only Linux has the limit. Go's own soft limit still holds.
func limitMemory(int64) error { return nil }

// limitFile does nothing: limits on files are tested on Linux only.
func limitFile(int64) error { return nil }

// dieWithParent returns nil: the standard input of Serve ends with the process of the pool.
func dieWithParent() *syscall.SysProcAttr { return nil }

// dieFirst does nothing.
func dieFirst() {}

// residentMemory returns 0: it is not known.
func residentMemory(int) int64 { return 0 }
