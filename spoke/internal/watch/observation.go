package watch

import (
	"time"

	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/spoke/internal/health"
	"github.com/navefleet/nave/spoke/internal/inventory"
)

// Observation is news of one object of ours.
type Observation struct {
	Owner  bundle.Owner
	Object bundle.ObjectIdentity
	// Drift is how it differs from what was applied; zero when it does not, or when that was told before.
	Drift inventory.Drift
	// RetryAt is set when the drift is not to be repaired before that time, because it was repaired too often; the
	// observation comes again then. Drift.By names who fights for the object.
	RetryAt time.Time
	// Health is how it is doing now; it is in the index already.
	Health health.Report
}

// Held reports whether the drift is to be left alone for now.
func (o Observation) Held() bool { return !o.RetryAt.IsZero() }
