package graph

import (
	"fmt"
	"slices"
	"strings"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/shared/wording"
)

// Limits of the message about a cycle.
const (
	maxTraced = 100 // objects of a group in which the shortest cycle of each is looked for
	maxCircle = 10  // names of one cycle
)

// cycles finds the cycles of dependsOn with Tarjan's algorithm, in one search through all edges.
type cycles struct {
	edges  map[api.Key][]api.Key
	number map[api.Key]int // in the order of the search, from 1
	low    map[api.Key]int // the lowest number that the search came back to
	open   map[api.Key]bool
	stack  []api.Key
	groups map[api.Key][]api.Key // the objects on cycles, and all that each of them is on a cycle with
}

// findCycles returns the objects that depend on themselves through others or directly. Each has the group of objects
// that it is on a cycle with, itself included.
func findCycles(edges map[api.Key][]api.Key, keys []api.Key) map[api.Key][]api.Key {
	c := cycles{edges: edges, number: map[api.Key]int{}, low: map[api.Key]int{}, open: map[api.Key]bool{},
		groups: map[api.Key][]api.Key{}}
	for _, key := range keys {
		if c.number[key] == 0 {
			c.visit(key)
		}
	}
	return c.groups
}

func (c *cycles) visit(key api.Key) {
	c.number[key] = len(c.number) + 1
	c.low[key] = c.number[key]
	c.stack, c.open[key] = append(c.stack, key), true
	for _, next := range c.edges[key] {
		if c.number[next] == 0 {
			c.visit(next)
			c.low[key] = min(c.low[key], c.low[next])
		} else if c.open[next] {
			c.low[key] = min(c.low[key], c.number[next])
		}
	}
	if c.low[key] == c.number[key] {
		c.close(key)
	}
}

// close takes the group that ends with a key from the stack.
func (c *cycles) close(key api.Key) {
	start := len(c.stack) - 1
	for c.stack[start] != key {
		start--
	}
	group := slices.Clone(c.stack[start:])
	c.stack = c.stack[:start]
	for _, member := range group {
		c.open[member] = false
		if len(group) > 1 || slices.Contains(c.edges[key], key) {
			c.groups[member] = group
		}
	}
}

// describeCycle returns the message about an object of a group: its shortest cycle, or a part of it or of the group if
// these are large.
func describeCycle(key api.Key, group []api.Key, edges map[api.Key][]api.Key) string {
	if len(group) > maxTraced {
		names := []string{}
		for _, member := range group[:maxCircle] {
			names = append(names, member.Namespace+"/"+member.Name)
		}
		return "dependsOn forms cycles through " + wording.List(names, len(group), maxCircle)
	}
	circle := circleOf(key, edges)
	if n := len(circle); n > maxCircle {
		circle = append(circle[:maxCircle-2:maxCircle-2], fmt.Sprintf("%d more", n-maxCircle+1), circle[n-1])
	}
	return "dependsOn forms a cycle: " + strings.Join(circle, " → ")
}

// circleOf returns the names on the shortest path from a key back to itself. If there is no path, circleOf returns nil.
func circleOf(start api.Key, edges map[api.Key][]api.Key) []string {
	from := map[api.Key]api.Key{}
	for queue := []api.Key{start}; len(queue) > 0; queue = queue[1:] {
		for _, next := range edges[queue[0]] {
			if next == start {
				return pathBack(start, queue[0], from)
			}
			if _, seen := from[next]; !seen {
				from[next] = queue[0]
				queue = append(queue, next)
			}
		}
	}
	return nil
}

func pathBack(start, last api.Key, from map[api.Key]api.Key) []string {
	names := []string{start.Namespace + "/" + start.Name}
	for key := last; key != start; key = from[key] {
		names = append(names, key.Namespace+"/"+key.Name)
	}
	names = append(names, start.Namespace+"/"+start.Name)
	slices.Reverse(names)
	return names
}
