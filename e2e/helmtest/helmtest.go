// Package helmtest runs the real helm in tests: it builds the command from Helm's own modules, of both versions that
// Nave follows.
package helmtest

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
)

// Helm is a helm command.
type Helm struct{ binary string }

// New returns the helm of a major version, 3 or 4, at the version of e2e/helmtest/tools/go.mod. If the cache has none,
// New builds the command, in a minute or two.
func New(ctx context.Context, major int) (Helm, error) {
	module, err := findModule()
	if err != nil {
		return Helm{}, err
	}
	modules, err := os.ReadFile(filepath.Join(module, "go.mod"))
	if err != nil {
		return Helm{}, err
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return Helm{}, err
	}
	key := sha256.Sum256([]byte(runtime.Version() + runtime.GOARCH + string(modules)))
	dir := filepath.Join(cache, "nave", "helm", hex.EncodeToString(key[:12]))
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return Helm{}, err
	}
	binary := filepath.Join(dir, fmt.Sprintf("helm%d", major))
	if _, err := os.Stat(binary); err == nil {
		return Helm{binary}, nil
	}
	return Helm{binary}, build(ctx, module, binary, fmt.Sprintf("helm.sh/helm/v%d/cmd/helm", major))
}

// findModule returns the folder of the module with the commands. The working directory is inside of the checkout.
func findModule() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for ; ; dir = filepath.Dir(dir) {
		module := filepath.Join(dir, "e2e", "helmtest", "tools")
		if _, err := os.Stat(filepath.Join(module, "go.mod")); err == nil {
			return module, nil
		}
		if dir == filepath.Dir(dir) {
			return "", errors.New("not inside a checkout of nave: no folder upwards has e2e/helmtest/tools")
		}
	}
}

// build builds a command. Processes that build at the same time do not disturb each other.
func build(ctx context.Context, module, binary, command string) error {
	made := fmt.Sprintf("%s.%d", binary, os.Getpid())
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags", "-s -w", "-o", made, command)
	cmd.Dir = module
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=-mod=readonly", "GOWORK=off")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build %s: %w\n%s", command, err, out)
	}
	return os.Rename(made, binary)
}

// Document is a document that helm template printed.
type Document struct {
	Source string // the path of the template
	Text   string
}

// Template returns the documents of helm template with some arguments. The hooks come last. If helm fails, the error is
// what helm says.
func (h Helm) Template(ctx context.Context, args ...string) ([]Document, error) {
	out, err := h.Run(ctx, "", append([]string{"template"}, args...)...)
	return documents(out), err
}

// Run runs helm with some arguments in the cluster of a kubeconfig, or in none, and returns what helm prints. If helm
// fails, the error is what helm says.
func (h Helm) Run(ctx context.Context, kubeconfig string, args ...string) (string, error) {
	home, err := os.MkdirTemp("", "helm")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(home)
	cmd := exec.CommandContext(ctx, h.binary, args...)
	cmd.Env = []string{"HOME=" + home, "KUBECONFIG=" + cmp.Or(kubeconfig, filepath.Join(home, "none"))}
	var messages bytes.Buffer
	cmd.Stderr = &messages
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("%w: %s", err, messages.String())
	}
	return string(out), nil
}

// documents splits what helm template prints, in which "---" and the source stand before each document.
func documents(text string) (found []Document) {
	const begin = "---\n# Source: "
	for i, part := range strings.Split("\n"+text, "\n"+begin) {
		if i == 0 {
			continue
		}
		source, document, _ := strings.Cut(part, "\n")
		found = append(found, Document{source, document + "\n"})
	}
	return found
}
