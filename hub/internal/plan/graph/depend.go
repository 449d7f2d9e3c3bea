package graph

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/shared/condition"
	"github.com/navefleet/nave/shared/manifest"
)

// Walk walks the graph. A renderable whose dependencies are not ready keeps its last Application and its last children.
// That may make another graph, so Walk starts again with these renderables kept, until it finds no more of them.
func Walk(in Input) *Graph {
	in.waits, in.expected = map[api.Key]problem{}, map[manifest.ID]Expectation{}
	for {
		p := walk(in)
		found := p.findWaits()
		if len(found) == 0 {
			return p.graph
		}
		maps.Copy(in.waits, found)
		for key := range found {
			p.expect(in.expected, key)
		}
	}
}

// dependencies are the edges of a finished graph and the renderables found to wait along them.
type dependencies struct {
	*pass
	named   map[api.Key][]api.Key // by dependsOn
	awaited map[api.Key][]api.Key // by spec.wait and spec.healthChecks: renderables that readiness includes
	found   map[api.Key]problem
}

// findWaits returns the renderables that were rendered and may not be applied now, and why: a dependency is missing or
// not ready, or dependsOn forms a cycle.
func (p *pass) findWaits() map[api.Key]problem {
	d := dependencies{pass: p, named: map[api.Key][]api.Key{}, awaited: map[api.Key][]api.Key{},
		found: map[api.Key]problem{}}
	d.collect()
	keys := slices.SortedFunc(maps.Keys(d.named), api.Key.Compare)
	for again := true; again; {
		again = false
		for _, key := range keys {
			if _, known := d.found[key]; known || p.graph.Findings[key].Revision == "" {
				continue // not rendered: it is kept in any case
			}
			if pr, waits := d.problemOf(key); waits {
				d.found[key], again = pr, true
			}
		}
	}
	return d.found
}

// collect reads the edges of the graph.
func (d *dependencies) collect() {
	for key, n := range d.graph.Nodes {
		r, err := n.Object.Renderable()
		if err != nil {
			continue
		}
		d.named[key] = d.localAll(r.DependsOn)
		if !r.Wait {
			d.awaited[key] = append(d.awaited[key], d.localAll(r.Awaited())...)
		}
		if owner := n.GivenBy(); owner != nil && d.waitsForChildren(*owner) {
			d.awaited[*owner] = append(d.awaited[*owner], key)
		}
	}
	for _, list := range d.awaited {
		slices.SortFunc(list, api.Key.Compare)
	}
}

// waitsForChildren reports whether an owner is a renderable with wait: true.
func (d *dependencies) waitsForChildren(owner api.Key) bool {
	r, err := d.graph.Nodes[owner].Object.Renderable()
	return err == nil && r.Wait
}

// localAll returns the keys in this graph.
func (p *pass) localAll(keys []api.Key) []api.Key {
	here := make([]api.Key, len(keys))
	for i, key := range keys {
		here[i] = p.local(key)
	}
	return here
}

// problemOf returns the reason why a renderable has to wait. If it need not wait, problemOf returns false.
func (d *dependencies) problemOf(key api.Key) (problem, bool) {
	if circle := circleOf(key, d.named); circle != nil {
		return problem{condition.DependencyCycle, "dependsOn forms a cycle: " + strings.Join(circle, " → ")}, true
	}
	for _, dependency := range d.named[key] {
		if _, here := d.graph.Nodes[dependency]; !here && d.graph.Findings[dependency].Reason == "" {
			return problem{condition.DependencyNotFound, "dependency " + dependency.Local() +
				" does not exist; waiting for it to be created"}, true
		}
		if why := d.unready(key, dependency, map[api.Key]bool{}); why != "" {
			return problem{condition.DependencyNotReady, "dependency " + dependency.Local() + " is not ready: " + why}, true
		}
	}
	return problem{}, false
}

// unready returns the reason why a dependency of a renderable is not ready, as far as the hub knows. If the dependency
// is ready, unready returns "".
func (d *dependencies) unready(key, dependency api.Key, seen map[api.Key]bool) string {
	seen[dependency] = true
	f := d.graph.Findings[dependency]
	pr, waits := d.found[dependency]
	switch {
	case waits:
		return pr.reason
	case f.Suspended:
		return d.unreadySince(key, dependency)
	case !f.Ready:
		return f.Reason
	}
	for _, peer := range d.awaited[dependency] {
		if seen[peer] {
			continue
		}
		if why := d.unready(key, peer, seen); why != "" {
			return fmt.Sprintf("it waits for %s (%s)", peer.Local(), why)
		}
	}
	return ""
}

// unreadySince returns the reason why a suspended dependency is not ready; "" if it is ready. Its last result counts,
// as in Flux. If both are rendered from one source, the dependency must have the revision that the renderable is
// rendered from.
func (d *dependencies) unreadySince(key, dependency api.Key) string {
	if d.in.Last == nil {
		return ""
	}
	revision, failure := d.in.Last(dependency)
	switch {
	case failure != "":
		return failure + ", and it is suspended"
	case revision == "":
		return "it was suspended before it was rendered"
	case d.expressesReady(key, dependency):
		return "" // the spoke evaluates it
	case revision != d.graph.Findings[key].Revision && d.sameSource(key, dependency):
		return "it is suspended at revision " + revision
	}
	return ""
}

// expressesReady reports whether a renderable has an expression for the readiness of the dependency.
func (d *dependencies) expressesReady(key, dependency api.Key) bool {
	r, err := d.graph.Nodes[key].Object.Renderable()
	return err == nil && r.ExpressesReady(dependency)
}

// sameSource reports whether two renderables of the graph name one source.
func (d *dependencies) sameSource(a, b api.Key) bool {
	x, err := d.graph.Nodes[a].Object.Renderable()
	y, err2 := d.graph.Nodes[b].Object.Renderable()
	return err == nil && err2 == nil && x.Source == y.Source
}

// circleOf returns the names on the shortest path from a key back to itself. If there is no path, circleOf returns nil.
func circleOf(start api.Key, edges map[api.Key][]api.Key) []string {
	from := map[api.Key]api.Key{}
	for queue := []api.Key{start}; len(queue) > 0; queue = queue[1:] {
		for _, next := range edges[queue[0]] {
			if next == start {
				return pathBack(start, queue[0], from)
			}
			if _, seen := from[next]; !seen {
				from[next] = queue[0]
				queue = append(queue, next)
			}
		}
	}
	return nil
}

func pathBack(start, last api.Key, from map[api.Key]api.Key) []string {
	names := []string{start.Namespace + "/" + start.Name}
	for key := last; key != start; key = from[key] {
		names = append(names, key.Namespace+"/"+key.Name)
	}
	names = append(names, start.Namespace+"/"+start.Name)
	slices.Reverse(names)
	return names
}

// Parent returns the renderable that gives another one, if it or one above it depends on others. With Flux the other
// one would not exist before these are ready. Otherwise Parent returns the zero key.
func (g *Graph) Parent(key api.Key) api.Key {
	first := g.Nodes[key].parent()
	above := first
	for range g.Nodes { // at most: owners form no circle
		if above == nil {
			break
		}
		n := g.Nodes[*above]
		if r, err := n.Object.Renderable(); err == nil && len(r.DependsOn) > 0 {
			return *first
		}
		above = n.parent()
	}
	return api.Key{}
}

// parent returns the renderable that gives the object. If no renderable gives it, parent returns nil.
func (n Node) parent() *api.Key {
	if owner := n.GivenBy(); owner != nil && isRenderable(*owner) {
		return owner
	}
	return nil
}
