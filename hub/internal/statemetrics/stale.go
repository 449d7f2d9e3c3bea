package statemetrics

import (
	"slices"
	"strings"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/status"
	"github.com/navefleet/nave/hub/internal/store"
)

// stale has the clusters and the objects of the hub whose summaries must be computed again.
type stale struct {
	all      bool // everything, and what is not known yet
	clusters map[string]bool
	objects  map[api.Key]bool
}

func newStale() stale {
	return stale{all: true, clusters: map[string]bool{}, objects: map[api.Key]bool{}}
}

// note marks what a changed row affects.
func (s *stale) note(c store.Change, groups groups) {
	key, own := status.OwnRow(c)
	switch cluster := c.Cluster(); {
	case c.Key == "", own && key.Role() == api.FleetRole && c.Table == store.Resources.Name(): // it may select others now
		s.all = true
	case cluster != "":
		s.clusters[cluster] = true
	case own:
		s.objects[key] = true
	}
	for _, d := range status.Dependencies(c) {
		for _, g := range groups {
			if slices.Contains(g.reads, d) {
				for member := range g.members {
					s.mark(member)
				}
			}
		}
	}
}

func (s *stale) mark(key api.Key) {
	if key.Role() == api.ClusterRole {
		s.clusters[key.Name] = true
	} else {
		s.objects[key] = true
	}
}

// groups are the Clusters and objects of the hub that depend on rows of others, by the text of these dependencies. The
// clusters of one Fleet depend on the same rows.
type groups map[string]*group

type group struct {
	reads   []status.Dependency
	members map[api.Key]bool
}

// move moves an object from its group, "" if it has none, to the group with these dependencies, and returns its text.
// The rows that belong to the object's cluster are left out: every change of theirs marks it.
func (g groups) move(key api.Key, last string, reads []status.Dependency) string {
	cluster := api.ClusterOf(key.Path())
	var text strings.Builder
	kept := slices.DeleteFunc(slices.Clone(reads), func(d status.Dependency) bool {
		return d.Table == "" || d.Table == "*" || cluster != "" && store.Change(d).Cluster() == cluster
	})
	for _, d := range kept {
		text.WriteString(d.Table + "\x01" + d.Key + "\x02")
	}
	now := text.String()
	if now == last {
		return now
	}
	g.remove(key, last)
	if now == "" {
		return now
	}
	if g[now] == nil {
		g[now] = &group{kept, map[api.Key]bool{}}
	}
	g[now].members[key] = true
	return now
}

// remove removes an object from its group, and a group without objects.
func (g groups) remove(key api.Key, text string) {
	if in := g[text]; in != nil {
		if delete(in.members, key); len(in.members) == 0 {
			delete(g, text)
		}
	}
}
