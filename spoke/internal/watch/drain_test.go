package watch

import (
	"testing"

	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/spoke/internal/inventory"
)

// TestDrain returns what was observed in the order of apply, each object once.
func TestDrain(t *testing.T) {
	w := New(Config{Index: inventory.NewIndex()})
	w.mu.Lock()
	for _, o := range []bundle.ObjectIdentity{
		{Version: "v1", Kind: "ConfigMap", Namespace: "n", Name: "b"}, {Version: "v1", Kind: "ConfigMap", Namespace: "n", Name: "a"},
		{Version: "v1", Kind: "Namespace", Name: "n"}, {Version: "v1", Kind: "ConfigMap", Namespace: "n", Name: "b"},
	} {
		w.add(Observation{Object: o})
	}
	w.mu.Unlock()
	got := ""
	for _, o := range w.Drain() {
		got += o.Object.ID().String() + "; "
	}
	if want := "Namespace n; ConfigMap n/a; ConfigMap n/b; "; got != want || len(w.Drain()) > 0 {
		t.Errorf("%q, want %q", got, want)
	}
}
