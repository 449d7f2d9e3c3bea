package watch

import (
	"time"

	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/spoke/internal/health"
	"github.com/navefleet/nave/spoke/internal/inventory"
)

// Observation is drift of one object of ours, or a change of its health.
type Observation struct {
	Application bundle.ApplicationName
	Object      bundle.ObjectIdentity
	// Drift is the difference from the last apply; zero if there is none, or if it was observed before.
	Drift inventory.Drift
	// RetryAt is set if the drift must not be repaired before that time, because it was repaired too often. The
	// observation comes again at that time. Drift.By names the managers that change the object.
	RetryAt time.Time
	// Health is the object's health now; the index has it already.
	Health health.Report
}

// Held reports whether the drift must not be repaired now.
func (o Observation) Held() bool { return !o.RetryAt.IsZero() }
