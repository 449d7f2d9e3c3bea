package main

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/shared/condition"
)

// column is one column of a table: its heading, and its text for an object.
type column struct {
	name  string
	value func(row) string
}

// columnsOf returns the columns in which a kind is listed; wide adds some.
func columnsOf(kind api.Kind, wide bool) []column {
	name := column{"NAME", func(r row) string { return r.key.GetName() }}
	ready, msg := column{"READY", readyOf("status")}, column{"MESSAGE", readyOf("message")}
	var columns []column
	switch kind.Name {
	case api.ClusterKind:
		columns = []column{name, ready, {"CONNECTED", conditionOf(condition.Connected, "status")}, {"SUSPENDED", suspendedOf},
			{"BUNDLE", field("status", "bundle", "sequence")},
			{"VERSION", field("status", "version")}, {"KUBERNETES", field("status", "kubernetesVersion")}, msg}
		if wide {
			columns = append(columns, column{"LABELS", labels},
				column{"CERTIFICATE EXPIRES", field("status", "certificateExpires")})
		}
	case api.FleetKind:
		columns = []column{name, ready, {"CLUSTERS", field("status", "clusters", "selected")},
			{"CONNECTED", field("status", "clusters", "connected")},
			{"UPDATED", field("status", "clusters", "updated")}, {"HEALTHY", field("status", "clusters", "ready")},
			{"SUSPENDED", suspendedOf}, msg}
	default:
		columns = []column{{"CLUSTER", clusterOf}, {"NAMESPACE", func(r row) string { return r.key.GetNamespace() }}, name,
			{"REVISION", revisionOf}, {"SUSPENDED", suspendedOf}, ready, msg}
		if wide {
			columns = append(columns, column{"SOURCE", sourceOf})
		}
	}
	if wide {
		columns = append(columns, column{"AGE", ageOf})
	}
	return columns
}

// field returns the text at a path of the object.
func field(path ...string) func(row) string {
	return func(r row) string {
		v, ok, _ := unstructured.NestedFieldNoCopy(r.object, path...)
		if !ok || v == nil {
			return "-"
		}
		return fmt.Sprint(v)
	}
}

func clusterOf(r row) string {
	if c := r.key.GetCluster(); c != "" {
		return c
	}
	return "-"
}

// revisionOf is what is applied, or for a source what was fetched, with a shortened commit.
func revisionOf(r row) string {
	for _, path := range [][]string{{"status", "lastAppliedRevision"}, {"status", "artifact", "revision"},
		{"status", "lastAttemptedRevision"}} {
		if s, ok, _ := unstructured.NestedString(r.object, path...); ok && s != "" {
			return shortRevision(s)
		}
	}
	return "-"
}

// shortRevision turns main@sha1:<40 digits> into main@sha1:<8 digits>.
func shortRevision(s string) string {
	const shown = 8
	i := strings.LastIndex(s, ":")
	if i < 0 || len(s)-i-1 <= shown {
		return s
	}
	return s[:i+1+shown]
}

func suspendedOf(r row) string {
	suspended, _, _ := unstructured.NestedBool(r.object, "spec", "suspend")
	if c := conditionIn(r.object, condition.Suspended); suspended || c != nil && c["status"] == condition.True {
		return condition.True
	}
	return condition.False
}

func sourceOf(r row) string {
	if url, ok, _ := unstructured.NestedString(r.object, "spec", "url"); ok {
		return url
	}
	name, _, _ := unstructured.NestedString(r.object, "spec", "sourceRef", "name")
	path, _, _ := unstructured.NestedString(r.object, "spec", "path")
	return name + ":" + path
}

func labels(r row) string {
	m, _, _ := unstructured.NestedStringMap(r.object, "metadata", "labels")
	pairs := make([]string, 0, len(m))
	for k, v := range m {
		pairs = append(pairs, k+"="+v)
	}
	slices.Sort(pairs)
	return strings.Join(pairs, ",")
}

func ageOf(r row) string {
	s, _, _ := unstructured.NestedString(r.object, "metadata", "creationTimestamp")
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		return "-"
	}
	return age(t)
}

func readyOf(part string) func(row) string { return conditionOf(condition.Ready, part) }

// conditionOf returns one field of a condition of the object's status.
func conditionOf(kind, part string) func(row) string {
	return func(r row) string {
		if c := conditionIn(r.object, kind); c != nil {
			return fmt.Sprint(c[part])
		}
		if part == "status" {
			return condition.Unknown
		}
		return ""
	}
}

// conditionIn returns the condition of a type; nil if the status has none.
func conditionIn(object map[string]any, kind string) map[string]any {
	list, _, _ := unstructured.NestedSlice(object, "status", "conditions")
	for _, item := range list {
		if c, ok := item.(map[string]any); ok && c["type"] == kind {
			return c
		}
	}
	return nil
}
