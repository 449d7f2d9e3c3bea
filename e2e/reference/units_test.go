package reference

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/navefleet/nave/e2e/kubetest"
)

// maxExposure is the exposure of a service that systemd-analyze calls OK, from 0 to 10.
const maxExposure = 2

var exposure = regexp.MustCompile(`Overall exposure level for \S+: ([0-9.]+)`)

// TestUnits: systemd takes the units of deploy/systemd without a warning, and finds them well confined.
func TestUnits(t *testing.T) {
	if _, err := exec.LookPath("systemd-analyze"); err != nil && os.Getenv("CI") != "true" {
		t.Skipf("%v; apt install systemd has it", err)
	}
	checkout, err := kubetest.Root()
	if err != nil {
		t.Fatal(err)
	}
	for unit, file := range map[string]string{
		"nave-hub.service": "nave-hub.service", "nave-spoke@west.service": "nave-spoke@.service",
	} {
		path := filepath.Join(t.TempDir(), unit)
		text, err := os.ReadFile(filepath.Join(checkout, "deploy", "systemd", file))
		program := strings.NewReplacer("/usr/local/bin/nave-hub", "/bin/true", "/usr/local/bin/nave-spoke", "/bin/true")
		if err := errors.Join(err, os.WriteFile(path, []byte(program.Replace(string(text))), 0o600)); err != nil {
			t.Fatal(err)
		}
		if out, err := exec.Command("systemd-analyze", "verify", path).CombinedOutput(); err != nil || len(out) > 0 {
			t.Errorf("%s: %v\n%s", unit, err, out)
		}
		out, err := exec.Command("systemd-analyze", "security", "--offline=true", path).CombinedOutput()
		found := exposure.FindSubmatch(out)
		if found == nil {
			t.Fatalf("%s: %v\n%s", unit, err, out)
		}
		if level, err := strconv.ParseFloat(string(found[1]), 64); err != nil || level > maxExposure {
			t.Errorf("%s: exposure %s, want at most %d\n%s", unit, found[1], maxExposure, out)
		}
	}
}
