// Package memory keeps a process within the memory of its container.
package memory

import (
	"io/fs"
	"math"
	"os"
	"path"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
)

// percent of the container's memory that Go may use; the rest is for what Go does not count.
const percent = 90

// unlimited is what kernels without a limit report, or more.
const unlimited = math.MaxInt64 / 2

// SetLimit makes the garbage collector keep this process below 90 % of the memory limit of its cgroup (v1 or v2), and
// returns the limit that holds, in bytes; math.MaxInt64 if there is none. The environment variable GOMEMLIMIT wins.
func SetLimit() int64 { return setLimit(os.DirFS("/"), os.Getenv("GOMEMLIMIT")) }

func setLimit(root fs.FS, explicit string) int64 {
	if limit := cgroupLimit(root); limit < unlimited && explicit == "" {
		debug.SetMemoryLimit(limit / 100 * percent)
	}
	return debug.SetMemoryLimit(-1)
}

// cgroupLimit returns the smallest limit of the cgroups that this process is in, in bytes; unlimited or more if they
// have none.
func cgroupLimit(root fs.FS) int64 {
	groups, _ := fs.ReadFile(root, "proc/self/cgroup") // not there: in no cgroup
	smallest := int64(unlimited)
	for line := range strings.Lines(string(groups)) {
		for _, file := range limitFiles(strings.TrimSpace(line)) {
			smallest = min(smallest, readLimit(root, file))
		}
	}
	return smallest
}

// limitFiles returns the files that limit the cgroup of a line of /proc/self/cgroup, "number:controllers:path": its
// own, and those of the groups above it. In a container the path may be the host's, which is not there; the container's
// own group is then the root.
func limitFiles(line string) []string {
	parts := strings.SplitN(line, ":", 3)
	if len(parts) != 3 {
		return nil
	}
	mount, name := "sys/fs/cgroup", "memory.max"
	switch {
	case parts[0] == "0" && parts[1] == "":
	case slices.Contains(strings.Split(parts[1], ","), "memory"):
		mount, name = "sys/fs/cgroup/memory", "memory.limit_in_bytes"
	default:
		return nil
	}
	var files []string
	for group := path.Clean("/" + parts[2]); ; group = path.Dir(group) {
		files = append(files, path.Join(mount, group, name))
		if group == "/" {
			return files
		}
	}
}

// readLimit returns the limit in a file of a cgroup, in bytes; unlimited if the file gives none.
func readLimit(root fs.FS, file string) int64 {
	data, _ := fs.ReadFile(root, file)
	n, err := strconv.ParseInt(strings.TrimSpace(string(data)), 10, 64)
	if err != nil || n <= 0 {
		return unlimited
	}
	return n
}
