package fetch_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/navefleet/nave/e2e/gittest"
	"github.com/navefleet/nave/hub/internal/fetch"
	"github.com/navefleet/nave/hub/internal/source/plugin"
	"github.com/navefleet/nave/hub/internal/store"
	"github.com/navefleet/nave/shared/condition"
)

// script writes a credential helper that keeps what it was asked.
func script(t *testing.T, text string) (command, asked string) {
	t.Helper()
	dir := t.TempDir()
	command, asked = filepath.Join(dir, "helper"), filepath.Join(dir, "asked")
	text = "#!/bin/sh\n{ echo \"$@\"; cat; } > " + asked + "\n" + text
	if err := os.WriteFile(command, []byte(text), 0o700); err != nil {
		t.Fatal(err)
	}
	return command, asked
}

func provider(name string) option {
	return func(_ *store.Resource, spec map[string]any) { spec["provider"] = name }
}

// TestHelper has a real Git server and a real process that knows its password.
func TestHelper(t *testing.T) {
	command, asked := script(t, "echo username=u; echo password=s3cr3t; echo other=x\n")
	helpers, err := plugin.ParseGitHelpers([]string{"aws=" + command + " --profile fleet"})
	if err != nil {
		t.Fatal(err)
	}
	r, server := startReal(t, gittest.Options{Username: "u", Password: "s3cr3t"},
		func(c *fetch.Config) { c.GitHelpers = helpers })
	want := r.commit("1")
	if o := r.request("1", provider("aws")); o.Ready != "True" || o.Revision != want {
		t.Errorf("condition %+v, want %s", o, want)
	}
	got, err := os.ReadFile(asked)
	host := strings.TrimPrefix(server.URL(), "http://")
	if want := "--profile fleet get\nprotocol=http\nhost=" + host + "\npath=fleet.git\n\n"; err != nil ||
		string(got) != want {
		t.Errorf("the helper was asked %q, want %q, %v", got, want, err)
	}
	o := r.request("2", provider("azure"))
	if o.Ready != "False" || o.Reason != condition.AuthenticationFailed ||
		!strings.Contains(o.Message, "--git-credential-helper azure=COMMAND") {
		t.Errorf("without a helper: %+v", o)
	}
	o = r.request("3", provider("aws"), confined)
	if o.Ready != "False" || o.Reason != condition.AccessDenied || !strings.Contains(o.Message, "cloud identity") {
		t.Errorf("a tenant's source: %+v", o)
	}
}

func TestHelper_broken(t *testing.T) {
	for name, c := range map[string]struct{ text, want string }{
		"fails": {"echo 'canary\x1b[2J' >&2; exit 3\n", "exit status 3; to see what it says, run where the hub runs: " +
			"printf 'protocol=http\\nhost=127.0.0.1:"},
		"silent":  {"", "it gave no username and password"},
		"half":    {"echo username=u\n", "it gave no username and password"},
		"talks":   {"yes | head -c 1000000\n", "it gave no username and password"},
		"refused": {"echo username=u; echo password=wr0ng-canary\n", `401 Unauthorized"; check the Git credential helper of the hub for spec.provider aws`},
		"no_file": {"exec rm $0.x\n", "exit status"},
	} {
		t.Run(name, func(t *testing.T) {
			command, _ := script(t, c.text)
			r, _ := startReal(t, gittest.Options{Username: "u", Password: "s3cr3t"},
				func(cfg *fetch.Config) { cfg.GitHelpers = plugin.GitHelpers{"aws": {command}} })
			r.commit("1")
			o := r.request("1", provider("aws"))
			if o.Ready != "False" || !strings.Contains(o.Message, c.want) || strings.ContainsAny(o.Message, "\x1b") ||
				strings.Contains(o.Message, "canary") {
				t.Errorf("condition %+v", o)
			}
		})
	}
}
