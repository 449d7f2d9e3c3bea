package confine

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"syscall"
)

// rlimitData is RLIMIT_DATA: since Linux 4.7 it counts all private writable memory, and so what Go really maps, where
// RLIMIT_AS would count address space that Go only reserves.
const rlimitData = 2

// limitMemory makes the kernel refuse this process more than so many bytes; Go then ends it.
func limitMemory(bytes int64) error {
	limit := syscall.Rlimit{Cur: uint64(bytes), Max: uint64(bytes)}
	return syscall.Setrlimit(rlimitData, &limit)
}

// dieWithParent makes the kernel kill a process whose pool's process is gone.
func dieWithParent() *syscall.SysProcAttr { return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }

// dieFirst makes the kernel choose this process before the hub when the machine, or the hub's Pod, has no memory left.
func dieFirst() {
	_ = os.WriteFile("/proc/self/oom_score_adj", []byte("1000"), 0) // without it the largest process is chosen
}

// residentMemory returns how much memory a process holds, in bytes; 0 when that cannot be told.
func residentMemory(pid int) int64 {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	if err != nil {
		return 0
	}
	fields := bytes.Fields(data)
	if len(fields) < 2 {
		return 0
	}
	pages, err := strconv.ParseInt(string(fields[1]), 10, 64)
	if err != nil {
		return 0
	}
	return pages * int64(os.Getpagesize())
}
