package agent

import (
	"slices"

	"github.com/navefleet/nave/shared/bundle"
)

// dependentsOfGone lists, for each application that is to be deleted, the applications that were applied depending on
// it.
func (m *model) dependentsOfGone() map[bundle.Owner][]bundle.Owner {
	dependents := map[bundle.Owner][]bundle.Owner{}
	for _, owner := range m.owners {
		for _, dependency := range m.nodes[owner].mark.DependsOn {
			if d := m.nodes[dependency]; d != nil && d.standing == leaving {
				dependents[dependency] = append(dependents[dependency], owner)
			}
		}
	}
	return dependents
}

// dependent returns an application that has to be gone before n is deleted; zero when there is none. Applications that
// depend on each other in a circle do not wait for each other.
func (m *model) dependent(n *node) bundle.Owner {
	for _, owner := range m.dependents[n.entry.Owner] {
		if !m.needs(n.entry.Owner, owner, map[bundle.Owner]bool{}) {
			return owner
		}
	}
	return bundle.Owner{}
}

// needs reports whether a was applied depending on b, directly or by way of others. Each application depends on itself.
func (m *model) needs(a, b bundle.Owner, seen map[bundle.Owner]bool) bool {
	if a == b {
		return true
	}
	n := m.nodes[a]
	if n == nil || seen[a] {
		return false
	}
	seen[a] = true
	return slices.ContainsFunc(n.mark.DependsOn, func(next bundle.Owner) bool { return m.needs(next, b, seen) })
}

// blockerAbove returns the first dependency that is not ready of those above an application.
func (m *model) blockerAbove(n *node) bundle.Owner {
	above := n
	for range m.nodes { // at most: whatever the bundle says of parents
		if above = m.nodes[above.entry.Parent]; above == nil || above.app == nil {
			break
		}
		for _, owner := range above.app.DependsOn {
			if owner != n.entry.Owner && !m.isReady(owner) {
				return owner
			}
		}
	}
	return bundle.Owner{}
}

// union returns the owners of both lists, each once.
func union(a, b []bundle.Owner) []bundle.Owner {
	all := slices.Clone(a)
	for _, owner := range b {
		if !slices.Contains(all, owner) {
			all = append(all, owner)
		}
	}
	return all
}
