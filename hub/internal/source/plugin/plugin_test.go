package plugin

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/navefleet/nave/hub/internal/source"
)

// write writes a program that counts its runs and answers with a text.
func write(t *testing.T, dir, name, script string) {
	t.Helper()
	text := "#!/bin/sh\necho run >> " + filepath.Join(dir, name+".runs") + "\n" + script
	if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o700); err != nil {
		t.Fatal(err)
	}
}

func runs(t *testing.T, dir, name string) int {
	t.Helper()
	text, _ := os.ReadFile(filepath.Join(dir, name+".runs"))
	return strings.Count(string(text), "run")
}

const configuration = `apiVersion: kubelet.config.k8s.io/v1
kind: CredentialProviderConfig
providers:
- name: ecr
  matchImages: ["*.dkr.ecr.*.amazonaws.com"]
  defaultCacheDuration: 1h
  apiVersion: credentialprovider.kubelet.k8s.io/v1
  args: [get]
  env: [{name: REGION, value: north}]
`

// load returns the plugins of a configuration whose program ecr runs a script.
func load(t *testing.T, script string) (*Plugins, string, error) {
	t.Helper()
	dir := t.TempDir()
	write(t, dir, "ecr", script)
	file := filepath.Join(dir, "config.yaml")
	if err := os.WriteFile(file, []byte(configuration), 0o600); err != nil {
		t.Fatal(err)
	}
	p, err := Load(file, dir)
	return p, dir, err
}

const image = "1.dkr.ecr.eu.amazonaws.com/fleet"

func answering(more string) string {
	return `cat <<END
{"apiVersion":"credentialprovider.kubelet.k8s.io/v1","kind":"CredentialProviderResponse",` + more + `,
"auth":{"*.dkr.ecr.*.amazonaws.com":{"username":"AWS","password":"$1-$REGION-$(grep -c CredentialProviderRequest)"}}}
END
`
}

func TestCredentials(t *testing.T) {
	p, dir, err := load(t, answering(`"cacheKeyType":"Registry"`))
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	p.now = func() time.Time { return now }
	for range 2 {
		secret, err := p.Credentials(t.Context(), "oci://"+image, false)
		if err != nil {
			t.Fatal(err)
		}
		config, err := source.ReadDockerConfig(secret)
		if err != nil {
			t.Fatal(err)
		}
		if a, _ := config.For("1.dkr.ecr.eu.amazonaws.com", "fleet"); a.Username != "AWS" || a.Password != "get-north-1" {
			t.Errorf("got %v", a)
		}
	}
	if n := runs(t, dir, "ecr"); n != 1 {
		t.Errorf("%d runs for one registry", n)
	}
	now = now.Add(time.Hour)
	if _, err := p.Credentials(t.Context(), image, false); err != nil || runs(t, dir, "ecr") != 2 {
		t.Errorf("after an hour: %d runs, %v", runs(t, dir, "ecr"), err)
	}
	if _, err := p.Credentials(t.Context(), "http://"+image, true); err != nil || runs(t, dir, "ecr") != 3 {
		t.Errorf("after the server refused them: %d runs, %v", runs(t, dir, "ecr"), err)
	}
	if _, err := p.Credentials(t.Context(), image, false); err != nil || runs(t, dir, "ecr") != 3 {
		t.Errorf("the new ones are not kept: %d runs, %v", runs(t, dir, "ecr"), err)
	}
	if _, err := p.Credentials(t.Context(), "ghcr.io/fleet", false); !errors.Is(err, source.ErrAuthentication) ||
		!strings.Contains(err.Error(), "spec.secretRef") {
		t.Errorf("another registry: %v", err)
	}
}

func TestCredentials_errors(t *testing.T) {
	for name, c := range map[string]struct{ script, word string }{
		"fails": {"echo canary; echo canary >&2; exit 1", "exit status 1; to see what it says, run where the hub runs: echo '{" +
			`"apiVersion":"credentialprovider.kubelet.k8s.io/v1","image":"` + image + `","kind":"CredentialProviderRequest"}' | ecr get`},
		"no_json":   {"echo canary", "not JSON"},
		"kind":      {"echo '{}'", "not a CredentialProviderResponse"},
		"cache_key": {answering(`"cacheKeyType":"Planet"`), "Planet"},
		"too_much":  {"head -c 2000000 /dev/zero", "more than 1 MiB"},
	} {
		t.Run(name, func(t *testing.T) {
			p, _, err := load(t, c.script)
			if err != nil {
				t.Fatal(err)
			}
			_, err = p.Credentials(t.Context(), image, false)
			if !errors.Is(err, source.ErrAuthentication) || !strings.Contains(fmt.Sprint(err), c.word) ||
				strings.Contains(err.Error(), "canary") {
				t.Errorf("got %v, want %q", err, c.word)
			}
		})
	}
}

func TestLoad(t *testing.T) {
	for name, c := range map[string]struct{ old, new, word string }{
		"kind":     {"CredentialProviderConfig", "Config", "CredentialProviderConfig"},
		"path":     {"name: ecr", "name: ../ecr", "name of a program"},
		"version":  {"credentialprovider.kubelet.k8s.io/v1", "credentialprovider.kubelet.k8s.io/v1alpha1", "v1alpha1"},
		"images":   {`["*.dkr.ecr.*.amazonaws.com"]`, "[]", "matchImages"},
		"no_file":  {"name: ecr", "name: gcr", "gcr"},
		"unknown":  {"matchImages", "matchImage", "matchImage"},
		"not_yaml": {"kind:", "kind", "config.yaml"},
	} {
		t.Run(name, func(t *testing.T) {
			_, dir, err := load(t, "")
			if err != nil {
				t.Fatal(err)
			}
			file := filepath.Join(dir, "config.yaml")
			text := strings.Replace(configuration, c.old, c.new, 1)
			if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			if _, err := Load(file, dir); err == nil || !strings.Contains(err.Error(), c.word) {
				t.Errorf("got %v, want %q", err, c.word)
			}
		})
	}
}
