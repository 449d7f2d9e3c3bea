package agent

import (
	"fmt"
	"testing"

	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/manifest"
)

// TestStart_releases starts other applications although many releases of Helm run, and all releases at once.
func TestStart_releases(t *testing.T) {
	m := newModel("east", func() float64 { return 0 })
	add := func(name string, r *bundle.Release) {
		app := &bundle.Application{Name: appNamed(name), Release: r}
		m.nodes[app.Name] = &node{entry: bundle.Entry{Name: app.Name, Digest: manifest.DigestOf([]byte(name))}, app: app,
			dirty: true}
	}
	for i := range 2 * maxRunning {
		add(fmt.Sprint("release-", i), &bundle.Release{})
	}
	m.sort()
	if got := len(m.startAll()); got != 2*maxRunning {
		t.Errorf("%d of %d releases run", got, 2*maxRunning)
	}
	for i := range 2 * maxRunning {
		add(fmt.Sprint("other-", i), nil)
	}
	m.sort()
	if got := len(m.startAll()); got != maxRunning {
		t.Errorf("%d other applications run, want %d", got, maxRunning)
	}
}
