package graph

import (
	"github.com/navefleet/nave/hub/api"
)

// Base is a source of a remote base that a render needs.
type Base struct {
	Object   *api.Object
	FetchKey string
}

// makeSource adds the source that a renderable makes itself. It has the limits of the renderable, whose author named
// what it is made of, and leaves with the renderable. If the name belongs to another owner, makeSource returns false.
func (p *pass) makeSource(owner api.Key, source *api.Object) bool {
	key := p.local(source.Key)
	n, taken := p.graph.Nodes[key]
	if taken && (n.Owner == nil || *n.Owner != owner) {
		return false
	}
	p.keep(Node{Key: key, Object: source, Owner: &owner, Confined: p.graph.Nodes[owner].Confined})
	return true
}

// isMade reports whether the owner of an object makes it itself.
func (p *pass) isMade(n Node) bool {
	if n.Owner == nil {
		return false
	}
	r, err := p.graph.Nodes[*n.Owner].Object.Renderable()
	return err == nil && r.Makes != nil && p.local(r.Makes.Key) == n.Key
}

// addBases adds the sources of the remote bases that a renderable needs. They belong to the renderable and leave with
// it, or when it does not need them any more.
func (p *pass) addBases(owner api.Key, bases []Base) {
	for _, b := range bases {
		p.graph.Sources[b.FetchKey] = true
		key := p.local(b.Object.Key)
		if n, taken := p.graph.Nodes[key]; taken && (n.Owner == nil || *n.Owner != owner) {
			p.conflict(owner, key, n.Owner)
			continue
		}
		p.keep(p.owned(key, claim{owner: owner, child: Child{Key: b.Object.Key, Object: b.Object}}))
	}
}
