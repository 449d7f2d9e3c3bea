package graph

import (
	"slices"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/shared/condition"
)

// hold keeps the last Application and objects of a renderable, and notes why it is not rendered.
func (p *pass) hold(key api.Key, result Result) {
	p.graph.Findings[key] = Finding{Reason: result.Reason, Message: result.Err.Error(), Attempted: result.Revision}
	p.blind[key] = true
	p.keepLast(key, false)
}

// suspend keeps the last Application and objects of a suspended renderable.
func (p *pass) suspend(key api.Key) {
	p.graph.Findings[key] = Finding{Suspended: true, Reason: condition.Suspended, Message: condition.Suspended}
	p.keepLast(key, true)
}

// isSuspended reports whether a renderable is suspended, itself or with the Fleet that it comes from.
func (p *pass) isSuspended(n Node) bool {
	if n.Object.Suspended() || p.in.Suspended[n.Key] {
		return true
	}
	fleet, ok := api.FleetAbove(n.Key, p.ownerOf)
	return ok && p.in.Suspended[fleet]
}

// ownerOf returns the owner of an object; nil if the object has none or was orphaned.
func (p *pass) ownerOf(key api.Key) *api.Key {
	n, here := p.graph.Nodes[key]
	if !here {
		n = p.in.Previous[key]
	}
	return n.GivenBy()
}

// keepLast keeps the last Application and the last children of a renderable, but for children whose removal is held: it
// did not give those any more.
func (p *pass) keepLast(key api.Key, suspended bool) {
	if last, ok := p.lastApps[key]; ok && !p.barred[key] {
		app := *last
		app.Suspended = suspended
		p.apps[key] = &app
	} else {
		p.holdApplication(key, suspended)
	}
	for _, child := range p.children[key] {
		if _, taken := p.graph.Nodes[child.Key]; !taken && !child.Held {
			p.add(p.kept(child))
		}
	}
}

// holdApplication keeps the Application of the last walk; there may be none.
func (p *pass) holdApplication(key api.Key, suspended bool) {
	delete(p.apps, key)
	if entry, ok := p.in.Entries[key.Application()]; ok {
		p.apps[key] = &Application{Key: key, Held: entry, Suspended: suspended}
	}
}

// keep puts a node of the last graph into this one without expanding it.
func (p *pass) keep(n Node) { p.graph.Nodes[n.Key] = n }

// refuse notes at an owner, and at the object itself, that the object is not valid. An object that was there before
// stays as it was.
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
		p.hold(key, Result{Reason: condition.Refused, Err: err})
	default:
		p.graph.Findings[key] = Finding{Reason: condition.Refused, Message: err.Error()}
	}
}

// await lists the renderables without an Application, and the limits of those that may give objects nobody knows of:
// renderables without an Application, and those that gave objects before and were not rendered as they are now.
func (p *pass) await() {
	pending := map[api.Key]bool{}
	for key := range p.graph.Nodes {
		pending[key] = true
	}
	for key := range p.graph.Findings {
		pending[key] = key.Cluster == p.in.Cluster // one that was refused is no node
	}
	for key, here := range pending {
		if here && isRenderable(key) && p.apps[key] == nil {
			p.graph.Pending = append(p.graph.Pending, key)
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

// mayGiveInside returns what holds all that a renderable may give. A renderable that was refused is held as its owner's
// objects are.
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
