package plugin

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestProgram_daemon takes the answer of a program that leaves a process behind, which keeps the output open. The
// process is ended.
func TestProgram_daemon(t *testing.T) {
	dir := t.TempDir()
	held := filepath.Join(dir, "held")
	if err := syscall.Mkfifo(held, 0o600); err != nil {
		t.Fatal(err)
	}
	write(t, dir, "test", "exec 3>"+held+"\nsleep 600 &\necho an answer")
	ended := make(chan error, 1)
	go func() {
		file, err := os.Open(held) // as soon as the program opens it
		if err == nil {
			_, err = io.ReadAll(file) // until nobody has it open
		}
		ended <- err
	}()
	said, err := program{path: filepath.Join(dir, "test")}.ask(t.Context(), "")
	if err != nil || strings.TrimSpace(string(said)) != "an answer" {
		t.Errorf("got %q, %v", said, err)
	}
	select {
	case err := <-ended:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(20 * time.Second):
		t.Error("the process goes on")
	}
}
