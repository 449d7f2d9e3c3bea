package plugin

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"

	"github.com/navefleet/nave/hub/internal/source"
)

// helpers returns the credential helpers of a folder in which docker-credential-test runs a script.
func helpers(t *testing.T, script string) (*DockerHelpers, string) {
	t.Helper()
	dir := t.TempDir()
	write(t, dir, helperPrefix+"test", script)
	h, err := LoadDockerHelpers(dir)
	if err != nil {
		t.Fatal(err)
	}
	h.time = 5 * time.Second
	return h, dir
}

// TestDockerHelpers speaks Docker's protocol: the verb get, the server on the standard input, JSON on the output.
func TestDockerHelpers(t *testing.T) {
	for name, c := range map[string]struct {
		user string
		want authn.AuthConfig
	}{
		"password": {"robot", authn.AuthConfig{Username: "robot", Password: "get-ghcr.io"}},
		"token":    {tokenUser, authn.AuthConfig{IdentityToken: "get-ghcr.io"}},
	} {
		t.Run(name, func(t *testing.T) {
			h, _ := helpers(t, `printf '{"ServerURL":"x","Username":"`+c.user+`","Secret":"%s-%s"}' "$1" "$(cat)"`)
			got, err := h.Credentials(t.Context(), "test", "ghcr.io")
			if err != nil || got["ghcr.io"] != c.want {
				t.Errorf("got %v, %v; want %v", got, err, c.want)
			}
		})
	}
}

// TestDockerHelpers_hostile ends programs that are slow or print too much, and repeats nothing that one prints.
func TestDockerHelpers_hostile(t *testing.T) {
	for name, c := range map[string]struct{ script, word string }{
		"fails":       {"echo canary; echo canary >&2; exit 3", "exit status 3; to see what it says, run where the hub runs: echo ghcr.io | docker-credential-test get"},
		"not_found":   {"echo credentials not found in native keychain; echo canary >&2; exit 1", "it has no credentials for this server"},
		"no_json":     {"echo canary", "not JSON"},
		"other_json":  {`echo '["canary"]'`, "not JSON"},
		"no_password": {`echo '{"Username":"canary"}'`, "no Username and Secret"},
		"too_much":    {"yes canary", "more than 1 MiB"},
		"much_stderr": {"head -c 20000000 /dev/zero >&2; echo canary >&2; exit 1", "exit status 1"},
		"slow":        {"echo canary; sleep 60", "no answer in 200ms"},
	} {
		t.Run(name, func(t *testing.T) {
			h, _ := helpers(t, c.script)
			if name == "slow" {
				h.time = 200 * time.Millisecond
			}
			_, err := h.Credentials(t.Context(), "test", "ghcr.io")
			if !errors.Is(err, source.ErrAuthentication) || !strings.Contains(err.Error(), c.word) ||
				strings.Contains(err.Error(), "canary") {
				t.Errorf("got %v, want %q", err, c.word)
			}
		})
	}
}

// TestDockerHelpers_children ends what a program has started, too.
func TestDockerHelpers_children(t *testing.T) {
	held := filepath.Join(t.TempDir(), "held")
	if err := syscall.Mkfifo(held, 0o600); err != nil {
		t.Fatal(err)
	}
	h, _ := helpers(t, "(exec 3>"+held+"; sleep 600) &\nwait")
	h.time = time.Minute
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		file, err := os.Open(held) // as soon as the child opens it
		cancel()
		if err == nil {
			_, err = io.ReadAll(file) // until nobody has it open
		}
		ended <- err
	}()
	if _, err := h.Credentials(ctx, "test", "ghcr.io"); err == nil {
		t.Error("no error of a program that does not answer")
	}
	select {
	case err := <-ended:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(20 * time.Second):
		t.Error("the child of the program goes on")
	}
}

// TestDockerHelpers_name runs no program but docker-credential-NAME of the folder.
func TestDockerHelpers_name(t *testing.T) {
	h, dir := helpers(t, "exit 1")
	outside := t.TempDir()
	write(t, outside, "evil", "")
	write(t, dir, "evil", "")
	if err := os.Mkdir(filepath.Join(dir, helperPrefix+"x"), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{
		"evil", "../evil", "x/../../evil", "x/../evil", filepath.Join(outside, "evil"), "test get", "test;evil", "", "\x00",
		"-x",
	} {
		if _, err := h.Credentials(t.Context(), name, "ghcr.io"); !errors.Is(err, source.ErrAuthentication) {
			t.Errorf("%q: %v", name, err)
		}
	}
	if runs(t, dir, "evil")+runs(t, outside, "evil")+runs(t, dir, helperPrefix+"test") > 0 {
		t.Error("a program was run")
	}
	if _, err := LoadDockerHelpers(filepath.Join(dir, "none")); err == nil {
		t.Error("a folder that does not exist is taken")
	}
}
