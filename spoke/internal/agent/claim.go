package agent

import (
	"maps"
	"slices"

	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/manifest"
)

// claim is an application of the bundle that has an object, or is going to have it.
type claim struct {
	name    bundle.ApplicationName
	account string // its service account; empty: the spoke's own rights
}

// counts reports whether the claim alone keeps an object of another application from being deleted. The claim of an
// application with a service account does not, unless both have the same account: a tenant must not keep what operators
// take away. If the tenant may have the object, its own apply takes the object over.
func (c claim) counts(from bundle.ApplicationName, account string) bool {
	return c.account == "" || c.account == account && c.name.Namespace == from.Namespace
}

// claimsOf returns who claims each object: the application of a bundle that has it or, if none has it, the one that is
// going to have it. The hub lists no handover whose claim would not count. A HelmRelease of the bundle claims Flux's
// object of its name, which another application may have given the cluster before: its deletion would uninstall the
// release.
func claimsOf(apps applications, handovers []bundle.Handover, awaited []bundle.ApplicationName) map[manifest.ID]claim {
	claims := map[manifest.ID]claim{}
	for _, name := range slices.AppendSeq(slices.Clone(awaited), maps.Keys(apps)) {
		if rival := rivalOf(name); name.Kind == rival.Kind {
			claims[rival.ID()] = claim{name: name}
		}
	}
	for _, h := range handovers {
		claims[h.Object] = claim{name: h.To}
	}
	for name, app := range apps {
		c := claim{name, app.ServiceAccount}
		for _, o := range app.Objects {
			id := o.ID()
			claims[id] = c
			if id.Namespace = ""; claims[id] == (claim{}) {
				claims[id] = c // its kind may have no namespaces; see apply.Applier
			}
		}
	}
	return claims
}

// claimedFrom returns the function that says which application of the bundle an object must be left to by an
// application that is applied or deleted with a service account.
func (a *Agent) claimedFrom(name bundle.ApplicationName,
	account string) func(manifest.ID) (bundle.ApplicationName, bool) {
	return func(id manifest.ID) (bundle.ApplicationName, bool) {
		c, ok := (*a.claims.Load())[id]
		return c.name, ok && c.counts(name, account)
	}
}

// findTakers notes, for each application, those of a bundle that have its objects and whose claims do not count. The
// application waits until these were tried once, so that they can take the objects over before it deletes them.
func (m *model) findTakers(apps applications) {
	m.takers = map[bundle.ApplicationName][]bundle.ApplicationName{}
	for name, app := range apps {
		if n := m.nodes[name]; app.ServiceAccount == "" || n.isApplied() {
			continue
		}
		c := claim{name, app.ServiceAccount}
		for _, o := range app.Objects {
			owner, known := m.ownerOf(o.ID())
			n := m.nodes[owner]
			if !known || n == nil || owner == name || c.counts(owner, n.account()) ||
				slices.Contains(m.takers[owner], name) {
				continue
			}
			m.takers[owner] = append(m.takers[owner], name)
		}
	}
}

// account returns the service account that the node's objects are deleted with.
func (n *node) account() string {
	if n.app != nil {
		return n.app.ServiceAccount
	}
	return n.mark.ServiceAccount
}

// awaitsTaker reports whether a node waits for the first try of an application that takes objects over. Applications
// that take objects from each other do not wait for each other.
func (m *model) awaitsTaker(n *node) bool {
	return slices.ContainsFunc(m.takers[n.entry.Name], func(name bundle.ApplicationName) bool {
		t := m.nodes[name]
		return t != nil && t.isUntried() && !m.takes(n.entry.Name, name, map[bundle.ApplicationName]bool{})
	})
}

// isUntried reports whether a node is about to be applied, or is being applied, for the first time at its digest.
func (n *node) isUntried() bool {
	return n.standing == listed && !n.entry.Suspended && n.blockedBy == bundle.ApplicationName{} && n.failures == 0 &&
		!n.isApplied() && (n.dirty || n.work == applying)
}

// takes reports whether a takes objects from b, directly or through others.
func (m *model) takes(a, b bundle.ApplicationName, seen map[bundle.ApplicationName]bool) bool {
	if seen[b] {
		return false
	}
	seen[b] = true
	return slices.ContainsFunc(m.takers[b], func(t bundle.ApplicationName) bool { return t == a || m.takes(a, t, seen) })
}
