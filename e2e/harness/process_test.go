package harness

import (
	"context"
	"path/filepath"
	"strings"
	"testing"
)

// TestProcess_Wait tells that a daemon ended by itself, how, and what it logged last. One that runs until the end of
// the context is no error.
func TestProcess_Wait(t *testing.T) {
	daemon := func(script string) *Process {
		p := &Process{Name: "nave-hub", binary: "/bin/sh", Args: []string{"-c", script},
			Log: filepath.Join(t.TempDir(), "hub.log")}
		if err := p.launch(); err != nil {
			t.Fatal(err)
		}
		return p
	}
	dead := daemon("echo the disk is full; exit 3")
	err := dead.Wait(t.Context())
	for _, want := range []string{"nave-hub ended: exit status 3", dead.Log, "the disk is full"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v lacks %q", err, want)
		}
	}
	if err := dead.Stop(); err != nil {
		t.Errorf("stop one that ended: %v", err)
	}
	alive := daemon("exec sleep 60")
	over, cancel := context.WithCancel(t.Context())
	cancel()
	if err := alive.Wait(over); err != nil {
		t.Error(err)
	}
	if err := alive.Kill(); err != nil {
		t.Error(err)
	}
}
