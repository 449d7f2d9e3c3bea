package graph

import (
	"testing"
	"time"

	"github.com/navefleet/nave/e2e/cpu"
	"github.com/navefleet/nave/hub/api"
)

// TestWalk_deep walks Kustomizations each of which gives the next one, with work that grows with their number.
func TestWalk_deep(t *testing.T) {
	const n = 4000
	var specs []spec
	for i := range n {
		s := spec{name: numbered(i), payload: []string{numbered(i)}}
		if i+1 < n {
			s.gives = []string{numbered(i + 1)}
		}
		specs = append(specs, s)
	}
	var g *Graph
	if took := cpu.Time(func() { g = walked(t, made(specs...)) }); took > 4*time.Second {
		t.Errorf("the walk took %s", took)
	}
	if len(g.Applications) != n+1 {
		t.Errorf("%d Applications, want %d", len(g.Applications), n+1)
	}
}

// TestFleetAbove finds the Fleet of an object again when one of its owners moved.
func TestFleetAbove(t *testing.T) {
	p := newPass(Input{}, nil, nil, unstable{})
	key := func(name string) api.Key { return keyOf("Kustomization", name).In("east") }
	give := func(name string, owner api.Key, orphaned bool) {
		p.set(Node{Key: key(name), Owner: &owner, Orphaned: orphaned})
	}
	want := func(fleet string) {
		t.Helper()
		if got, ok := p.fleetAbove(key("leaf")); got.Name != fleet || ok != (fleet != "") {
			t.Errorf("found %q, %v; want %q", got.Name, ok, fleet)
		}
	}
	give("leaf", key("middle"), false)
	want("")
	give("middle", key("root"), false)
	want("")
	give("root", api.FleetKey("one"), false)
	want("one")
	give("root", api.FleetKey("two"), false)
	want("two")
	give("middle", key("root"), true)
	want("")
	give("middle", key("leaf"), false) // a circle
	want("")
	give("middle", api.FleetKey("one"), false)
	want("one")
}
