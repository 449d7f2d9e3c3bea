package main

import (
	"os"
	"path/filepath"
	"testing"
)

func TestSigned(t *testing.T) {
	const log = `time=2026-11-26T22:00:00.001Z level=INFO msg="published bundles" signed=9 removed=0
time=2026-11-26T22:00:00.100Z level=INFO msg="new artifact" revision=main@sha1:1
time=2026-11-26T22:00:00.200Z level=INFO msg="published bundles" signed=2 removed=0
time=2026-11-26T22:00:00.300Z level=INFO msg="published bundles" signed=3 removed=0
`
	path := filepath.Join(t.TempDir(), "log")
	if err := os.WriteFile(path, []byte(log), 0o600); err != nil {
		t.Fatal(err)
	}
	const offset = 80 // behind the first line
	for n, want := range map[int]int{1: 200, 2: 200, 3: 300, 5: 300} {
		at, all, err := signed(path, offset, n)
		if err != nil || all != 5 || at.Nanosecond()/1e6 != want {
			t.Errorf("%d bundles: at %s, %d in all (%v), want %d ms", n, at, all, err, want)
		}
	}
	if _, _, err := signed(path, offset, 6); err == nil {
		t.Error("six bundles are signed, where there are five")
	}
}

func TestIsReady(t *testing.T) {
	for object, want := range map[string]bool{
		`{"status":{"conditions":[{"type":"Released","status":"True"},{"type":"Ready","status":"True"}]}}`: true,
		`{"status":{"conditions":[{"type":"Ready","status":"False"}]}}`:                                    false,
		`{"status":{"conditions":[{"type":"Ready","status":"Unknown"}]}}`:                                  false,
		`{}`: false,
		``:   false,
	} {
		if got := isReady([]byte(object)); got != want {
			t.Errorf("%s: %t", object, got)
		}
	}
}
