package status

import (
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// fields are those of a status beside its conditions.
type fields map[string]any

// set sets a field, unless the text is empty.
func (f fields) set(name, text string) {
	if text != "" {
		f[name] = text
	}
}

// conditions collects the conditions of one object.
type conditions struct {
	generation int64
	list       []metav1.Condition
}

// set adds a condition. since is its last transition time.
func (c *conditions) set(kind, value, reason, message string, since time.Time) {
	c.list = append(c.list, metav1.Condition{
		Type: kind, Status: metav1.ConditionStatus(value), ObservedGeneration: c.generation,
		LastTransitionTime: metav1.NewTime(since), Reason: reason, Message: message,
	})
}

// sorted returns the conditions as kubectl and flux print them: Ready, which is set first, and the others by type.
func (c *conditions) sorted() []metav1.Condition {
	slices.SortFunc(c.list[1:], func(a, b metav1.Condition) int { return strings.Compare(a.Type, b.Type) })
	return c.list
}
