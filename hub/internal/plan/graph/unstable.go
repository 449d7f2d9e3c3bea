package graph

import (
	"maps"
	"slices"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/shared/condition"
	"github.com/navefleet/nave/shared/wording"
)

// unstable are the objects that kept changing in the rounds before this one.
type unstable struct {
	keys    map[sightKey]bool // sources and renderables
	tenants bool              // keep every renderable below a service account
	all     bool              // keep every renderable
}

func (u unstable) has(key sightKey) bool { return u.keys[key] }

// keeps reports whether a renderable stays as it was last.
func (u unstable) keeps(n Node) bool {
	return u.all || u.tenants && n.Confined != nil || u.keys[sightKey{object: n.Key}]
}

// problem names the objects that keep changing, at most five of them.
func (u unstable) problem() problem {
	objects := map[api.Key]bool{}
	for key := range u.keys {
		objects[key.object] = true
	}
	var names []string
	for _, key := range slices.SortedFunc(maps.Keys(objects), api.Key.Compare) {
		names = append(names, key.Local())
	}
	return problem{condition.GraphUnstable, "these objects keep changing each other without end: " +
		wording.List(names, len(names), 5) + "; let one of them come from an object that the others do not change"}
}
