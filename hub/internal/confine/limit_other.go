//go:build !linux

package confine

import "syscall"

// limitMemory has no hard limit to set here; Go's own limit makes it collect garbage harder.
func limitMemory(int64) error { return nil }

// dieWithParent relies on the standard input of Serve, which ends with the pool's process.
func dieWithParent() *syscall.SysProcAttr { return nil }

// dieFirst has nothing to ask the system for here.
func dieFirst() {}

// residentMemory cannot tell here.
func residentMemory(int) int64 { return 0 }
