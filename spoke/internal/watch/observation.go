package watch

import (
	"fmt"
	"strings"
	"time"

	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/spoke/internal/health"
	"github.com/navefleet/nave/spoke/internal/inventory"
)

// Observation is news of one object of ours.
type Observation struct {
	Application bundle.ApplicationName
	Object      bundle.ObjectIdentity
	// Drift is how it differs from what was applied; zero if it does not, or if that was reported before.
	Drift inventory.Drift
	// RetryAt is set when the drift is not to be repaired before that time, because it was repaired too often; the
	// observation comes again then. Drift.By names who fights for the object.
	RetryAt time.Time
	// Health is how it is doing now; it is in the index already.
	Health health.Report
}

// Held reports whether the drift is to be left alone for now.
func (o Observation) Held() bool { return !o.RetryAt.IsZero() }

// String returns the observation in one line: "ConfigMap shop/a: drift fought by hpa, repaired again at 12:00:05",
// "Deployment.apps shop/web: InProgress: 0/1 available".
func (o Observation) String() string {
	switch {
	case o.Held():
		return fmt.Sprintf("%s: drift fought by %s, repaired again at %s", o.Object.ID(), strings.Join(o.Drift.By, ", "),
			o.RetryAt.Format(time.TimeOnly))
	case o.Drift.Any():
		return fmt.Sprintf("%s: drift: %s", o.Object.ID(), o.Drift)
	case o.Health.Message != "":
		return fmt.Sprintf("%s: %s: %s", o.Object.ID(), o.Health.Status, o.Health.Message)
	}
	return fmt.Sprintf("%s: %s", o.Object.ID(), o.Health.Status)
}
