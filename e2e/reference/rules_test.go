package reference

import (
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/navefleet/nave/e2e/kubetest"
)

// TestRules runs the tests of e2e/monitoring, which evaluate the alerts with the code of Prometheus. The first build
// takes some minutes.
func TestRules(t *testing.T) {
	if testing.Short() {
		t.Skip("builds Prometheus")
	}
	checkout, err := kubetest.Root()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "go", "test", "./...")
	cmd.Dir = filepath.Join(checkout, "e2e", "monitoring")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
}
