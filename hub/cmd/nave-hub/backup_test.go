package main

import (
	"io"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// TestOpenOutput writes to what is no regular file, such as /dev/null, and does not put a file in its place.
func TestOpenOutput(t *testing.T) {
	name := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(name, 0o600); err != nil {
		t.Fatal(err)
	}
	read := make(chan string)
	go func() {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Error(err)
		}
		read <- string(data)
	}()
	to, done, err := openOutput(io.Discard, name)
	if err != nil {
		t.Fatal(err)
	}
	_, err = io.WriteString(to, "archive")
	if err := done(err); err != nil {
		t.Fatal(err)
	}
	if got := <-read; got != "archive" {
		t.Errorf("the pipe had %q", got)
	}
	if info, err := os.Stat(name); err != nil || info.Mode().Type() != os.ModeNamedPipe {
		t.Errorf("%v: the pipe is %v", err, info)
	}
}
