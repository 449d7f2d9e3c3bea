package graph

import (
	"fmt"
	"slices"

	"github.com/navefleet/nave/hub/api"
)

// bootstrap has the objects with which a root of a Fleet renders itself from a repository that `flux bootstrap` wrote:
// a Kustomization of the root's own path, and the source that this Kustomization names. The Kustomization updates the
// root. The source is an alias of the hub's source that the Fleet names, because only Flux's cluster has the Secret of
// the source in Git. For any other renderable the *bootstrap is nil.
type bootstrap struct {
	self   Child
	source api.Key // without a cluster
	hubs   api.Key // the source of the Fleet
}

// bootstrapOf returns the bootstrap of the renderable of work. If the renderable is not a root, its source is not one
// of the hub, or its tree is not bootstrapped, bootstrapOf returns nil.
func (p *pass) bootstrapOf(work Work, children []Child) *bootstrap {
	if !api.IsRoot(p.graph.Nodes[work.Key].Owner) || work.FoundAt.Cluster != "" {
		return nil
	}
	given := func(source api.Key) bool {
		return slices.ContainsFunc(children, func(c Child) bool { return c.Key == source && c.Object != nil })
	}
	var found *bootstrap
	for _, c := range children {
		r := renderableOf(c)
		if r == nil || !given(r.Source) {
			continue
		}
		b := &bootstrap{self: c, source: r.Source, hubs: work.FoundAt}
		if p.local(c.Key) == work.Key {
			return b
		}
		if found == nil && r.Path == work.Renderable.Path {
			found = b
		}
	}
	return found
}

// itself returns the key, without a cluster, under which a renderable renders itself.
func (b *bootstrap) itself(key api.Key) api.Key {
	if b != nil {
		return b.self.Key
	}
	return key.In("")
}

// aliasOf returns the source of the hub that a child is an alias of. If the child is no alias, aliasOf returns nil.
func (b *bootstrap) aliasOf(child api.Key) *api.Key {
	if b == nil || child != b.source {
		return nil
	}
	return &b.hubs
}

// notice returns the notice about the bootstrapped tree of a root. If b is nil, notice returns "".
func (b *bootstrap) notice() string {
	if b == nil {
		return ""
	}
	return fmt.Sprintf("; %s updates this root, and %s stands for %s of the hub", b.self.Key, b.source, b.hubs)
}

// renderedSelf returns the object that a renderable renders of itself. If there is none, renderedSelf returns nil.
func (p *pass) renderedSelf(work Work, children []Child) (*api.Object, error) {
	if b := p.bootstrapOf(work, children); b != nil {
		return api.UpdateRoot(p.fleetRoots[work.Key], b.self.Object)
	}
	i := slices.IndexFunc(children, func(c Child) bool { return p.local(c.Key) == work.Key })
	if i < 0 {
		return nil, nil
	}
	return children[i].Object, nil
}

// dealias returns the source of the hub that n is an alias of. If n is no alias, dealias returns n. If the source of
// the hub does not exist, the error is errNoSource.
func (p *pass) dealias(n Node) (Node, error) {
	if n.AliasOf == nil {
		return n, nil
	}
	of := p.hubSource(*n.AliasOf)
	if of.Object == nil {
		return of, fmt.Errorf("%w: %s stands for %s of the hub, which does not exist", errNoSource, n.Key.Local(), of.Key)
	}
	return of, nil
}

// admission returns the Admission that the Fleet of a renderable sets for its objects. If that Fleet is gone or cannot
// be read, admission returns the last Admission, so that no object is deleted that the Fleet admitted.
func (p *pass) admission(key api.Key) api.Admission {
	fleet, below := p.fleetAbove(key)
	now, known := p.in.Admissions[fleet]
	if last, was := p.in.Previous[key]; was && !(below && known) {
		return last.Admission
	}
	return now
}

// admit notes the admission of each renderable.
func (p *pass) admit() {
	for key, n := range p.graph.Nodes {
		if isRenderable(key) {
			n.Admission = p.admission(key)
			p.graph.Nodes[key] = n
		}
	}
}

// withoutFluxAccount removes the service account from a child of the operators if that is the account of Flux's own
// controller. The account is left out together with Flux, and with Flux it has all rights.
func (p *pass) withoutFluxAccount(owner api.Key, c Child) Child {
	r := renderableOf(c)
	if r == nil || !r.NamesFluxAccount(c.Key) || p.givesInside(owner) != nil || p.admission(owner).KeepFlux ||
		!p.isBootstrapped() {
		return c
	}
	c.Object, c.Err = api.WithoutAccount(c.Object)
	return c
}

// isBootstrapped reports whether a root of the graph has a bootstrapped tree, or had one last.
func (p *pass) isBootstrapped() bool {
	isAlias := func(nodes map[api.Key]Node) bool {
		for _, n := range nodes {
			if n.AliasOf != nil {
				return true
			}
		}
		return false
	}
	return p.bootstrapped || isAlias(p.graph.Nodes) || isAlias(p.known)
}
