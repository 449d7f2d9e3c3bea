package fetch_test

import (
	"strings"
	"testing"
	"time"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/store"
)

// TestSecret_forge gives the Secret for pull requests to the server of their API only, and not to that of the
// repository.
func TestSecret_forge(t *testing.T) {
	const github, own = `"forge":{"Provider":"github"}`, `"forge":{"Provider":"github","Address":"http://git.example.com:1/x"}`
	for name, c := range map[string]struct{ repository, forge, hosts, told string }{
		"known":       {"https://github.com/org/fleet", github, "api.github.com", ""},
		"own":         {"https://example.com/org/fleet", own, "git.example.com:1", ""},
		"same_host":   {"https://example.com/org/fleet", github, "example.com", ""},
		"repository":  {"https://github.com/org/fleet", github, "github.com", "fleet.nave.io/hosts: api.github.com"},
		"other":       {"https://example.com/org/fleet", own, "example.com", "fleet.nave.io/hosts: git.example.com:1"},
		"no_provider": {"https://example.com/fleet", github, "example.com", "is not the URL of a repository of the provider github"},
	} {
		t.Run(name, func(t *testing.T) {
			play(t, func(h *hub) {
				h.bind("flux-system/forge", c.hosts, "flux-system")
				tenant := &api.Confinement{Namespace: "flux-system", Account: "team"}
				h.put(key("", "fleet"), from(c.repository), func(row *store.Resource, _ map[string]any) { row.Confined = tenant })
				k := writerKey("")
				h.putWriterWith(k, `"delay":"0s",`+c.forge, tenant)
				o := h.condition(k)
				if denied := c.told != ""; denied == (o.Ready == "True") || !strings.Contains(o.Message, c.told) {
					t.Errorf("condition %+v, want %q", o, c.told)
				}
			})
		})
	}
}

// TestFetch_cluster tells a source that selects others, and so shares its fetches with none, which cluster it belongs
// to.
func TestFetch_cluster(t *testing.T) {
	play(t, func(h *hub) {
		h.put(key("c1", "fleet"))
		h.put(key("c2", "fleet"))
		h.putWriter(writerKey("c1"), "0s", nil)
		h.putWriter(writerKey("c2"), "0s", nil)
		h.pass(time.Second)
		seen := map[string]bool{}
		for _, c := range h.remote.calls {
			seen[c.cluster] = true
		}
		if len(seen) != 3 || !seen["c1"] || !seen["c2"] || !seen[""] {
			t.Errorf("got %v", seen)
		}
	})
}

// TestWrites_elsewhere has Writers that have pushed: one that pushes to another branch than its source reads answers
// the next commit of its source at once, and one that pushes to the same branch does so at its interval.
func TestWrites_elsewhere(t *testing.T) {
	for branch, isAwake := range map[string]bool{"images/a@b": true, "main": false, "refs/heads/main": false} {
		play(t, func(h *hub) {
			h.remote.set(url, "main@sha1:1", nil)
			h.remote.set("", branch+"@sha1:1", nil)
			h.put(key("", "fleet"))
			h.put(key("", "a"), append(labelled("a", "yes"), every("1m"))...)
			h.putWriter(writerKey(""), "0s", nil)
			h.pass(time.Second)
			h.remote.set("", branch+"@sha1:2", nil)
			h.remote.set("https://example.com/a", "a2", nil)
			h.pass(2 * time.Minute)
			h.writes()
			h.remote.set(url, "main@sha1:2", nil)
			h.pass(20 * time.Minute)
			if got := len(h.writes()) > 0; got != isAwake {
				t.Errorf("%s: runs for the commit: %v, want %v", branch, got, isAwake)
			}
		})
	}
}
