package status

import (
	"fmt"

	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/condition"
)

// fleetCounts counts the clusters of a Fleet by their progress.
type fleetCounts struct {
	Selected  int `json:"selected"`
	Connected int `json:"connected"`
	Updated   int `json:"updated"` // have applied their newest bundle
	Ready     int `json:"ready"`   // all objects that the Fleet leads to there are healthy
}

// clusterCounts counts the clusters of a Fleet.
func (f Facts) clusterCounts() (c fleetCounts) {
	for _, m := range f.Members {
		c.Selected++
		if m.Spoke != nil && m.Spoke.Connected {
			c.Connected++
		}
		if acked(m.Spoke, m.Bundle, bundle.Applied) {
			c.Updated++
		}
		if m.memberVerdict().ready == condition.True {
			c.Ready++
		}
	}
	return c
}

// fleetVerdict returns True if all objects that the Fleet leads to are ready on each of its clusters. Otherwise
// fleetVerdict returns the verdict about the worst cluster or source.
func (f Facts) fleetVerdict() verdict {
	v := f.hubVerdict()
	switch {
	case v.ready != condition.True:
		return v
	case len(f.Members) == 0:
		return failing(condition.NoClusters, "spec.clusterSelector matches no cluster", v.since)
	}
	list := make([]finding, 0, len(f.Members)+len(f.Sources))
	for _, m := range f.Members {
		v := m.memberVerdict()
		list = append(list, finding{key: m.Resource.Key, verdict: v, text: m.Resource.Key.Name + ": " + v.message})
	}
	for key, source := range f.Sources {
		list = append(list, source.finding(key.String()))
	}
	count := fmt.Sprintf("%d of %d clusters are ready", f.clusterCounts().Ready, len(f.Members))
	w, unready := worst(list)
	if unready == 0 {
		return f.withRollout(verdict{ready: condition.True, reason: condition.ReconciliationSucceeded, message: count,
			since: later(v.since, lastSince(list))})
	}
	w.verdict.message = count + "; " + w.text
	return f.withRollout(w.verdict)
}

// memberVerdict returns the verdict about a cluster with only the objects that a Fleet leads to there.
func (f Facts) memberVerdict() verdict {
	own, hub, covered, upgrade := f.sessionVerdict(), f.hubVerdict(), f.coveredVerdict(), f.upgradeVerdict()
	switch {
	case own.ready == condition.False:
		return own
	case hub.ready == condition.False && !isAboutObjects(hub): // objects are covered, if they are this Fleet's
		return hub
	case covered.ready == condition.False:
		return covered
	case upgrade.ready == condition.False:
		return upgrade
	case own.ready != condition.True:
		return own
	case len(f.Covered) == 0:
		return pending(condition.Progressing, "waiting for its root object", hub.since)
	case covered.ready == condition.True && upgrade.ready != condition.True:
		return upgrade
	}
	covered.since = later(covered.since, hub.since, f.Spoke.Since)
	return covered
}
