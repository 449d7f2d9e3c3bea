package graph

import (
	"github.com/navefleet/nave/hub/api"
)

// Base is a source of a remote base that a render needs.
type Base struct {
	Object   *api.Object
	FetchKey string
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
