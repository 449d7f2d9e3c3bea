package statemetrics

import (
	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/status"
)

// state has the summaries.
type state struct {
	limit    int
	objects  map[api.Key]*object // of the hub, without Clusters
	clusters map[string]*cluster
	inGraphs int  // objects of the graphs of clusters
	detailed bool // the clusters have their Objects
	fleets   map[api.Key]status.Summary
}

// object is an object of the hub.
type object struct {
	status.Summary
	group string // of its dependencies
}

// cluster is a Cluster with its graph. Objects is nil while there are too many of all clusters.
type cluster struct {
	status.ClusterSummary
	group   string        // of its dependencies
	classes map[class]int // of the graph
	held    int           // objects of the graph whose removals are held
	size    int           // of the graph
}

// class is what objects are counted by.
type class struct {
	kind, ready, reason string
	suspended           bool
}

func classOf(s status.Summary) class { return class{s.Key.Kind, s.Ready, s.Reason, s.Suspended} }

func newState(limit int) *state {
	return &state{limit: limit, objects: map[api.Key]*object{}, clusters: map[string]*cluster{}, detailed: true}
}

// put replaces the summary of a cluster; nil removes it.
func (s *state) put(name string, c *cluster) {
	if was := s.clusters[name]; was != nil {
		s.inGraphs -= was.size
	}
	delete(s.clusters, name)
	if c == nil {
		return
	}
	c.classes, c.size = map[class]int{}, len(c.Objects)
	for _, o := range c.Objects {
		c.classes[classOf(o)]++
		if o.Held {
			c.held++
		}
	}
	s.inGraphs += c.size
	if s.inGraphs > s.limit {
		s.dropDetails()
	}
	if !s.detailed {
		c.Objects = nil
	}
	s.clusters[name] = c
}

// dropDetails forgets the objects of graphs, and keeps their numbers.
func (s *state) dropDetails() {
	if s.detailed {
		s.detailed = false
		for _, c := range s.clusters {
			c.Objects = nil
		}
	}
}

// settle computes the summaries of Fleets after a refresh. It reports whether the objects of clusters are to be read
// again, because they are no longer too many.
func (s *state) settle() (readAgain bool) {
	members := map[api.Key][]*status.Member{}
	for _, c := range s.clusters {
		for key, m := range c.Fleets {
			members[key] = append(members[key], m)
		}
	}
	s.fleets = map[api.Key]status.Summary{}
	for key, o := range s.objects {
		if key.Role() == api.FleetRole {
			s.fleets[key] = o.Summary.WithMembers(members[key])
		}
	}
	if !s.detailed && s.inGraphs <= s.limit {
		s.detailed = true
		return true
	}
	return false
}

// summary returns the summary of an object of the hub.
func (s *state) summary(key api.Key) status.Summary {
	if fleet, ok := s.fleets[key]; ok {
		return fleet
	}
	return s.objects[key].Summary
}
