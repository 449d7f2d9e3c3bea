package main

import (
	"bytes"
	"strings"
	"testing"

	adminv1 "github.com/navefleet/nave/proto/nave/admin/v1"
)

// releaseRow returns a HelmRelease of a cluster whose revisions are of JSON.
func releaseRow(t *testing.T, cluster, history string) row {
	t.Helper()
	rows, err := decodeRows([]*adminv1.Object{{Json: []byte(`{"status":{"history":[` + history + `]}}`),
		Key: &adminv1.ObjectKey{Cluster: cluster, Kind: "HelmRelease", Namespace: "apps", Name: "web"}}}, "")
	if err != nil {
		t.Fatal(err)
	}
	return rows[0]
}

// TestPrintRevisions prints the revisions of clusters as helm history does.
func TestPrintRevisions(t *testing.T) {
	const three = `{"version":3,"status":"deployed","chartName":"web","chartVersion":"2.0.0","appVersion":"9",` +
		`"lastDeployed":"2026-01-03T00:00:00Z","description":"Rollback to 1"}`
	const two = `{"version":2,"status":"failed","chartName":"web","chartVersion":"3.0.0",` +
		`"lastDeployed":"2026-01-02T00:00:00Z","description":"Release \"web\" failed:\n it is ill"}`
	many := strings.TrimSuffix(strings.Repeat(three+",", 10), ",")
	for name, c := range map[string]struct {
		rows []row
		want []string
	}{
		"one": {[]row{releaseRow(t, "east", three+","+two)}, []string{
			"REVISION   UPDATED                STATUS     CHART       APP VERSION   DESCRIPTION",
			"2          2026-01-02T00:00:00Z   failed     web-3.0.0   -             Release \"web\" failed: it is ill",
			"3          2026-01-03T00:00:00Z   deployed   web-2.0.0   9             Rollback to 1",
			"east: the records before revision 2 are deleted (spec.maxHistory)"}},
		"two": {[]row{releaseRow(t, "east", three), releaseRow(t, "west", "")}, []string{
			"CLUSTER   REVISION", "east      3 ", "east: the records before revision 3", "west: no revision is reported"}},
		"cut": {[]row{releaseRow(t, "east", many)}, []string{"10 revisions are reported; there may be older ones"}},
	} {
		t.Run(name, func(t *testing.T) {
			var past []pastOfRelease
			for _, r := range c.rows {
				past = append(past, pastOfObject(r))
			}
			var out bytes.Buffer
			if err := (&printer{out: &out}).print(printoutOfRevisions(past)); err != nil {
				t.Fatal(err)
			}
			rest := out.String()
			for _, line := range c.want {
				_, after, found := strings.Cut(rest, line)
				if !found {
					t.Errorf("%s\nwithout %q", out.String(), line)
				}
				rest = after
			}
		})
	}
}
