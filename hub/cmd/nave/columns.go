package main

import (
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/navefleet/nave/hub/api"
)

// column is one column of a table: its heading, and its text for an object.
type column struct {
	name  string
	value func(row) string
}

// columnsOf returns the columns in which a kind is listed: where the object is, and what the kind says. Wide adds some.
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
	if c := r.key.GetCluster(); c != "" {
		return c
	}
	return "-"
}

// labelsOf returns the labels of an object as a selector of them.
func labelsOf(object map[string]any) string {
	m, _, _ := unstructured.NestedStringMap(object, "metadata", "labels")
	return labels.Set(m).String()
}

func ageOf(r row) string {
	s, _, _ := unstructured.NestedString(r.object, "metadata", "creationTimestamp")
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		return "-"
	}
	return age(t)
}
