package main

import (
	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/plan"
	"github.com/navefleet/nave/hub/internal/plan/graph"
	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/wording"
)

// keeper finds the Applications that a walk does not have and that the hub keeps: they, or one above them, are
// suspended, were not rendered, or are orphans.
type keeper struct {
	reasons  map[bundle.ApplicationName]string // also of Fleets
	unmapped map[bundle.ApplicationName]bool   // no folder stands for their source
	compared map[bundle.ApplicationName]bool   // the Applications that the walk has
	prunes   map[bundle.ApplicationName]bool   // those of them that prune
	released map[bundle.ApplicationName]publishedApplication
	nodes    map[api.Key]graph.Node
	planned  map[bundle.ApplicationName]bundle.ApplicationName // parents
}

func newKeeper(p *plan.Previewed, released map[bundle.ApplicationName]publishedApplication) *keeper {
	k := &keeper{reasons: map[bundle.ApplicationName]string{}, compared: map[bundle.ApplicationName]bool{},
		unmapped: map[bundle.ApplicationName]bool{}, prunes: map[bundle.ApplicationName]bool{},
		released: released, nodes: p.Nodes, planned: map[bundle.ApplicationName]bundle.ApplicationName{}}
	for name, old := range released {
		if old.orphaned {
			k.reasons[name] = "nothing gives it any more, and it stays until it is deleted by hand"
		}
	}
	for _, a := range p.Applications {
		k.compared[a.Application.Name], k.prunes[a.Application.Name] = true, a.Application.Prune
	}
	for key := range p.Holders {
		k.reasons[key.Application()] = "suspended"
	}
	for key, n := range p.Nodes {
		if n.Owner != nil && key.Role() == api.RenderableRole {
			k.planned[key.Application()] = n.Owner.Application()
		}
	}
	for _, problem := range p.Problems {
		k.unmapped[problem.Key.Application()] = isUnmapped(problem)
	}
	for _, problem := range p.Problems {
		if name := problem.Key.Application(); !k.unmapped[name] || !k.unmapped[k.planned[name]] { // else its parent is named
			k.reasons[name] = problem.Cause()
		}
	}
	return k
}

// parent returns the Application or the Fleet that gives another Application; zero if there is none.
func (k *keeper) parent(name bundle.ApplicationName) bundle.ApplicationName {
	if parent, ok := k.planned[name]; ok {
		return parent
	}
	return k.released[name].parent
}

// gives reports whether an Application gives others, or gave some that were released.
func (k *keeper) gives(name bundle.ApplicationName) bool {
	for _, parent := range k.planned {
		if parent == name {
			return true
		}
	}
	for _, old := range k.released {
		if old.parent == name {
			return true
		}
	}
	return false
}

// fleet returns the name of the Fleet that an object of the walk comes from.
func (k *keeper) fleet(key api.Key) string {
	fleet, _ := api.FleetAbove(key, func(at api.Key) *api.Key { return k.nodes[at].GivenBy() })
	return fleet.Name
}

// keeps reports whether an Application that the walk does not have stays as it is, and because of which: itself, or one
// above it that is not compared or becomes an orphan. depth is the number of Applications that were asked about before.
func (k *keeper) keeps(name bundle.ApplicationName, depth int) (because bundle.ApplicationName, kept bool) {
	if depth == maxAbove || k.compared[name] || name == (bundle.ApplicationName{}) {
		return bundle.ApplicationName{}, false
	}
	if k.reasons[name] != "" {
		return name, true
	}
	if because, kept = k.keeps(k.released[name].parent, depth+1); kept {
		return because, true
	}
	return name, k.orphans(name)
}

// orphans reports whether an Application becomes an orphan: its parent does not give it any more, or leaves.
func (k *keeper) orphans(name bundle.ApplicationName) bool {
	old, known := k.released[name]
	if k.compared[old.parent] {
		return old.pruneDisabled || !k.prunes[old.parent]
	}
	return known && old.orphanOnDelete
}

// note says why an Application, or a Fleet, is not compared, and how many Applications below it are not either.
func (k *keeper) note(name bundle.ApplicationName, below int) string {
	return api.ApplicationKey("", name).String() + " is not compared" + withBelow(below) + ": " + k.reasons[name]
}

// withBelow returns how many Applications below another one share its fate.
func withBelow(count int) string {
	if count == 0 {
		return ""
	}
	return ", with " + wording.Count(count, "Application") + " below it"
}
