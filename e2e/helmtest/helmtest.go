// Package helmtest runs the real helm in tests: it builds the command from Helm's own modules, of both versions that
// Nave follows.
package helmtest

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/navefleet/nave/e2e/kubetest"
)

// Helm is a helm command.
type Helm struct{ binary string }

// Path returns the path of the command.
func (h Helm) Path() string { return h.binary }

// New returns the helm of a major version, 3 or 4, at the version of e2e/helmtest/tools/go.mod. If the cache has none,
// New builds the command, in a minute or two.
func New(ctx context.Context, major int) (Helm, error) {
	binary, err := kubetest.Cached("helmtest/tools", fmt.Sprintf("helm%d", major), func(module, binary string) error {
		return build(ctx, module, binary, fmt.Sprintf("helm.sh/helm/v%d/cmd/helm", major))
	})
	return Helm{binary}, err
}

// build builds a command.
func build(ctx context.Context, module, binary, command string) error {
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags", "-s -w", "-o", binary, command)
	cmd.Dir = module
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=-mod=readonly", "GOWORK=off")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build %s: %w\n%s", command, err, out)
	}
	return nil
}

// Module returns the folder of the source of a major version of Helm, 3 or 4.
func Module(t testing.TB, major int) string {
	t.Helper()
	root, err := kubetest.Root()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "go", "list", "-m", "-f", "{{.Dir}}", fmt.Sprintf("helm.sh/helm/v%d", major))
	cmd.Dir = filepath.Join(root, "e2e", "helmtest", "tools")
	cmd.Env = append(os.Environ(), "GOFLAGS=-mod=readonly", "GOWORK=off")
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(out))
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
