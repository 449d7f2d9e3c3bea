package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestApply_dryRun prints what an apply would remove, and that it would ask: a dry run must not look harmless.
func TestApply_dryRun(t *testing.T) {
	config := waitHub(t)
	fleet, _ := nave(t, config, "export", "fleets")
	file := filepath.Join(t.TempDir(), "fleet.yaml")
	apply := func(text string, args ...string) (string, int) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return exitOf(t.Context(), config, append([]string{"apply", "-f", file}, args...)...)
	}
	if out, code := apply(fleet, "--dry-run"); code != 0 || strings.Contains(out, "This removes") {
		t.Errorf("exit code %d: %s", code, out)
	}
	nobody := regexp.MustCompile(`(?s)clusterSelector:.*?\n  template:`).ReplaceAllString(fleet,
		"clusterSelector: {matchLabels: {nobody: has}}\n  template:")
	out, code := apply(nobody, "--dry-run")
	if code != 0 || !strings.Contains(out, "configured (dry run)\nThis removes:\n") ||
		!strings.Contains(out, "Without --dry-run you are asked") {
		t.Errorf("exit code %d: %s", code, out)
	}
	if out, code := apply(nobody); code != 2 || !strings.Contains(out, "This removes:\n") {
		t.Errorf("exit code %d: %s", code, out)
	}
}

// TestExplain_hubToo names an object that clusters have, and then the hub, too.
func TestExplain_hubToo(t *testing.T) {
	config := waitHub(t)
	if out, _ := nave(t, config, "explain", "ks", "app"); !strings.Contains(out, "/app is on east, lab, west; ") {
		t.Error(out)
	}
	file := filepath.Join(t.TempDir(), "app.yaml")
	write(t, filepath.Dir(file), "app.yaml", `apiVersion: kustomize.toolkit.fluxcd.io/v1
kind: Kustomization
metadata: {name: app, namespace: flux-system}
spec: {interval: 10m, path: ./app, prune: true, sourceRef: {kind: GitRepository, name: fleet}}
`)
	mustRun(t, "apply", "-f", file, "--config="+config)
	if out, _ := nave(t, config, "explain", "ks", "app"); !strings.Contains(out, "/app is on the hub, east, lab, west; ") {
		t.Error(out)
	}
}
