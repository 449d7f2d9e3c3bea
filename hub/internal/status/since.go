package status

import (
	"bytes"
	"slices"
	"time"

	"github.com/navefleet/nave/hub/internal/store"
	"github.com/navefleet/nave/shared/condition"
)

// later returns the later of some times.
func later(first time.Time, others ...time.Time) time.Time {
	for _, t := range others {
		if t.After(first) {
			first = t
		}
	}
	return first
}

// lastSince returns the latest since of some verdicts: when all of them became ready, if they are.
func lastSince(list []finding) (last time.Time) {
	for _, n := range list {
		last = later(last, n.verdict.since)
	}
	return last
}

// behindSince returns since when the last report of the spoke is not about the planned content. If the report was not
// ready or failed either, the status did not change then, and behindSince returns when it did.
func (f Facts) behindSince(hub verdict) time.Time {
	switch {
	case f.Report == nil:
		return hub.since
	case f.Report.Ready != condition.True && f.Report.Ready != condition.False:
		return later(hub.since, f.Report.Since.AsTime())
	}
	return later(hub.since, f.Report.Since.AsTime(), f.Superseded)
}

// superseded returns when the content that the spoke reported about was replaced: at the first release after it. Before
// there is one, that is when the plan changed.
func (r *Reader) superseded(cluster string, f Facts) (at time.Time, err error) {
	at = f.PlannedAt
	if f.Pin != nil && f.pinHas() {
		at = f.Pin.PinnedAt
	}
	keys, err := r.releases(cluster)
	for _, key := range slices.Backward(keys) {
		past, err := cached(r, r.pasts, store.History, key)
		if err != nil {
			return at, err
		}
		if past == nil {
			continue
		}
		i, has := contentOf(past.Applications, f.Resource.Key.Application())
		if !has || reports(f, past.Applications[i]) {
			return at, nil
		}
		at = past.ReleasedAt
	}
	return at, err
}

// reports reports whether the last report of the spoke is about the content.
func reports(f Facts, c store.Content) bool {
	return bytes.Equal(f.Report.Digest, c.Digest[:]) && f.Report.Revision == c.Revision
}

// releases returns the keys of the history of a cluster, the newest last.
func (r *Reader) releases(cluster string) (keys []string, err error) {
	if keys, read := r.histories[cluster]; read {
		return keys, nil
	}
	err = store.History.Sizes(r.tx, store.OfCluster(cluster), func(key string, _ int) error {
		keys = append(keys, key)
		return nil
	})
	if err == nil {
		r.histories[cluster] = keys
	}
	return keys, err
}

// clusterSince returns since when a cluster of which all is ready is so.
func (f Facts) clusterSince() time.Time {
	since := later(f.hubVerdict().since, f.coveredVerdict().since)
	if f.Bundle != nil {
		since = later(since, f.Bundle.ChangedAt)
	}
	if f.Spoke != nil {
		since = later(since, f.Spoke.Since)
	}
	return since
}
