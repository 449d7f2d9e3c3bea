package main

import (
	"os/exec"
	"strings"
	"testing"
)

// TestCheckOut_missing checks out a name that the repository does not have.
func TestCheckOut_missing(t *testing.T) {
	t.Setenv("PATH", searchPath)
	dir := t.TempDir()
	if out, err := exec.Command("git", "-C", dir, "init", "-q").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	_, remove, err := checkOut(t.Context(), dir, "nix")
	defer remove()
	if want := "--ref nix: the repository in " + dir + " has no such commit, branch or tag"; err == nil ||
		!strings.HasPrefix(err.Error(), want) {
		t.Errorf("got %v, want %q", err, want)
	}
}
