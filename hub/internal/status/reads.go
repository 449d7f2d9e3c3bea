package status

import (
	"slices"
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

// singleRows is a cluster's rows in the tables with one row for each cluster: its spoke, its plan, its bundle.
func singleRows(cluster string) Dependency { return Dependency{"*", cluster} }

// Dependencies returns the Dependencies that include a changed row.
func Dependencies(c store.Change) []Dependency {
	list := []Dependency{{c.Table, c.Key}}
	if cluster := c.Cluster(); cluster != "" {
		list = append(list, wholeCluster(cluster))
		if c.Key == cluster {
			list = append(list, singleRows(cluster))
		}
	}
	if c.Table == allClusters.Table && strings.HasPrefix(c.Key, allClusters.Key) {
		list = append(list, allClusters)
	}
	if fleet, _, _ := strings.Cut(c.Key, "/"); c.Table == store.Rollouts.Name() {
		list = append(list, ofRollouts(fleet))
	}
	return list
}

// OwnRow returns the object that a changed row is about and no other object: its resource, its condition or the report
// about it. If the row is not of one object, OwnRow returns false.
func OwnRow(c store.Change) (api.Key, bool) {
	switch c.Table {
	case store.Resources.Name(), store.Conditions.Name(), store.Reports.Name():
		return api.ParseKey(c.Key)
	}
	return api.Key{}, false
}

// reads are dependencies, each once.
type reads map[Dependency]struct{}

func (r reads) add(list ...Dependency) {
	for _, d := range list {
		r[d] = struct{}{}
	}
}

// least returns few dependencies, sorted, that include those of the facts about an object, without its own rows
// (OwnRow): a watch keeps them for each object.
func (r reads) least(key api.Key) (list []Dependency) {
	for d := range r {
		c := store.Change(d)
		about, own := OwnRow(c)
		cluster := c.Cluster()
		_, whole := r[wholeCluster(cluster)]
		switch {
		case own && about == key, cluster != "" && whole:
		case cluster != "" && d.Key == cluster:
			list = append(list, singleRows(cluster))
		default:
			list = append(list, d)
		}
	}
	slices.SortFunc(list, func(a, b Dependency) int { return store.Change(a).Compare(store.Change(b)) })
	return slices.Compact(list)
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
