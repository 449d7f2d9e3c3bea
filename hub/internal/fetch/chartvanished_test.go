package fetch_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/navefleet/nave/hub/internal/store"
)

// TestChart_vanished keeps the last chart whatever becomes of its repository, says what is wrong, records an event, and
// takes the next version once all is well.
func TestChart_vanished(t *testing.T) {
	for name, c := range map[string]struct {
		spoil func(c *charts)
		// What the chart says, and whether the repository is ready.
		reason, words string
		ready         string
	}{
		"server": {func(c *charts) { c.auth = "nobody knows" }, "SourceNotReady", "401", "False"},
		"index":  {func(c *charts) { delete(c.files, "/index.yaml") }, "SourceNotReady", "404", "False"},
		"garbage": {func(c *charts) { c.files["/index.yaml"] = []byte("<html>sign in</html>") }, "SourceNotReady",
			"no index of charts", "False"},
		"nothing": {func(c *charts) { c.files["/index.yaml"] = nil }, "SourceNotReady", "no index of charts", "False"},
		"huge": {func(c *charts) { c.files["/index.yaml"] = make([]byte, 60<<20) }, "SourceNotReady", "50 MiB",
			"False"},
		"empty": {func(c *charts) { c.files["/index.yaml"] = []byte("entries: {}\n") }, "InvalidChartReference",
			"has no charts", "True"},
		"chart": {func(c *charts) {
			c.files["/index.yaml"] = []byte("entries:\n  other:\n  - version: 1.0.0\n    urls: [x.tgz]\n")
		}, "InvalidChartReference", "it has: other", "True"},
		"version": {func(c *charts) {
			c.files["/index.yaml"] = []byte("entries:\n  app:\n  - version: 0.9.0\n    urls: [x.tgz]\n")
		}, "InvalidChartReference", "has: 0.9.0", "True"},
	} {
		t.Run(name, func(t *testing.T) {
			c1, server := startCharts(t)
			c1.publish("1.0.0")
			chart := strings.Replace(chartText, "chart: app,", "chart: app, version: '>=1.0.0',", 1)
			c1.put("east", "", fmt.Sprintf(repositoryText, server.URL), chart)
			c1.await(chartKey.In("east"), at("1.0.0"))
			c1.mu.Lock()
			c.spoil(c1)
			c1.mu.Unlock()
			c1.put("east", "now", chart)
			o := c1.await(chartKey.In("east"), func(o store.Condition) bool { return o.Ready == "False" })
			if o.Revision != "1.0.0" || o.Reason != c.reason || !strings.Contains(o.Message, c.words) {
				t.Errorf("got %+v", o)
			}
			isTold := func(o store.Condition) bool { return o.Ready == c.ready }
			if o := c1.await(repositoryKey.In("east"), isTold); o.Revision == "" {
				t.Errorf("the index is gone: %+v", o)
			}
			c1.mu.Lock()
			c1.auth = ""
			c1.mu.Unlock()
			c1.publish("1.1.0")
			c1.put("east", "again", chart)
			c1.await(chartKey.In("east"), at("1.1.0"))
			c1.events(c.reason, "NewArtifact")
		})
	}
}

// events checks that there are events about the chart with each of the reasons.
func (c *charts) events(reasons ...string) {
	c.Helper()
	found := map[string]bool{}
	err := c.store.View(c.Context(), func(tx *store.Tx) error {
		return store.Events.Scan(tx, "", func(_ string, e store.Event) error {
			found[e.Reason] = found[e.Reason] || e.Object == chartKey.In("east")
			return nil
		})
	})
	if err != nil {
		c.Fatal(err)
	}
	for _, reason := range reasons {
		if !found[reason] {
			c.Errorf("no event %s; there are %v", reason, found)
		}
	}
}
