package worker

import "syscall"

// rlimitData is RLIMIT_DATA: since Linux 4.7 it counts all private writable memory, and so what Go really maps, where
// RLIMIT_AS would count address space that Go only reserves.
const rlimitData = 2

// limitMemory makes the kernel refuse this process more than so many bytes; Go then ends it.
func limitMemory(bytes int64) error {
	limit := syscall.Rlimit{Cur: uint64(bytes), Max: uint64(bytes)}
	return syscall.Setrlimit(rlimitData, &limit)
}

// dieWithParent makes the kernel kill a worker whose pool's process is gone.
func dieWithParent() *syscall.SysProcAttr { return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }
