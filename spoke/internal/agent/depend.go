package agent

import (
	"slices"

	"github.com/navefleet/nave/shared/bundle"
)

// dependentsOfGone returns, for each application that must be deleted, the applications that were applied depending on
// it.
func (m *model) dependentsOfGone() map[bundle.ApplicationName][]bundle.ApplicationName {
	dependents := map[bundle.ApplicationName][]bundle.ApplicationName{}
	for _, name := range m.names {
		for _, dependency := range m.nodes[name].mark.DependsOn {
			if d := m.nodes[dependency]; d != nil && d.standing == leaving {
				dependents[dependency] = append(dependents[dependency], name)
			}
		}
	}
	return dependents
}

// dependent returns an application that must be gone before n is deleted; zero if there is none. Applications that
// depend on each other in a circle do not wait for each other.
func (m *model) dependent(n *node) bundle.ApplicationName {
	for _, name := range m.dependents[n.entry.Name] {
		if !m.needs(n.entry.Name, name, map[bundle.ApplicationName]bool{}) {
			return name
		}
	}
	return bundle.ApplicationName{}
}

// needs reports whether a was applied depending on b, directly or through others. Each application depends on itself.
func (m *model) needs(a, b bundle.ApplicationName, seen map[bundle.ApplicationName]bool) bool {
	if a == b {
		return true
	}
	n := m.nodes[a]
	if n == nil || seen[a] {
		return false
	}
	seen[a] = true
	return slices.ContainsFunc(n.mark.DependsOn, func(next bundle.ApplicationName) bool { return m.needs(next, b, seen) })
}

// blockerAbove returns the first dependency of the parents of an application that is not ready, and the reason. If all
// are ready, both are empty.
func (m *model) blockerAbove(n *node) (dependency bundle.ApplicationName, why string) {
	above := n
	for range m.nodes { // at most, in case the parents form a circle
		if above = m.nodes[above.entry.Parent]; above == nil || above.app == nil {
			break
		}
		for _, name := range above.app.DependsOn {
			if name == n.entry.Name {
				continue
			}
			if why := m.unready(above, name); why != "" {
				return name, why
			}
		}
	}
	return bundle.ApplicationName{}, ""
}

// union returns the applications of both lists, each once.
func union(a, b []bundle.ApplicationName) []bundle.ApplicationName {
	all := slices.Clone(a)
	for _, name := range b {
		if !slices.Contains(all, name) {
			all = append(all, name)
		}
	}
	return all
}
