package agent

import (
	"slices"

	"github.com/navefleet/nave/shared/bundle"
)

// dependentsOfGone returns, for each application that must be deleted, the applications that were applied depending on
// it and must be gone before. Applications that depend on each other in a circle do not wait for each other.
func (m *model) dependentsOfGone() map[bundle.ApplicationName][]bundle.ApplicationName {
	dependents := map[bundle.ApplicationName][]bundle.ApplicationName{}
	for _, name := range m.names {
		for _, dependency := range m.nodes[name].mark.DependsOn {
			if d := m.nodes[dependency]; d != nil && d.standing == leaving {
				dependents[dependency] = append(dependents[dependency], name)
			}
		}
	}
	if len(dependents) > 0 {
		circles := m.circles()
		for gone, names := range dependents {
			dependents[gone] = slices.DeleteFunc(names, func(name bundle.ApplicationName) bool {
				return circles[name] && circles[gone] && m.needs(gone, name, map[bundle.ApplicationName]bool{})
			})
		}
	}
	return dependents
}

// circles returns the applications that were applied depending on themselves through others, and those between two such
// circles.
func (m *model) circles() map[bundle.ApplicationName]bool {
	in := map[bundle.ApplicationName]bool{}
	edges := map[bundle.ApplicationName][]bundle.ApplicationName{}
	back := map[bundle.ApplicationName][]bundle.ApplicationName{}
	for name, n := range m.nodes {
		in[name] = true
		for _, dependency := range n.mark.DependsOn {
			if m.nodes[dependency] != nil {
				edges[name] = append(edges[name], dependency)
				back[dependency] = append(back[dependency], name)
			}
		}
	}
	peel(in, edges, back)
	peel(in, back, edges)
	return in
}

// peel removes the names without edges to others, and then those without edges to the rest, until all of the rest have
// some. back has the edges from the other end.
func peel(in map[bundle.ApplicationName]bool, edges, back map[bundle.ApplicationName][]bundle.ApplicationName) {
	degree := map[bundle.ApplicationName]int{}
	var free []bundle.ApplicationName
	for name := range in {
		for _, to := range edges[name] {
			if in[to] {
				degree[name]++
			}
		}
		if degree[name] == 0 {
			free = append(free, name)
		}
	}
	for len(free) > 0 {
		name := free[len(free)-1]
		free = free[:len(free)-1]
		delete(in, name)
		for _, from := range back[name] {
			if degree[from]--; in[from] && degree[from] == 0 {
				free = append(free, from)
			}
		}
	}
}

// dependent returns an application that must be gone before n is deleted; zero if there is none.
func (m *model) dependent(n *node) bundle.ApplicationName {
	if names := m.dependents[n.entry.Name]; len(names) > 0 {
		return names[0]
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
		if above = m.dependentAbove(above); above == nil {
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

// dependentAbove returns the nearest parent of a node with dependencies; nil if there is none. m.above has the results.
func (m *model) dependentAbove(n *node) *node {
	var passed []*node
	above := n
	for range m.nodes { // as in blockerAbove
		found, known := m.above[above.entry.Name]
		if !known {
			passed = append(passed, above)
			found = m.nodes[above.entry.Parent]
		}
		if above = found; known || above == nil || above.app == nil || len(above.app.DependsOn) > 0 {
			break
		}
	}
	if above != nil && (above.app == nil || len(above.app.DependsOn) == 0) {
		above = nil
	}
	for _, p := range passed {
		m.above[p.entry.Name] = above
	}
	return above
}

// dependenciesFirst returns the names of all nodes, each after those that its condition may depend on, unless they
// form a circle.
func (m *model) dependenciesFirst() []bundle.ApplicationName {
	order, seen := make([]bundle.ApplicationName, 0, len(m.names)), map[bundle.ApplicationName]bool{}
	var visit func(name bundle.ApplicationName)
	visit = func(name bundle.ApplicationName) {
		n := m.nodes[name]
		if n == nil || seen[name] {
			return
		}
		seen[name] = true
		for _, peer := range n.peers {
			visit(peer)
		}
		if n.app != nil {
			for _, dependency := range n.app.DependsOn {
				visit(dependency)
			}
			visit(n.entry.Parent)
		}
		order = append(order, name)
	}
	for _, name := range m.names {
		visit(name)
	}
	return order
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
