package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/navefleet/nave/e2e/harness"
)

// usage is the memory of processes in MiB, as /proc counts it. Pages of files that processes share (the program itself)
// are in resident once for each process.
type usage struct {
	resident  float64 // VmRSS
	anonymous float64 // RssAnon: resident without the pages of files
}

// settledMemory waits until the resident memory of a daemon and all processes below it has moved by at most half a MiB
// for 20 seconds, and returns the last usage. If the memory never settles within 90 seconds, settledMemory returns the
// usage that was largest in the last 20 seconds.
func settledMemory(ctx context.Context, p *harness.Process) (usage, error) {
	const window, limit, still = 20, 90, 0.5 // seconds, seconds, MiB
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	var seen []usage
	for range limit {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return usage{}, context.Cause(ctx)
		}
		u, err := memoryOf("/proc", p.PID())
		if err != nil {
			return usage{}, fmt.Errorf("memory of %s: %w", p.Name, err)
		}
		seen = append(seen, u)
		seen = seen[max(0, len(seen)-window):]
		if least, most := extremes(seen); len(seen) == window && most.resident-least.resident <= still {
			return u, nil
		}
	}
	_, most := extremes(seen)
	return most, nil
}

// extremes returns the usages with the least and the most resident memory.
func extremes(seen []usage) (least, most usage) {
	least, most = seen[0], seen[0]
	for _, u := range seen {
		if u.resident < least.resident {
			least = u
		}
		if u.resident > most.resident {
			most = u
		}
	}
	return least, most
}

// memoryOf adds up the memory of a process and of all processes below it. A child that ends meanwhile counts as
// nothing.
func memoryOf(proc string, pid int) (usage, error) {
	total, err := ownMemory(proc, pid)
	if err != nil {
		return usage{}, err
	}
	children, err := childrenOf(proc)
	if err != nil {
		return usage{}, err
	}
	below := children[pid]
	for len(below) > 0 {
		child := below[0]
		below = append(below[1:], children[child]...)
		u, err := ownMemory(proc, child)
		if err != nil && !errors.Is(err, errEnded) {
			return usage{}, err
		}
		total.resident += u.resident
		total.anonymous += u.anonymous
	}
	return total, nil
}

// cpuOf adds up the CPU time that a process and all processes below it have used.
func cpuOf(proc string, pid int) (total time.Duration, err error) {
	children, err := childrenOf(proc)
	if err != nil {
		return 0, err
	}
	for below := []int{pid}; len(below) > 0; {
		one := below[0]
		below = append(below[1:], children[one]...)
		own, err := ownCPU(proc, one)
		if err != nil {
			return 0, err
		}
		total += own
	}
	return total, nil
}

// clockTick is the unit of times in /proc.
const clockTick = time.Second / 100

// ownCPU returns the CPU time of one process; none if it has ended.
func ownCPU(proc string, pid int) (time.Duration, error) {
	text, err := os.ReadFile(filepath.Join(proc, strconv.Itoa(pid), "stat"))
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ESRCH) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	// The name of the program, in parentheses, may have spaces.
	fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
	if len(fields) < 13 {
		return 0, fmt.Errorf("/proc says %q of process %d", text, pid)
	}
	user, errUser := strconv.Atoi(fields[11])
	system, errSystem := strconv.Atoi(fields[12])
	return time.Duration(user+system) * clockTick, errors.Join(errUser, errSystem)
}

// errEnded is returned for a process that is not there or has no memory any more.
var errEnded = errors.New("the process has ended")

func ownMemory(proc string, pid int) (usage, error) {
	fields, err := processStatus(proc, pid)
	if err != nil {
		return usage{}, err
	}
	resident, errRSS := kib(fields["VmRSS"])
	anonymous, errAnon := kib(fields["RssAnon"])
	return usage{resident / 1024, anonymous / 1024}, errors.Join(errRSS, errAnon)
}

// processStatus returns the fields of /proc/PID/status by name.
func processStatus(proc string, pid int) (map[string]string, error) {
	text, err := os.ReadFile(filepath.Join(proc, strconv.Itoa(pid), "status"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, syscall.ESRCH) {
		return nil, err
	}
	fields := map[string]string{}
	for line := range strings.Lines(string(text)) {
		name, value, _ := strings.Cut(line, ":")
		fields[name] = strings.TrimSpace(value)
	}
	if fields["VmRSS"] == "" {
		return nil, errEnded
	}
	return fields, nil
}

// kib reads a number with the unit kB.
func kib(value string) (float64, error) {
	number, unit, _ := strings.Cut(value, " ")
	if unit != "kB" {
		return 0, fmt.Errorf("/proc says %q, want a number of kB: this needs Linux", value)
	}
	return strconv.ParseFloat(number, 64)
}

// childrenOf returns the children of each process.
func childrenOf(proc string) (map[int][]int, error) {
	entries, err := os.ReadDir(proc)
	if err != nil {
		return nil, err
	}
	children := map[int][]int{}
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue // not a process
		}
		fields, err := processStatus(proc, pid)
		if errors.Is(err, errEnded) {
			continue // a thread of the kernel, or a process that has just ended
		}
		if err != nil {
			return nil, err
		}
		parent, err := strconv.Atoi(fields["PPid"])
		if err != nil {
			return nil, err
		}
		children[parent] = append(children[parent], pid)
	}
	return children, nil
}
