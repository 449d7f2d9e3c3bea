package status

import (
	"fmt"

	"github.com/navefleet/nave/hub/internal/store"
)

// fleetCounts are how many of a Fleet's clusters have come how far.
type fleetCounts struct {
	Selected  int `json:"selected"`
	Connected int `json:"connected"`
	Updated   int `json:"updated"` // have applied their newest bundle
	Ready     int `json:"ready"`   // run it healthy
}

func (f Facts) counts() (c fleetCounts) {
	for _, m := range f.Members {
		c.Selected++
		if m.Spoke != nil && m.Spoke.Connected {
			c.Connected++
		}
		if acked(m.Spoke, m.Desired, store.AckApplied) {
			c.Updated++
		}
		if acked(m.Spoke, m.Desired, store.AckHealthy) {
			c.Ready++
		}
	}
	return c
}

// fleetVerdict is True when each of its clusters runs its newest bundle.
func (f Facts) fleetVerdict() verdict {
	v := f.hubVerdict()
	if v.ready != isTrue {
		return v
	}
	c := f.counts()
	if c.Ready < c.Selected {
		v.ready, v.reason = isUnknown, reasonProgressing
		for _, m := range f.Members {
			if m.Desired != nil && m.Desired.ChangedAt.After(v.since) {
				v.since = m.Desired.ChangedAt
			}
		}
	} else {
		v.reason = reasonSucceeded
	}
	v.message = fmt.Sprintf("%d of %d clusters are ready", c.Ready, c.Selected)
	return v
}

func (f Facts) fleetDetails(fields map[string]any) { fields["clusters"] = f.counts() }
