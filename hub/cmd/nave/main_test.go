package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// TestMain_signals ends a program that waits for a file that never comes: the first signal ends its context, a further
// one the process.
func TestMain_signals(t *testing.T) {
	if file := os.Getenv("NAVE_TEST_FILE"); file != "" {
		os.Args = []string{"nave", "build", "kustomization", "a", "--path", filepath.Dir(file), "--root",
			filepath.Dir(file), "--kustomization-file", file}
		main()
		t.Fatal("the program ended by itself")
	}
	file := filepath.Join(t.TempDir(), "a.yaml")
	if err := syscall.Mkfifo(file, 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestMain_signals$")
	cmd.Env = append(os.Environ(), "NAVE_TEST_FILE="+file)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	reading := make(chan *os.File, 1)
	go func() {
		writer, _ := os.OpenFile(file, os.O_WRONLY, 0) // which waits for the reader
		reading <- writer
	}()
	for deadline := time.After(30 * time.Second); ; {
		select {
		case writer := <-reading:
			defer writer.Close()
			reading = nil
		case <-time.After(20 * time.Millisecond):
			if reading == nil {
				_ = cmd.Process.Signal(syscall.SIGTERM)
			}
		case <-ended:
			if reading != nil {
				t.Fatal("the program ended before it read the file")
			}
			status, _ := cmd.ProcessState.Sys().(syscall.WaitStatus)
			if !status.Signaled() || status.Signal() != syscall.SIGTERM {
				t.Errorf("the program ended with %v, want SIGTERM", cmd.ProcessState)
			}
			return
		case <-deadline:
			_ = cmd.Process.Kill()
			t.Fatal("the program does not end")
		}
	}
}
