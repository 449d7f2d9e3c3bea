package confine

import (
	"bytes"
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"syscall"
)

// rlimitData is RLIMIT_DATA. Since Linux 4.7 it counts all private writable memory, which is what Go really maps.
// RLIMIT_AS would also count address space that Go only reserves.
const rlimitData = 2

// limitMemory sets how many bytes the kernel gives this process. Beyond that Go ends the process.
func limitMemory(bytes int64) error {
	limit := syscall.Rlimit{Cur: uint64(bytes), Max: uint64(bytes)}
	return syscall.Setrlimit(rlimitData, &limit)
}

// limitFile sets how many bytes each file that this process writes may have. Beyond that a write fails with EFBIG. It
// does not limit pipes.
func limitFile(bytes int64) error {
	signal.Ignore(syscall.SIGXFSZ) // which would end the process
	return syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: uint64(bytes), Max: uint64(bytes)})
}

// dieWithParent makes the kernel kill a process when the process of its pool ends.
func dieWithParent() *syscall.SysProcAttr { return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }

// dieFirst makes the kernel kill this process before the hub when the machine or the hub's Pod has no memory left.
func dieFirst() {
	_ = os.WriteFile("/proc/self/oom_score_adj", []byte("1000"), 0) // if it fails, the kernel kills the largest process
}

// residentMemory returns the resident memory of a process in bytes; 0 if the system does not tell.
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
