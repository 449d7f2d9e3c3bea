package graph

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/navefleet/nave/hub/api"
)

// unstable are the objects that kept changing in the rounds before this one.
type unstable struct {
	keys map[api.Key]bool // sources and Kustomizations
	all  bool             // hold every Kustomization
}

func (u unstable) has(key api.Key) bool { return u.keys[key] }

// holds reports whether a Kustomization is held.
func (u unstable) holds(key api.Key) bool { return u.all || u.keys[key] }

// err names the objects that keep changing, at most five of them.
func (u unstable) err() error {
	var names []string
	for i, key := range slices.SortedFunc(maps.Keys(u.keys), compareKeys) {
		if i == 5 {
			names[4] += fmt.Sprintf(" and %d more", len(u.keys)-5)
			break
		}
		names = append(names, nameOf(key))
	}
	return fmt.Errorf("%w: these objects keep changing each other: %s; "+
		"let one of them come from a Kustomization that the others do not change", errGraph, strings.Join(names, ", "))
}
