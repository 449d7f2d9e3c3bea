package main

import (
	"cmp"
	"slices"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/shared/manifest"
)

// column is one column of a table: its heading, and its text for an object.
type column struct {
	name  string
	value func(row) string
}

// columnsOf returns the columns of the list of a kind, as kubectl has them: cluster and namespace, the columns of the
// kind, the age, the message. If wide is set, they include the wide ones.
func columnsOf(kind api.Kind, wide bool) (columns []column) {
	if kind.Namespaced {
		columns = []column{{"CLUSTER", clusterOf}, {"NAMESPACE", func(r row) string { return r.key.GetNamespace() }}}
	}
	var last []column
	for _, c := range kind.Columns {
		column := column{c.Name, func(r row) string { return c.Value(r.object) }}
		switch {
		case c.Name == api.MessageColumn:
			last = append(last, column)
		case wide || !c.Wide:
			columns = append(columns, column)
		}
	}
	return slices.Concat(columns, []column{{"AGE", ageOf}}, last)
}

func clusterOf(r row) string {
	return cmp.Or(r.key.GetCluster(), "-")
}

func ageOf(r row) string {
	return age((&manifest.Object{Object: r.object}).GetCreationTimestamp().Time)
}
