//go:build !race

// The race detector takes memory of its own, so the limits on memory are tested without it.

package confine

import (
	"context"
	"errors"
	"runtime"
	"strings"
	"testing"
	"time"
)

// TestMemoryLimit has a process that holds more than it may, but less than the kernel refuses.
func TestMemoryLimit(t *testing.T) {
	if dieWithParent() == nil {
		t.Skip("no limit on memory on this system")
	}
	p := newPool(t, Config{Memory: 100 << 20}, "echo")
	_, err := p.Ask(t.Context(), []byte("memory-and-wait 130"))
	if !errors.Is(err, ErrMemory) || !strings.Contains(err.Error(), "the limit is 100; ask for less") {
		t.Fatalf("got %v", err)
	}
	p.answers(t, "the next")
}

// TestTogether has two processes that hold less than each may, but more than both may: the larger one is ended.
func TestTogether(t *testing.T) {
	if dieWithParent() == nil {
		t.Skip("no limit on memory on this system")
	}
	p := newPool(t, Config{Memory: 400 << 20, Together: 200 << 20, Workers: 2}, "echo")
	small := make(chan error, 1)
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		_, err := p.Ask(ctx, []byte("memory-and-wait 60"))
		small <- err
	}()
	_, err := p.Ask(t.Context(), []byte("memory-and-wait 160"))
	if !errors.Is(err, ErrMemory) || !strings.Contains(err.Error(), "together") {
		t.Errorf("the large one: %v", err)
	}
	cancel()
	if err := <-small; !errors.Is(err, context.Canceled) {
		t.Errorf("the small one: %v", err)
	}
	p.answers(t, "the next")
	if len(p.busy) != 0 {
		t.Errorf("%d processes are at work", len(p.busy))
	}
}

// TestHardLimit has a process that nobody watches: the kernel refuses it more memory.
func TestHardLimit(t *testing.T) {
	if dieWithParent() == nil {
		t.Skip("no hard limit on this system")
	}
	p := newPool(t, Config{Memory: 100 << 20}, "echo")
	w, err := p.acquire()
	if err != nil {
		t.Fatal(err)
	}
	_, err = w.ask(t.Context(), []byte("memory 400"))
	var died *DiedError
	if !errors.As(err, &died) || !strings.Contains(err.Error(), "memory") {
		t.Fatalf("got %v", err)
	}
}

// TestIdle checks that an idle process gives back the memory of its garbage.
func TestIdle(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("no figures of memory on this system")
	}
	p := newPool(t, Config{}, "echo")
	p.answers(t, "garbage 96")
	pid := p.idle[0].cmd.Process.Pid
	const much = 64 << 20
	if held := residentMemory(pid); held < much {
		t.Fatalf("the process holds %d bytes right after its answer", held)
	}
	deadline := time.Now().Add(time.Minute)
	for range time.Tick(10 * time.Millisecond) {
		switch held := residentMemory(pid); {
		case !isRunning(pid):
			t.Fatal("the process has ended")
		case held < much:
			return
		case time.Now().After(deadline):
			t.Fatalf("the process still holds %d bytes", held)
		}
	}
}
