package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// writeProc writes /proc/PID/status below a folder. A resident memory of 0 leaves out what a process that has ended
// does not have.
func writeProc(t *testing.T, proc string, pid, parent, resident, anonymous int) {
	t.Helper()
	text := fmt.Sprintf("Name:\tx\nPPid:\t%d\n", parent)
	if resident > 0 {
		text += fmt.Sprintf("VmRSS:\t%8d kB\nRssAnon:\t%8d kB\n", resident, anonymous)
	}
	dir := filepath.Join(proc, fmt.Sprint(pid))
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "status"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestMemoryOf(t *testing.T) {
	proc := t.TempDir()
	writeProc(t, proc, 1, 0, 999*1024, 999*1024)
	writeProc(t, proc, 10, 1, 20*1024, 10*1024)
	writeProc(t, proc, 11, 10, 4*1024, 3*1024)  // a child
	writeProc(t, proc, 12, 11, 2*1024, 1*1024)  // a child of the child
	writeProc(t, proc, 13, 10, 0, 0)            // a child that has ended
	writeProc(t, proc, 20, 1, 50*1024, 50*1024) // a sibling
	if err := os.Mkdir(filepath.Join(proc, "sys"), 0o700); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		pid  int
		want usage
		err  error
	}{
		"with_children": {pid: 10, want: usage{resident: 26, anonymous: 14}},
		"alone":         {pid: 20, want: usage{resident: 50, anonymous: 50}},
		"ended":         {pid: 13, err: errEnded},
		"missing":       {pid: 99, err: errEnded},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := memoryOf(proc, c.pid)
			if got != c.want || !errors.Is(err, c.err) {
				t.Errorf("got %+v, %v; want %+v, %v", got, err, c.want, c.err)
			}
		})
	}
}

func TestMemoryOfThisProcess(t *testing.T) {
	u, err := memoryOf("/proc", os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	if u.anonymous <= 0 || u.resident <= u.anonymous {
		t.Errorf("this process has %+v", u)
	}
}

func TestCPUOf(t *testing.T) {
	proc := t.TempDir()
	writeProc(t, proc, 10, 1, 1, 1)
	writeProc(t, proc, 11, 10, 1, 1)
	for pid, ticks := range map[int]int{10: 100, 11: 50} {
		text := fmt.Sprintf("%d (a (name) 7) S 1 1 1 0 -1 4194560 1 2 3 4 %d 25 7 7 20 0\n", pid, ticks)
		if err := os.WriteFile(filepath.Join(proc, fmt.Sprint(pid), "stat"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if used, err := cpuOf(proc, 10); err != nil || used != 2*time.Second {
		t.Errorf("used %s, %v; want 2s", used, err)
	}
}
