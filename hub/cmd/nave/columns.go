package main

import (
	"cmp"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/shared/manifest"
)

// column is one column of a table: its heading, and its text for an object.
type column struct {
	name  string
	value func(row) string
}

// columnsOf returns the columns of the list of a kind: cluster and namespace, then the columns of the kind. If wide is
// set, they include the wide ones.
func columnsOf(kind api.Kind, wide bool) (columns []column) {
	if kind.Namespaced {
		columns = []column{{"CLUSTER", clusterOf}, {"NAMESPACE", func(r row) string { return r.key.GetNamespace() }}}
	}
	for _, c := range kind.Columns {
		if wide || !c.Wide {
			columns = append(columns, column{c.Name, func(r row) string { return c.Value(r.object) }})
		}
	}
	if wide {
		columns = append(columns, column{"AGE", ageOf})
	}
	return columns
}

func clusterOf(r row) string {
	return cmp.Or(r.key.GetCluster(), "-")
}

func ageOf(r row) string {
	return age((&manifest.Object{Object: r.object}).GetCreationTimestamp().Time)
}
