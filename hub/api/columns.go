package api

import (
	"fmt"
	"maps"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/navefleet/nave/shared/condition"
)

// Column is one column of a list of objects.
type Column struct {
	Name string
	Wide bool // only printed with -o wide
	// Value returns the text for an object with its status.
	Value func(object map[string]any) string
}

// MessageColumn is the heading of the column that is printed last, whatever its place in the columns of a kind.
const MessageColumn = "MESSAGE"

// The columns that several kinds have.
var (
	nameColumn      = Column{Name: "NAME", Value: fieldOf("metadata", "name")}
	readyColumn     = Column{Name: "READY", Value: conditionOf(condition.Ready, "status")}
	messageColumn   = Column{Name: MessageColumn, Value: conditionOf(condition.Ready, "message")}
	suspendedColumn = Column{Name: "SUSPENDED", Value: suspendedOf}
)

// columnsOfRole returns the columns of a kind that has none of its own.
func columnsOfRole(role Role) []Column {
	source := sourceOf
	if role == SourceRole {
		source = fieldOf("spec", "url")
	}
	return []Column{nameColumn, {Name: "REVISION", Value: revisionOf}, suspendedColumn, readyColumn, messageColumn,
		{Name: "SOURCE", Wide: true, Value: source}}
}

// fieldOf returns a function that returns the text at a path of the object. If the field is not set, the text is "-".
func fieldOf(path ...string) func(map[string]any) string {
	return func(object map[string]any) string {
		v, ok, _ := unstructured.NestedFieldNoCopy(object, path...)
		if !ok || v == nil {
			return "-"
		}
		return fmt.Sprint(v)
	}
}

// revisionOf returns the last applied revision, or the last fetched revision of a source, with a shortened commit. If
// there is neither, revisionOf returns "-", as flux get does: an attempted revision may never have been applied.
func revisionOf(object map[string]any) string {
	for _, path := range [][]string{{"status", "lastAppliedRevision"}, {"status", "artifact", "revision"}} {
		if s, ok, _ := unstructured.NestedString(object, path...); ok && s != "" {
			return ShortRevision(s)
		}
	}
	return "-"
}

// ShortRevision turns main@sha1:<40 digits> into main@sha1:<8 digits>.
func ShortRevision(s string) string {
	const shown = 8
	i := strings.LastIndex(s, ":")
	if i < 0 || len(s)-i-1 <= shown {
		return s
	}
	return s[:i+1+shown]
}

func suspendedOf(object map[string]any) string {
	suspended, _, _ := unstructured.NestedBool(object, "spec", "suspend")
	if c := FindCondition(object, condition.Suspended); suspended || c != nil && c["status"] == condition.True {
		return condition.True
	}
	return condition.False
}

// sourceOf returns the source of a renderable and the path in it.
func sourceOf(object map[string]any) string {
	name, _, _ := unstructured.NestedString(object, "spec", "sourceRef", "name")
	path, _, _ := unstructured.NestedString(object, "spec", "path")
	return name + ":" + path
}

// labelsOf returns the labels of an object that users set. Those of Flux and Nave only say who applied the object.
func labelsOf(object map[string]any) string {
	m, _, _ := unstructured.NestedStringMap(object, "metadata", "labels")
	maps.DeleteFunc(m, func(name, _ string) bool {
		prefix, _, _ := strings.Cut(name, "/")
		return strings.HasSuffix(prefix, ".toolkit.fluxcd.io") || prefix == GroupFleet
	})
	if len(m) == 0 {
		return "-"
	}
	return labels.Set(m).String()
}

// conditionOf returns a function that returns one field of a condition of the object's status.
func conditionOf(kind, part string) func(map[string]any) string {
	return func(object map[string]any) string {
		if c := FindCondition(object, kind); c != nil {
			return fmt.Sprint(c[part])
		}
		if part == "status" {
			return condition.Unknown
		}
		return ""
	}
}

// FindCondition returns the condition of a type in the status of an object. If there is none, it returns nil.
func FindCondition(object map[string]any, kind string) map[string]any {
	list, _, _ := unstructured.NestedSlice(object, "status", "conditions")
	for _, item := range list {
		if c, ok := item.(map[string]any); ok && c["type"] == kind {
			return c
		}
	}
	return nil
}

// MayPass reports whether a change of what a cluster should run may end a failure that began at a time: any one of a
// dependency, and one of health from before the change.
func MayPass(reason string, since, changed time.Time) bool {
	return reason == condition.DependencyNotReady || reason == condition.HealthCheckFailed && since.Before(changed)
}
