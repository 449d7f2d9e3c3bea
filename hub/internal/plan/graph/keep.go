package graph

import (
	"errors"
	"slices"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/shared/condition"
)

// keepFailed keeps the last Application and objects of a renderable that cannot be rendered now, and notes the reason.
func (p *pass) keepFailed(key api.Key, result Result) {
	p.graph.Findings[key] = Finding{Reason: result.Reason, Message: result.Err.Error(), Attempted: result.Revision,
		NotYet: isNotYet(result)}
	p.blind[key] = true
	p.keepLast(key, false)
}

// NotYet is the error of a renderable that waits for something that is tried, or asked for, the first time. It is no
// failure: it is expected to pass without an operator.
type NotYet struct{ Err error }

// Error returns the text of the error.
func (e *NotYet) Error() string { return e.Err.Error() }

// Unwrap returns the error.
func (e *NotYet) Unwrap() error { return e.Err }

// isNotYet reports whether a renderable that cannot be rendered now only waits. One that waits for a dependency does,
// also if the dependency failed: the failure is that of the dependency.
func isNotYet(result Result) bool {
	_, notYet := errors.AsType[*NotYet](result.Err)
	return notYet || result.Reason == condition.DependencyNotReady || result.Reason == condition.Progressing
}

// suspend keeps the last Application and objects of a suspended renderable.
func (p *pass) suspend(key api.Key) {
	p.graph.Findings[key] = Finding{Suspended: true, Reason: condition.Suspended, Message: condition.Suspended}
	p.keepLast(key, true)
}

// isSuspended reports whether a renderable is suspended, itself or with the Fleet that it comes from.
func (p *pass) isSuspended(n Node) bool {
	fleet, ok := p.fleetAbove(n.Key)
	return !p.in.Resumed && n.Object.Suspended() || p.in.Suspended[n.Key] || ok && p.in.Suspended[fleet]
}

// fleetAbove returns the Fleet that an object comes from, as api.FleetAbove does. p.fleets has the results until the
// owner of one of the objects changes.
func (p *pass) fleetAbove(key api.Key) (fleet api.Key, ok bool) {
	var passed []api.Key
	for at := key; ; {
		var known bool
		if fleet, known = p.fleets[at]; known {
			break
		}
		passed, p.fleets[at] = append(passed, at), api.Key{} // a circle ends there
		owner := p.ownerOf(at)
		if owner == nil {
			break
		}
		if at = *owner; at.Role() == api.FleetRole {
			fleet = at
			break
		}
	}
	for _, at := range passed {
		p.fleets[at] = fleet
	}
	return fleet, fleet != (api.Key{})
}

// set sets a node of the graph.
func (p *pass) set(n Node) {
	if _, known := p.fleets[n.Key]; known {
		was, is := p.ownerOf(n.Key), n.GivenBy()
		if was != is && (was == nil || is == nil || *was != *is) {
			clear(p.fleets)
		}
	}
	p.graph.Nodes[n.Key] = n
}

// ownerOf returns the owner of an object. If the object has no owner or was orphaned, ownerOf returns nil.
func (p *pass) ownerOf(key api.Key) *api.Key {
	n, here := p.graph.Nodes[key]
	if !here {
		n = p.in.Previous[key]
	}
	return n.GivenBy()
}

// keepLast keeps the last Application and the last children of a renderable. It does not keep children whose removal
// is held, because the renderable no longer gave these.
func (p *pass) keepLast(key api.Key, suspended bool) {
	if last, ok := p.lastApps[key]; ok && !p.barred[key] {
		app := *last
		app.Suspended = suspended
		p.apps[key] = &app
	} else {
		p.keepApplication(key, suspended)
	}
	for _, child := range p.children[key] {
		if _, taken := p.graph.Nodes[child.Key]; !taken && !child.Held {
			p.add(p.kept(child))
		}
	}
}

// keepApplication keeps the Application of the last walk; there may be none.
func (p *pass) keepApplication(key api.Key, suspended bool) {
	delete(p.apps, key)
	if entry, ok := p.in.Entries[key.Application()]; ok {
		p.apps[key] = &Application{Key: key, Last: entry, Suspended: suspended}
	}
}

// keep adds a node of the last graph to this one without expanding it.
func (p *pass) keep(n Node) { p.set(n) }

// refuse notes at an owner, and at the object itself, that the object is not valid. If the object existed before, it
// stays as it was. If the store can have no row about the object, only the owner's message names it.
func (p *pass) refuse(owner, key api.Key, err error) {
	p.problem(owner, condition.ObjectRefused, err.Error())
	p.refusers[key] = owner
	last, was := p.graph.Nodes[key]
	if !was {
		last, was = p.known[key]
	}
	if was = was && p.inherits(owner, last); was {
		last.Owner, last.Orphaned, last.Held = &owner, false, false
		last.Confined = last.Confined.Tighter(p.givesInside(owner))
		p.keep(last)
	}
	switch {
	case was && isRenderable(key):
		p.keepFailed(key, Result{Reason: condition.Refused, Err: err})
	case key.HasPath():
		p.graph.Findings[key] = Finding{Reason: condition.Refused, Message: err.Error()}
	}
}

// await lists the renderables without an Application (Pending), and the limits of renderables that may give unknown
// objects (Blind): those without an Application, and those that gave objects before and were not rendered as they are
// now.
func (p *pass) await() {
	pending := map[api.Key]bool{}
	for key := range p.graph.Nodes {
		pending[key] = true
	}
	for key := range p.graph.Findings {
		pending[key] = key.Cluster == p.in.Cluster // a refused object is no node
	}
	for key := range p.refusers {
		pending[key] = true
	}
	for key, here := range pending {
		if here && isRenderable(key) && p.apps[key] == nil {
			if key.IsNamed() { // else no cluster has an Application of that name, and no bundle can name it
				p.graph.Pending = append(p.graph.Pending, key)
			}
			p.addBlind(p.mayGiveInside(key))
		}
	}
	slices.SortFunc(p.graph.Pending, api.Key.Compare)
	for key := range p.blind {
		if len(p.children[key]) > 0 {
			p.addBlind(p.mayGiveInside(key))
		}
	}
}

// mayGiveInside returns the limits of all objects that a renderable may give. A refused renderable has the limits of
// its owner's objects.
func (p *pass) mayGiveInside(key api.Key) *api.Confinement {
	if _, here := p.graph.Nodes[key]; here {
		return p.givesInside(key)
	}
	return p.givesInside(p.refusers[key])
}

func (p *pass) addBlind(c *api.Confinement) {
	if !slices.ContainsFunc(p.graph.Blind, c.Equal) {
		p.graph.Blind = append(p.graph.Blind, c)
	}
}

// MayGive reports whether a renderable that was not rendered may give the object.
func (g *Graph) MayGive(key api.Key) bool {
	return slices.ContainsFunc(g.Blind, func(c *api.Confinement) bool { return c.Check(key, nil) == nil })
}
