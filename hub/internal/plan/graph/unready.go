package graph

import (
	"maps"
	"slices"

	"github.com/navefleet/nave/hub/api"
)

// unready are the renderables that are not ready, as far as the hub knows.
type unready struct {
	waits map[api.Key]bool // was rendered and has to wait for a dependency
	// causes has the renderables that are not ready, whoever asks, and the one that each waits for in the end: itself
	// or one that its readiness includes.
	causes map[api.Key]api.Key
	queue  []api.Key // of causes, whose dependents are to be visited
	// suspended has the last results of suspended renderables, as far as they are needed.
	suspended map[api.Key]lastResult
	// lenient has the renderables that are ready for some only: the suspended ones, and those that include them.
	lenient map[api.Key]bool

	namedBy, awaitedBy map[api.Key][]api.Key
}

// lastResult is the last result of a suspended renderable.
type lastResult struct{ revision, failure string }

// why returns why a suspended renderable is not ready, or not for all.
func (l lastResult) why() string {
	switch {
	case l.failure != "":
		return l.failure + ", and it is suspended"
	case l.revision == "":
		return "it was suspended before it was rendered"
	default:
		return "it is suspended at revision " + l.revision
	}
}

// spread finds the renderables that wait, and those that are not ready. It begins with the cycles, the missing and the
// failed dependencies, and follows the edges back from them.
func (d *dependencies) spread(keys []api.Key) {
	d.unready = unready{waits: map[api.Key]bool{}, causes: map[api.Key]api.Key{},
		suspended: map[api.Key]lastResult{}, lenient: map[api.Key]bool{}, namedBy: reversed(d.named, keys),
		awaitedBy: reversed(d.awaited, slices.SortedFunc(maps.Keys(d.awaited), api.Key.Compare))}
	for _, key := range slices.SortedFunc(maps.Keys(d.unready.namedBy), api.Key.Compare) {
		d.judge(key)
	}
	for _, key := range slices.SortedFunc(maps.Keys(d.unready.awaitedBy), api.Key.Compare) {
		d.judge(key)
	}
	for _, key := range keys {
		if d.cycles[key] != nil {
			d.wait(key)
		}
	}
	d.followCauses()
	d.followSuspended(keys)
}

// reversed returns the edges the other way round; the ends of each are in the order of keys.
func reversed(edges map[api.Key][]api.Key, keys []api.Key) map[api.Key][]api.Key {
	back := map[api.Key][]api.Key{}
	for _, key := range keys {
		for _, to := range edges[key] {
			back[to] = append(back[to], key)
		}
	}
	return back
}

// judge notes a dependency that is missing, is not ready by itself, or is suspended.
func (d *dependencies) judge(key api.Key) {
	f := d.graph.Findings[key]
	switch {
	case d.isMissing(key):
		for _, dependent := range d.unready.namedBy[key] {
			d.wait(dependent)
		}
	case f.Suspended:
		d.judgeSuspended(key)
	case !f.Ready && f.Reason != "":
		d.block(key, key)
	}
}

// judgeSuspended notes a suspended dependency. Its last result counts, as in Flux.
func (d *dependencies) judgeSuspended(key api.Key) {
	if _, known := d.unready.suspended[key]; known || d.in.Last == nil {
		return
	}
	revision, failure := d.in.Last(key)
	d.unready.suspended[key] = lastResult{revision, failure}
	if failure != "" || revision == "" {
		d.block(key, key)
	} else {
		d.unready.lenient[key] = true
	}
}

// wait notes that a renderable has to wait. One that was not rendered is kept in any case.
func (d *dependencies) wait(key api.Key) {
	if d.graph.Findings[key].Revision != "" && !d.unready.waits[key] {
		d.unready.waits[key] = true
		d.block(key, key)
	}
}

// block notes that a renderable is not ready because of cause. A renderable that waits is its own cause.
func (d *dependencies) block(key, cause api.Key) {
	_, known := d.unready.causes[key]
	if known && key != cause {
		return
	}
	d.unready.causes[key] = cause
	if !known {
		d.unready.queue = append(d.unready.queue, key)
	}
}

// followCauses visits what depends on, or includes, the renderables that are not ready.
func (d *dependencies) followCauses() {
	for u := &d.unready; len(u.queue) > 0; {
		key := u.queue[0]
		u.queue = u.queue[1:]
		for _, dependent := range u.namedBy[key] {
			d.wait(dependent)
		}
		for _, owner := range u.awaitedBy[key] {
			if f := d.graph.Findings[owner]; f.Ready && !f.Suspended {
				d.block(owner, u.causes[key])
			}
		}
	}
}

// followSuspended finds the renderables for which a suspended dependency is at another revision.
func (d *dependencies) followSuspended(keys []api.Key) {
	for queue := slices.Collect(maps.Keys(d.unready.lenient)); len(queue) > 0; queue = queue[1:] {
		for _, owner := range d.unready.awaitedBy[queue[0]] {
			if f := d.graph.Findings[owner]; f.Ready && !f.Suspended && !d.unready.lenient[owner] {
				d.unready.lenient[owner] = true
				queue = append(queue, owner)
			}
		}
	}
	for _, key := range keys {
		if d.unready.waits[key] || !slices.ContainsFunc(d.named[key], d.isLenient) {
			continue
		}
		if d.outdated(key, d.named[key]...) != nil {
			d.wait(key)
			d.followCauses()
		}
	}
}

func (d *dependencies) isLenient(key api.Key) bool { return d.unready.lenient[key] }

// outdated returns a suspended renderable that dependencies of a renderable are or include, and that is not ready for
// it: both are rendered from one source, and the suspended one is at another revision. Nil: there is none.
func (d *dependencies) outdated(key api.Key, dependencies ...api.Key) *api.Key {
	seen := map[api.Key]bool{}
	for queue := slices.Clone(dependencies); len(queue) > 0; queue = queue[1:] {
		next := queue[0]
		if seen[next] || !d.unready.lenient[next] {
			continue
		}
		seen[next] = true
		last, suspended := d.unready.suspended[next]
		switch {
		case !suspended:
			queue = append(queue, d.awaited[next]...)
		case d.expressesReady(key, next): // the spoke evaluates it
		case last.revision != d.graph.Findings[key].Revision && d.sameSource(key, next):
			return &next
		}
	}
	return nil
}
