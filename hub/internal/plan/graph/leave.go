package graph

import (
	"fmt"
	"slices"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/manifest"
)

// keepOrphans decides about the objects of the last walk that no owner rendered in this pass. If it can decide about
// none of them now, it returns false. Objects that stay are expanded and may render others.
func (p *pass) keepOrphans() bool {
	any := false
	for _, key := range p.missing() {
		stays, decided := p.stays(key)
		if !decided {
			continue
		}
		any = true
		if !stays || key.Derived() {
			p.gone[key] = true
			continue
		}
		n := p.in.Previous[key]
		n.Orphaned = true
		p.add(p.kept(n))
	}
	return any
}

// missing returns the objects of the last walk that are not in this graph yet and have not left, sorted.
func (p *pass) missing() []api.Key {
	var keys []api.Key
	for key := range p.in.Previous {
		if _, here := p.graph.Nodes[key]; !here && !p.gone[key] {
			keys = append(keys, key)
		}
	}
	slices.SortFunc(keys, api.Key.Compare)
	return keys
}

// stays reports whether an object that no owner gives any more stays in the graph. decided is false until it is decided
// whether its owner stays.
func (p *pass) stays(key api.Key) (stays, decided bool) {
	last := p.in.Previous[key]
	now, was := p.known[key]
	if !was || now.Owner == nil {
		now = last
	}
	if p.isPassedOn(key) {
		return false, true
	}
	if last.Orphaned && now.Orphaned {
		return true, true
	}
	if last.Held && now.Held {
		return false, true // it had left before; the guard keeps it
	}
	owner := *now.Owner
	if _, here := p.graph.Nodes[owner]; here {
		_, decided = p.graph.Findings[owner]
		return last.Orphaned || p.keeps(owner, last, was), decided
	}
	if _, waits := p.in.Previous[owner]; waits && !p.gone[owner] {
		return false, false
	}
	return last.Orphaned || last.OrphanOnDelete || p.in.Suspended[owner], true
}

// keeps reports whether an owner in this graph keeps an object that it does not give any more. If the owner was not
// rendered in this pass, it keeps the objects that the last pass found.
func (p *pass) keeps(owner api.Key, n Node, was bool) bool {
	app := p.apps[owner]
	if app == nil || app.Rendered == nil {
		return was
	}
	return !app.Renderable.Prune || p.turnedToPrune(owner) || protected(n.Object)
}

// turnedToPrune reports whether a renderable began to prune by rendering itself anew. Objects that it stopped giving in
// the same commit left a renderable that did not prune yet.
func (p *pass) turnedToPrune(owner api.Key) bool {
	last, was := p.in.Previous[owner]
	if !was || p.turns[owner] == 0 {
		return false
	}
	r, err := last.Object.Renderable()
	return err == nil && !r.Prune
}

// isPassedOn reports whether the owner that gave a renderable gives it to the cluster now, for a controller there.
func (p *pass) isPassedOn(key api.Key) bool {
	n := p.in.Previous[key]
	return n.Owner != nil && p.apps[*n.Owner] != nil && IsPassedOn(key, *p.apps[*n.Owner])
}

// ObjectOf returns the object in a cluster that a controller there acts on in place of the hub, and whether the key is
// of a renderable.
func ObjectOf(key api.Key) (manifest.ID, bool) {
	if !isRenderable(key) {
		return manifest.ID{}, false
	}
	kind, is := api.KindByName(key.Kind)
	return manifest.ID{Group: kind.Group, Kind: key.Kind, Namespace: key.Namespace, Name: key.Name}, is
}

// IsPassedOn reports whether an Application has the object of a renderable: what the renderable stands for goes on
// without the hub, and is not deleted when the renderable leaves the graph.
func IsPassedOn(key api.Key, by Application) bool {
	id, is := ObjectOf(key)
	has := func(o bundle.ObjectReference) bool { return o.ID() == id }
	return is && by.Rendered != nil && slices.ContainsFunc(by.Rendered.Payload, has)
}

// adopt gives an orphan to an owner that gives it now.
func (p *pass) adopt(n Node, c claim) {
	switch {
	case c.child.Err != nil:
		p.refuse(c.owner, n.Key, c.child.Err)
	case c.child.Object.Digest == n.Object.Digest && p.givesInside(c.owner).Same(n.Confined):
		n.Owner, n.Orphaned, n.AliasOf = &c.owner, false, c.aliasOf
		p.keep(n)
	default: // it was expanded as the orphan: the children from then have to be forgotten
		p.add(p.owned(n.Key, c))
		p.replaced = append(p.replaced, n.Key)
	}
}

// below reports whether an object comes from another one, over any number of owners.
func (p *pass) below(key, above api.Key) bool {
	for key != above {
		owner := p.graph.Nodes[key].GivenBy()
		if owner == nil {
			return false
		}
		key = *owner
	}
	return true
}

// outlive sets OrphanOnDelete of each node, because the spec of its owner is unknown after the owner is deleted.
func (p *pass) outlive() {
	for key, n := range p.graph.Nodes {
		n.OrphanOnDelete = n.Owner != nil && !n.Orphaned && !key.Derived() && !p.isMade(n) &&
			(protected(n.Object) || p.orphans(*n.Owner))
		p.graph.Nodes[key] = n
	}
}

// orphans reports whether a renderable leaves its objects in the cluster when it is deleted. It decides as Flux's
// finalizer does.
func (p *pass) orphans(owner api.Key) bool {
	n, here := p.graph.Nodes[owner]
	return here && p.orphansAll(n) // else a Fleet
}

func (p *pass) orphansAll(n Node) bool {
	r, err := n.Object.Renderable()
	return err != nil || p.isSuspended(n) || r.Orphans()
}

// protected reports whether labels or annotations keep an object from being pruned, even if its owner prunes.
func protected(o *api.Object) bool { return o.Marks().IsPruneDisabled() }

// explainOrphans completes the findings about orphans: why they stay, and how an operator removes them.
func (p *pass) explainOrphans() {
	for key, f := range p.graph.Findings {
		if n := p.graph.Nodes[key]; n.Orphaned && !f.Suspended {
			f.Message += fmt.Sprintf("; %s does not give it any more and does not prune it: it stays until it is deleted by "+
				"hand", n.Owner.Local())
			p.graph.Findings[key] = f
		}
	}
}
