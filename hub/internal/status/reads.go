package status

import (
	"strings"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/store"
)

// Dependency is a row, or a set of rows, that facts were read from. If facts have no Dependency in common with a
// change, the change does not affect them.
type Dependency struct{ Table, Key string }

// allClusters is every Cluster of the hub.
var allClusters = Dependency{store.Resources.Name(), api.ClusterKey("").Path()}

// wholeCluster is a Cluster, every row of its graph, and all other rows that belong to it (store.Change.Cluster).
func wholeCluster(cluster string) Dependency { return Dependency{Key: cluster} }

// Dependencies returns the Dependencies that include a changed row.
func Dependencies(c store.Change) []Dependency {
	list := []Dependency{{c.Table, c.Key}}
	if cluster := c.Cluster(); cluster != "" {
		list = append(list, wholeCluster(cluster))
	}
	if c.Table == allClusters.Table && strings.HasPrefix(c.Key, allClusters.Key) {
		list = append(list, allClusters)
	}
	return list
}

// reads are dependencies, each once.
type reads map[Dependency]struct{}

func (r reads) add(list ...Dependency) {
	for _, d := range list {
		r[d] = struct{}{}
	}
}

// of returns the dependencies of facts about a whole cluster: the cluster, and the rows that are not its own.
func (r reads) of(cluster string) []Dependency {
	list := []Dependency{wholeCluster(cluster)}
	for d := range r {
		if store.Change(d).Cluster() != cluster {
			list = append(list, d)
		}
	}
	return list
}
