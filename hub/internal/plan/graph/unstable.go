package graph

import (
	"fmt"
	"maps"
	"slices"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/shared/wording"
)

// unstable are the objects that kept changing in the rounds before this one.
type unstable struct {
	keys    map[sightKey]bool // sources and Kustomizations
	tenants bool              // hold every Kustomization below a service account
	all     bool              // hold every Kustomization
}

func (u unstable) has(key sightKey) bool { return u.keys[key] }

// holds reports whether a Kustomization is held.
func (u unstable) holds(n Node) bool {
	return u.all || u.tenants && n.Confined != nil || u.keys[sightKey{object: n.Key}]
}

// err names the objects that keep changing, at most five of them.
func (u unstable) err() error {
	objects := map[api.Key]bool{}
	for key := range u.keys {
		objects[key.object] = true
	}
	var names []string
	for _, key := range slices.SortedFunc(maps.Keys(objects), api.Key.Compare) {
		names = append(names, nameOf(key))
	}
	return fmt.Errorf("%w: these objects keep changing each other: %s; "+
		"let one of them come from a Kustomization that the others do not change", errGraph, wording.List(names, len(names),
		5))
}
