package kubetest

import (
	"context"
	"fmt"
	"os"
	"os/exec"
)

// Kubectl returns the path of the real kubectl, at the version of e2e/kubetest/kubectl/go.mod. If the cache has none,
// Kubectl builds the command, in a minute or two.
func Kubectl(ctx context.Context) (string, error) {
	return Cached("kubetest/kubectl", "kubectl", func(module, binary string) error {
		cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags", "-s -w", "-o", binary, ".")
		cmd.Dir = module
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=-mod=readonly", "GOWORK=off")
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("build kubectl: %w\n%s", err, out)
		}
		return nil
	})
}
