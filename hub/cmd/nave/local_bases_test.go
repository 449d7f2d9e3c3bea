package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestLocalBases builds and compares a checkout with a remote base, without a folder for the base and with one.
func TestLocalBases(t *testing.T) {
	t.Setenv("PATH", searchPath)
	root := tree(t, diffFiles())
	config := hubWith(t, root, fleetFiles["hub/fleet.yaml"]+"---\n"+fleetFiles["hub/clusters.yaml"], 2)
	if err := os.WriteFile(filepath.Join(root, "app/kustomization.yaml"), []byte("resources: [settings.yaml, plain.yaml, "+
		"old.yaml, sealed.yaml, 'https://github.com/acme/platform//deploy?ref=v1.2.0']\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	base := tree(t, map[string]string{"deploy/kustomization.yaml": "resources: [map.yaml]\n",
		"deploy/map.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: of-base, namespace: default}\n"})
	const missing = "remote base https://github.com/acme/platform@v1.2.0: nave does not fetch; the hub does, if its " +
		"flag --remote-base-host names github.com. Give a checkout with --local-bases " +
		"https://github.com/acme/platform@v1.2.0=DIR"
	given := "--local-bases=https://github.com/acme/platform@v1.2.0=" + base

	out, code := diffWith(t, config, "cluster", "east", root)
	if code != 0 || !strings.Contains(out, "Kustomization flux-system/app is not compared: "+missing) ||
		strings.Contains(out, "deleted") {
		t.Errorf("diff without a folder: exit code %d:\n%s", code, out)
	}
	t.Setenv("PATH", searchPath)
	out, code = diffWith(t, config, "cluster", "east", root, given)
	if code != 1 || !strings.Contains(out, "ConfigMap default/of-base added") ||
		!strings.Contains(out, "On 1 of 1 cluster: 1 added.") {
		t.Errorf("diff with a folder: exit code %d:\n%s", code, out)
	}
	build := []string{"build", "cluster", "east", root, "-f", filepath.Join(root, "hub")}
	if _, err := run(t, build...); err == nil || !strings.Contains(err.Error(), missing) {
		t.Errorf("build without a folder: %v", err)
	}
	if out, err := run(t, append(build, given)...); err != nil || !strings.Contains(out, "name: of-base\n") {
		t.Errorf("build with a folder: %v, printed:\n%s", err, out)
	}
	one := []string{"build", "kustomization", "app", "--cluster=east", "--config", config, "--root", root,
		"--path", filepath.Join(root, "app")}
	if out, err := run(t, append(one, given)...); err != nil || !strings.Contains(out, "name: of-base\n") {
		t.Errorf("build of one Kustomization: %v, printed:\n%s", err, out)
	}
	_, err := run(t, append(build, "--local-bases=x")...)
	if err == nil || !strings.Contains(err.Error(), "want URL@REF=DIR") {
		t.Errorf("with a wrong flag: %v", err)
	}
}
