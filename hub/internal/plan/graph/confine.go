package graph

import (
	"fmt"
	"slices"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/shared/condition"
)

// givesInside returns the limits of the objects that an owner gives. For a Fleet, an operator, and a renderable with
// the rights of the spoke, givesInside returns nil: no limits.
func (p *pass) givesInside(owner api.Key) *api.Confinement {
	n, here := p.graph.Nodes[owner]
	if !here || !isRenderable(owner) {
		return nil
	}
	r, err := n.Object.Renderable()
	if err != nil {
		return n.Confined
	}
	return n.Confined.Inside(owner, r)
}

// admits reports whether an owner may give a child, and adds a problem to the owner if not. A child that the owner gave
// before stays as it was: a new rule must not delete objects that run.
func (p *pass) admits(c claim) bool {
	key := p.local(c.child.Key)
	err := p.givesInside(c.owner).Check(key, renderableOf(c.child))
	if err == nil {
		return true
	}
	last, was := p.known[key]
	if _, taken := p.graph.Nodes[key]; !taken && was && last.Owner != nil && *last.Owner == c.owner {
		p.barred[key] = true
		p.refuse(c.owner, key, err)
	} else {
		p.problem(c.owner, condition.ObjectRefused, err.Error())
	}
	return false
}

// isRenderable reports whether the key belongs to a renderable.
func isRenderable(key api.Key) bool { return key.Role() == api.RenderableRole }

// renderableOf returns the child as a renderable. If the child is no renderable or cannot be decoded, renderableOf
// returns nil.
func renderableOf(c Child) *api.Renderable {
	r, err := c.Object.Renderable()
	if err != nil {
		return nil
	}
	return r
}

// rank returns the limits of the objects that the owner of n gives. If the owner is gone, rank returns the last limits
// of n.
func (p *pass) rank(n Node) *api.Confinement {
	if _, here := p.graph.Nodes[*n.Owner]; !here && isRenderable(*n.Owner) {
		return n.Confined
	}
	return p.givesInside(*n.Owner)
}

// outranks reports whether an owner has wider limits than the owner of n: then a tenant took the operator's name.
func (p *pass) outranks(owner api.Key, n Node) bool {
	if n.Owner == nil {
		return false
	}
	mine, other := p.givesInside(owner), p.rank(n)
	return mine.Covers(other) && !other.Covers(mine)
}

// displace takes an object away from an owner that must not have it, and gives it to an owner with wider limits.
func (p *pass) displace(n Node, c claim) {
	if c.child.Err != nil {
		p.problem(c.owner, condition.ObjectRefused, c.child.Err.Error())
		return
	}
	p.conflict(*n.Owner, n.Key, &c.owner)
	p.add(p.owned(n.Key, c))
	p.replaced = append(p.replaced, n.Key) // expanded as the other owner's: the children from then have to be forgotten
}

// inherits reports whether an owner may have an object that no owner gives any more. An owner inherits no object of an
// owner with wider limits.
func (p *pass) inherits(owner api.Key, n Node) bool {
	return n.Owner != nil && p.givesInside(owner).Covers(p.rank(n))
}

// owned returns the node of a child that its owner gives.
func (p *pass) owned(key api.Key, c claim) Node {
	return Node{
		Key: key, Object: c.child.Object, Owner: &c.owner, Confined: p.givesInside(c.owner), AliasOf: c.aliasOf,
	}
}

// bar returns an error if a renderable was kept although it breaks the present limits of its owner, or is below such a
// renderable. It is not rendered until its owner gives it again. Objects that run stay.
func (p *pass) bar(key api.Key, r *api.Renderable) error {
	n := p.graph.Nodes[key]
	if n.Owner == nil {
		return nil
	}
	outer := p.givesInside(*n.Owner)
	switch {
	case n.Confined.Outside(key).Equal(outer):
	case n.Confined != nil && n.Confined.By == key: // its spec has no account now: it must not get the owner's
		p.barred[key] = true
	default:
		n.Confined = outer
		p.keep(n)
	}
	if p.barred[key] || p.barred[*n.Owner] || n.Confined.Check(key, r) != nil {
		p.barred[key] = true
		return fmt.Errorf("its service account or allowed namespaces have changed, and %s has not given it since: make "+
			"that ready first", n.Owner.Local())
	}
	return nil
}

// rebar sets barred for a kept renderable if its spec cannot be decoded or bar returns an error.
func (p *pass) rebar(key api.Key) {
	if r, err := p.graph.Nodes[key].Object.Renderable(); err != nil || p.bar(key, r) != nil {
		p.barred[key] = true
	}
}

// kept returns the node of an object that is kept although its owner does not give it now. Its limits are at least as
// tight as the owner's, except for a renderable: bar decides about that.
func (p *pass) kept(n Node) Node {
	if n.Owner != nil && !isRenderable(n.Key) {
		n.Confined = n.Confined.Tighter(p.givesInside(*n.Owner))
	}
	return n
}

// explainHidden completes the findings about renderables without a source. If the graph has a source of that name, but
// only for other renderables, the message names the source and its account. If a source of that name is in another
// namespace, the message names it.
func (p *pass) explainHidden() {
	for key, source := range p.lacking {
		n, there := p.graph.Nodes[source]
		f := p.graph.Findings[key]
		switch {
		case f.Reason != condition.SourceNotReady:
		case !there:
			if meant, ok := p.namesake(key, source); ok {
				f.Message += fmt.Sprintf("; %s exists: if it is meant, name its namespace in the reference", meant)
			}
		case n.Confined != nil:
			f.Message = fmt.Sprintf("%s comes from %s, whose objects run with service account %q, and is for those alone: "+
				"give the source where this %s is given, or set its spec.serviceAccountName to %q",
				source.Local(), n.Owner.Local(), n.Confined.Account, key.Kind, n.Confined.Account)
		}
		p.graph.Findings[key] = f
	}
}

// namesake returns the source of the kind and the name of a missing one that a renderable could use in another
// namespace. Of several, namesake returns that of the hub's namespace, or else the first.
func (p *pass) namesake(key, missing api.Key) (api.Key, bool) {
	if p.in.NoCrossNamespaceRefs {
		return api.Key{}, false
	}
	in := func(namespace string) api.Key {
		return api.Key{Kind: missing.Kind, Namespace: namespace, Name: missing.Name}
	}
	var names []string
	for other := range p.graph.Nodes {
		if other.In("") == in(other.Namespace) {
			names = append(names, other.Namespace)
		}
	}
	slices.Sort(names)
	for _, namespace := range append([]string{api.DefaultNamespace}, names...) {
		found, wait, err := p.look(in(namespace), given(p.graph.Nodes[key]))
		if namespace != missing.Namespace && err == nil && !wait && found.Object != nil {
			return in(namespace), true
		}
	}
	return api.Key{}, false
}
