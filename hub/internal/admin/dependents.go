package admin

import (
	"slices"
	"strings"
	"unique"

	"github.com/navefleet/nave/hub/api"
	fold "github.com/navefleet/nave/hub/internal/status"
)

// dependents has the objects that depend on rows. A hub with many watches keeps one for each, of thousands of objects:
// objects with equal dependencies are one group, and names are kept once for all watches.
type dependents struct {
	groups map[unique.Handle[string]]*group
	on     map[unique.Handle[fold.Dependency]][]*group
}

// group is the objects with the same dependencies.
type group struct {
	text    unique.Handle[string] // of the dependencies, see textOf
	members []unique.Handle[api.Key]
}

func newDependents() *dependents {
	return &dependents{
		groups: map[unique.Handle[string]]*group{}, on: map[unique.Handle[fold.Dependency]][]*group{},
	}
}

// textOf returns dependencies, which are sorted, as one text. No name in a key has the separators.
func textOf(reads []fold.Dependency) string {
	var b strings.Builder
	for _, d := range reads {
		b.WriteString(d.Table + "\x01" + d.Key + "\x02")
	}
	return b.String()
}

// readsOf returns the dependencies of a text.
func readsOf(text string) (reads []fold.Dependency) {
	for part := range strings.SplitSeq(text, "\x02") {
		if table, key, ok := strings.Cut(part, "\x01"); ok {
			reads = append(reads, fold.Dependency{Table: table, Key: key})
		}
	}
	return reads
}

// assign moves an object from its group, nil if it has none, to the group with these dependencies, and returns that
// group.
func (d *dependents) assign(key unique.Handle[api.Key], last *group, reads []fold.Dependency) *group {
	text := unique.Make(textOf(reads))
	if last != nil && last.text == text {
		return last
	}
	d.remove(key, last)
	g := d.groups[text]
	if g == nil {
		g = &group{text: text}
		d.groups[text] = g
		for _, read := range reads {
			on := unique.Make(read)
			d.on[on] = append(d.on[on], g)
		}
	}
	g.members = append(g.members, key)
	return g
}

// remove removes an object from its group, and a group without objects. If g is nil, remove does nothing.
func (d *dependents) remove(key unique.Handle[api.Key], g *group) {
	if g == nil {
		return
	}
	i := slices.Index(g.members, key)
	last := len(g.members) - 1
	g.members[i] = g.members[last]
	g.members = g.members[:last]
	if last > 0 {
		return
	}
	delete(d.groups, g.text)
	for _, read := range readsOf(g.text.Value()) {
		on := unique.Make(read)
		d.on[on] = slices.DeleteFunc(d.on[on], func(other *group) bool { return other == g })
		if len(d.on[on]) == 0 {
			delete(d.on, on)
		}
	}
}

// of calls fn for each object that depends on a row.
func (d *dependents) of(on fold.Dependency, fn func(api.Key)) {
	for _, g := range d.on[unique.Make(on)] {
		for _, key := range g.members {
			fn(key.Value())
		}
	}
}
