package graph

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/condition"
	"github.com/navefleet/nave/shared/manifest"
)

// Walk walks the graph. A renderable whose dependencies are not ready keeps its last Application and its last children.
// That may make another graph, so Walk starts again with these renderables kept, until it finds no more of them. The
// error is the context's.
func Walk(ctx context.Context, in Input) (*Graph, error) {
	in.waits, in.expected = map[api.Key]problem{}, map[manifest.ID]Expectation{}
	in.lastContents = map[bundle.ApplicationName]map[manifest.ID]bool{}
	for wave := 1; ; wave++ {
		p := walk(ctx, in)
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		found := p.findWaits()
		if len(found) == 0 {
			return p.graph, nil
		}
		maps.Copy(in.waits, found)
		for key := range found {
			p.expect(in.expected, key)
		}
		if wave >= maxWaves {
			in.halts = p.halt(found, wave >= 2*maxWaves)
			p.expectHalted(in)
		}
	}
}

// dependencies are the edges of a finished graph and the renderables found to wait along them.
type dependencies struct {
	*pass
	named   map[api.Key][]api.Key // by dependsOn
	awaited map[api.Key][]api.Key // by spec.wait and spec.healthChecks: renderables that readiness includes
	cycles  map[api.Key][]api.Key // see findCycles
	unready unready
	found   map[api.Key]problem
}

// findWaits returns the renderables that were rendered and may not be applied now, and why: a dependency is missing or
// not ready, or dependsOn forms a cycle. Its time grows with the number of edges, except below suspended dependencies.
func (p *pass) findWaits() map[api.Key]problem {
	d := dependencies{pass: p, named: map[api.Key][]api.Key{}, awaited: map[api.Key][]api.Key{},
		found: map[api.Key]problem{}}
	d.collect()
	keys := slices.SortedFunc(maps.Keys(d.named), api.Key.Compare)
	d.cycles = findCycles(d.named, keys)
	d.spread(keys)
	for _, key := range keys {
		if d.unready.waits[key] {
			d.found[key] = d.problemOf(key)
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

// problemOf returns the reason why a renderable waits.
func (d *dependencies) problemOf(key api.Key) problem {
	reason, dependency := d.reasonOf(key)
	switch reason {
	case condition.DependencyCycle:
		return problem{reason, describeCycle(key, d.cycles[key], d.named)}
	case condition.DependencyNotFound:
		return problem{reason, "dependency " + dependency.Local() + " does not exist; waiting for it to be created"}
	default:
		return problem{reason, "dependency " + dependency.Local() + " is not ready: " + d.why(key, dependency)}
	}
}

// reasonOf returns the reason of the condition of a renderable that waits, and the first dependency that it waits for.
func (d *dependencies) reasonOf(key api.Key) (reason string, dependency api.Key) {
	if d.cycles[key] != nil {
		return condition.DependencyCycle, key
	}
	for _, dependency := range d.named[key] {
		if d.isMissing(dependency) {
			return condition.DependencyNotFound, dependency
		}
		if _, known := d.unready.causes[dependency]; known || d.isLenient(dependency) && d.outdated(key, dependency) != nil {
			return condition.DependencyNotReady, dependency
		}
	}
	return "", key
}

// isMissing reports whether a dependency is not in the graph.
func (d *dependencies) isMissing(dependency api.Key) bool {
	_, here := d.graph.Nodes[dependency]
	return !here && d.graph.Findings[dependency].Reason == ""
}

// why returns the reason why a dependency of a renderable is not ready.
func (d *dependencies) why(key, dependency api.Key) string {
	cause, known := d.unready.causes[dependency]
	if !known {
		cause = *d.outdated(key, dependency)
	}
	why := d.graph.Findings[cause].Reason
	switch {
	case d.unready.waits[cause]:
		why, _ = d.reasonOf(cause)
	case d.graph.Findings[cause].Suspended:
		why = d.unready.suspended[cause].why()
	}
	if cause != dependency {
		return fmt.Sprintf("it waits for %s (%s)", cause.Local(), why)
	}
	return why
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
