package status

import (
	"slices"
	"strings"
	"time"
)

// Types of conditions: Flux's, Connected of a Cluster, and Suspended of what is.
const (
	readyCondition       = "Ready"
	reconcilingCondition = "Reconciling"
	stalledCondition     = "Stalled"
	healthyCondition     = "Healthy"
	fetchFailedCondition = "FetchFailed"
	storedCondition      = "ArtifactInStorage"
	connectedCondition   = "Connected"
	suspendedCondition   = "Suspended"
)

// Values of a condition.
const (
	isTrue    = "True"
	isFalse   = "False"
	isUnknown = "Unknown"
)

// Reasons that this package gives itself.
const (
	reasonProgressing    = "Progressing"
	reasonSucceeded      = "ReconciliationSucceeded"
	reasonSuspended      = "Suspended"
	reasonNotRegistered  = "NotRegistered"
	reasonOffline        = "Offline"
	reasonTokenRefused   = "JoinTokenRefused"
	reasonOnline         = "Online"
	reasonBundleRejected = "BundleRejected"
	reasonBlocked        = "Blocked"
	reasonNoClusters     = "NoClusters"

	// of others, and told apart here
	reasonBuildFailed        = "BuildFailed"
	reasonDependencyNotReady = "DependencyNotReady"
	reasonHealthCheckFailed  = "HealthCheckFailed"
)

// condition is metav1.Condition in the order in which it is printed.
type condition struct {
	Type               string `json:"type"`
	Status             string `json:"status"`
	ObservedGeneration int64  `json:"observedGeneration,omitempty"`
	LastTransitionTime string `json:"lastTransitionTime"`
	Reason             string `json:"reason"`
	Message            string `json:"message"`
}

// conditions collects those of one object.
type conditions struct {
	generation int64
	list       []condition
}

// set adds a condition that has been so since a time.
func (c *conditions) set(kind, value, reason, message string, since time.Time) {
	c.list = append(c.list, condition{
		Type: kind, Status: value, ObservedGeneration: c.generation, LastTransitionTime: stamp(since), Reason: reason, Message: message,
	})
}

// sorted returns the conditions by type, as kubectl and flux print them, with Ready first.
func (c *conditions) sorted() []condition {
	slices.SortStableFunc(c.list, func(a, b condition) int {
		if (a.Type == readyCondition) != (b.Type == readyCondition) {
			if a.Type == readyCondition {
				return -1
			}
			return 1
		}
		return strings.Compare(a.Type, b.Type)
	})
	return c.list
}

// stamp writes a time as Kubernetes does.
func stamp(t time.Time) string {
	return t.UTC().Format(time.RFC3339)
}
