package memory

import (
	"math"
	"runtime/debug"
	"testing"
	"testing/fstest"
)

func TestSetLimit(t *testing.T) {
	const mib = 1 << 20
	tests := []struct {
		name     string
		files    map[string]string
		explicit string
		want     int64
	}{
		{"v2_in_a_container", map[string]string{
			"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/memory.max": "268435456\n",
		}, "", 256 * mib / 100 * 90},
		{"v2_on_a_host", map[string]string{
			"proc/self/cgroup":                                   "0::/system.slice/nave.service\n",
			"sys/fs/cgroup/system.slice/memory.max":              "max\n",
			"sys/fs/cgroup/system.slice/nave.service/memory.max": "104857600\n",
		}, "", 100 * mib / 100 * 90},
		{"v2_limit_of_the_pod", map[string]string{
			"proc/self/cgroup":                       "0::/pod/container\n",
			"sys/fs/cgroup/pod/memory.max":           "104857600\n",
			"sys/fs/cgroup/pod/container/memory.max": "268435456\n",
		}, "", 100 * mib / 100 * 90},
		{"v1_in_a_container", map[string]string{
			"proc/self/cgroup":                           "12:cpu,cpuacct:/a\n5:memory:/kubepods/pod1/abc\n0::/a\n",
			"sys/fs/cgroup/memory/memory.limit_in_bytes": "268435456\n",
		}, "", 256 * mib / 100 * 90},
		{"v1_on_a_host", map[string]string{
			"proc/self/cgroup":                             "5:memory:/a\n",
			"sys/fs/cgroup/memory/memory.limit_in_bytes":   "9223372036854771712\n",
			"sys/fs/cgroup/memory/a/memory.limit_in_bytes": "104857600\n",
		}, "", 100 * mib / 100 * 90},
		{"v1_no_limit", map[string]string{
			"proc/self/cgroup": "5:memory:/\n", "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n",
		}, "", math.MaxInt64},
		{"v2_no_limit", map[string]string{"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/memory.max": "max\n"}, "",
			math.MaxInt64},
		{"no_cgroups", nil, "", math.MaxInt64},
		{"nonsense", map[string]string{"proc/self/cgroup": "0\n:::\n0::/\n", "sys/fs/cgroup/memory.max": "-1\n"}, "",
			math.MaxInt64},
		{"GOMEMLIMIT", map[string]string{"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/memory.max": "268435456\n"}, "off",
			math.MaxInt64},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			before := debug.SetMemoryLimit(math.MaxInt64)
			defer debug.SetMemoryLimit(before)
			root := fstest.MapFS{}
			for name, text := range tt.files {
				root[name] = &fstest.MapFile{Data: []byte(text)}
			}
			if got := setLimit(root, tt.explicit); got != tt.want {
				t.Errorf("limit %d, want %d", got, tt.want)
			}
		})
	}
}
