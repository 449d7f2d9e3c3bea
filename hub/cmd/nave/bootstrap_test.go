package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestRoot_manifest(t *testing.T) {
	password := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(password, []byte("canary\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	r := root{name: "hub", url: "https://git.example.com/fleet", branch: "main", path: "hub", interval: time.Minute,
		username: "git"}
	for name, tt := range map[string]struct {
		change func(*root)
		want   []string
		absent string
	}{
		"public":   {func(*root) {}, []string{"kind: GitRepository", "kind: Kustomization"}, "secretRef"},
		"named":    {func(r *root) { r.secret = "shared" }, []string{"secretRef:\n    name: shared"}, "kind: Secret"},
		"password": {func(r *root) { r.passwordFile = password }, []string{"secretRef:\n    name: hub", "kind: Secret", "canary", "git.example.com"}, "shared"},
	} {
		t.Run(name, func(t *testing.T) {
			r := r
			tt.change(&r)
			data, err := r.manifest("flux-system")
			if err != nil {
				t.Fatal(err)
			}
			for _, want := range tt.want {
				if !strings.Contains(string(data), want) {
					t.Errorf("no %q in\n%s", want, data)
				}
			}
			if strings.Contains(string(data), tt.absent) {
				t.Errorf("%q in\n%s", tt.absent, data)
			}
		})
	}
}

// TestRoot_scp_address names the URL that stands for an address in the syntax of scp.
func TestRoot_scp_address(t *testing.T) {
	for address, want := range map[string]string{
		"git@github.com:acme/x":         "write ssh://git@github.com/acme/x",
		"ssh://git@github.com/acme/x":   "",
		"ssh://git@github.com:22/acme":  "",
		"https://user:pw@example.com/x": "",
	} {
		_, err := root{name: "hub", url: address, path: "hub"}.manifest("flux-system")
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", address, err)
		}
	}
}
