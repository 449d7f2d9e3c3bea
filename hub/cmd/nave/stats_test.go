package main

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
)

// TestStats counts the objects of a hub whose clusters no spoke has joined.
func TestStats(t *testing.T) {
	config := waitHub(t)
	mustRun(t, "suspend", "gitrepository", "fleet", "--config="+config, "--no-wait")
	for _, c := range []struct {
		args string
		want []string // words of the rows
	}{
		{"", []string{"Cluster 4 0 0 4 0 0", "GitRepository 1 1 0 0 1 0", "Kustomization 8 0 2 6 0 3", "Fleet 1 0 0 1 0 0"}},
		{"-A", []string{"Cluster 4 0 0 4 0 0", "GitRepository 1 1 0 0 1 0", "Kustomization 8 0 2 6 0 3", "Fleet 1 0 0 1 0 0"}},
		{"--cluster=east", []string{"Kustomization 2 0 0 2 0 1"}},
		{"--namespace=flux-system", []string{"GitRepository 1 1 0 0 1 0", "Kustomization 8 0 2 6 0 3"}},
	} {
		out, code := exitOf(t.Context(), config, append([]string{"stats", "--no-headers"}, strings.Fields(c.args)...)...)
		var rows []string
		for line := range strings.Lines(out) {
			rows = append(rows, strings.Join(strings.Fields(line), " "))
		}
		slices.Sort(rows)
		slices.Sort(c.want)
		if code != 0 || !slices.Equal(rows, c.want) {
			t.Errorf("%s: exit code %d: %q, want %q", c.args, code, rows, c.want)
		}
	}
	document, _ := exitOf(t.Context(), config, "stats", "-o=json")
	var report struct{ Kinds []kindCount }
	if err := json.Unmarshal([]byte(document), &report); err != nil || len(report.Kinds) != 4 {
		t.Errorf("%v:\n%s", err, document)
	}
	out, code := exitOf(t.Context(), config, "stats", "--cluster=eats")
	if code == 0 || !strings.Contains(out, "does not exist") {
		t.Errorf("exit code %d: %s", code, out)
	}
	if out, code := exitOf(t.Context(), config, "stats", "-A", "-n=none"); code != 2 || !strings.Contains(out, "exclude") {
		t.Errorf("exit code %d: %s", code, out)
	}
	if out, code := exitOf(t.Context(), config, "stats", "-n=none"); code != 0 || out != "No objects found.\n" {
		t.Errorf("exit code %d: %s", code, out)
	}
}
