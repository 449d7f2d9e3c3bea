package status

import (
	"cmp"
	"slices"
	"time"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/store"
	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/condition"
)

// Summary is the status of an object without its messages, for metrics.
type Summary struct {
	Key       api.Key
	Ready     string // condition.True, False or Unknown
	Reason    string // of Ready
	Revision  string // the last that was fetched, built or applied; empty: none
	Suspended bool
	Held      bool // its removal, or that of objects that it gave before, is held

	rollout verdict // of a Fleet; zero: no rollout keeps it from being ready
}

// ClusterSummary is the summary of a Cluster, of the objects of its graph, and of what Fleets lead to there.
type ClusterSummary struct {
	Summary
	Objects []Summary           // sorted by key
	Fleets  map[api.Key]*Member // of the Fleets that select the cluster
	// Expected: the spoke has registered and the Cluster is not blocked, so that there should be a session.
	Expected, Connected               bool
	CertificateExpires, BundleExpires time.Time // zero: there is none
	// LaggingSince is when the oldest content became available that is not live yet. It is zero if all is live, or waits
	// for the end of a suspension or a pin, or for the first registration.
	LaggingSince time.Time
}

// Member is how everything is that a Fleet leads to on one cluster.
type Member struct{ worst finding }

// SummarizeCluster returns the summary of a Cluster. fleets are all Fleets of the hub, of which Reads has nothing. If
// the Cluster does not exist, SummarizeCluster returns false.
func (r *Reader) SummarizeCluster(name string, fleets []store.Resource) (s ClusterSummary, ok bool, err error) {
	f, ok, err := r.Read(api.ClusterKey(name))
	if err != nil || !ok {
		return s, false, err
	}
	s = ClusterSummary{Summary: f.summary(), Connected: f.Spoke != nil && f.Spoke.Connected,
		Expected: registered(f.Spoke) && !f.cluster().Blocked, Fleets: map[api.Key]*Member{}}
	if f.Spoke != nil {
		s.CertificateExpires = f.Spoke.CertificateExpiry
	}
	if f.Bundle != nil {
		s.BundleExpires = f.Bundle.ExpiresAt
	}
	for _, object := range f.Covered {
		s.Objects = append(s.Objects, object.summary())
	}
	slices.SortFunc(s.Objects, func(a, b Summary) int { return a.Key.Compare(b.Key) })
	if s.Fleets, err = r.memberships(f, fleets); err == nil && s.Expected {
		s.LaggingSince, err = r.laggingSince(f)
	}
	return s, true, err
}

// Summarize returns the summary of an object of the hub but a Cluster. Of a Fleet it is without its clusters; see
// Summary.WithMembers. If the object does not exist, Summarize returns false.
func (r *Reader) Summarize(key api.Key) (Summary, bool, error) {
	r.withoutMembers = true
	f, ok, err := r.Read(key)
	if err == nil && !ok { // it may have been refused
		f.Resource.Key = key
		f.Condition, err = get(r, store.Conditions, key.Path())
	}
	switch {
	case err != nil || !ok && f.Condition == nil:
		return Summary{}, false, err
	case f.role() == api.FleetRole && f.Damaged == nil:
		s := f.summaryOf(f.hubVerdict())
		s.rollout, _ = f.rolloutVerdict()
		return s, true, nil
	}
	return f.summary(), true, nil
}

// WithMembers returns the summary of a Fleet from that of Summarize and the Fleet's members.
func (s Summary) WithMembers(members []*Member) Summary {
	if s.Ready != condition.True {
		return s
	}
	if len(members) == 0 {
		s.Ready, s.Reason = condition.False, condition.NoClusters
		return s
	}
	list := make([]finding, 0, len(members))
	for _, m := range members {
		list = append(list, m.worst)
	}
	v := verdict{ready: condition.True, reason: condition.ReconciliationSucceeded}
	if w, unready := worst(list); unready > 0 {
		v = w.verdict
	}
	if s.rollout.ready == condition.False || s.rollout.ready != "" && v.ready != condition.False {
		v = s.rollout
	}
	s.Ready, s.Reason = v.ready, v.reason
	return s
}

func (f Facts) summary() Summary { return f.summaryOf(f.verdict()) }

func (f Facts) summaryOf(v verdict) Summary {
	s := Summary{Key: f.Resource.Key, Ready: cmp.Or(v.ready, condition.Unknown), Reason: v.reason,
		Suspended: f.suspension() != nil, Held: f.Resource.Held}
	if f.Condition != nil {
		s.Revision, s.Held = f.Condition.Revision, s.Held || f.Condition.Held > 0
	}
	if f.Report != nil {
		s.Revision = f.Report.AppliedRevision
		s.Held = s.Held || f.Report.Reason == condition.RemovalHeld || f.Report.Reason == condition.PruneHeld
	}
	return s
}

// memberships returns what the Fleets that select a Cluster lead to there. The sources of the hub count as members do,
// as in fleetVerdict.
func (r *Reader) memberships(cluster Facts, fleets []store.Resource) (map[api.Key]*Member, error) {
	all := map[api.Key]*Member{}
	for _, row := range fleets {
		fleet, err := row.Object.Fleet()
		if err != nil {
			continue // the Fleet's own summary has the error
		}
		selected, err := fleet.Selects(api.ClusterLabels(cluster.Resource.Key.Name, cluster.Resource.Object.Labels()))
		if err != nil || !selected {
			continue
		}
		m, sources := cluster, map[api.Key]Facts{}
		m.Covered, m.Sources = nil, nil
		g, err := r.graph(cluster.Resource.Key.Name)
		if err == nil {
			err = r.below(row.Key, g, &m, sources)
		}
		if err == nil {
			err = r.addLeft(row.Key, g, &m)
		}
		if err != nil {
			return nil, err
		}
		list := []finding{{key: m.Resource.Key, verdict: m.memberVerdict()}}
		for _, source := range sources {
			list = append(list, source.finding(""))
		}
		w, unready := worst(list)
		if unready == 0 {
			w = list[0]
		}
		w.text, w.verdict.message = "", "" // so that the message is not kept
		all[row.Key] = &Member{w}
	}
	return all, nil
}

// laggingSince returns LaggingSince of a Cluster's summary.
func (r *Reader) laggingSince(f Facts) (since time.Time, err error) {
	if f.Pin != nil || f.suspension() != nil {
		return since, nil
	}
	note := func(at time.Time) {
		if since.IsZero() || at.Before(since) {
			since = at
		}
	}
	if f.Refusal != nil {
		note(f.Refusal.Since)
	}
	for _, object := range f.Covered {
		if object.role() != api.RenderableRole || object.Resource.Object == nil || object.suspended() {
			continue
		}
		a, _, err := r.newest(object)
		if err != nil {
			return since, err
		}
		if a != nil && (object.Entry == nil || object.Entry.Revision != a.Revision) {
			note(a.FetchedAt)
		}
	}
	at, err := r.unappliedSince(f)
	if !at.IsZero() {
		note(at)
	}
	return since, err
}

// unappliedSince returns when the first release was made that the spoke has not applied; zero if it has applied all.
func (r *Reader) unappliedSince(f Facts) (since time.Time, err error) {
	applied := f.Spoke.Acks[bundle.Applied]
	if healthy := f.Spoke.Acks[bundle.Healthy]; healthy.Newer(applied) {
		applied = healthy
	}
	keys, err := r.releases(f.Resource.Key.Name)
	for _, key := range slices.Backward(keys) {
		past, err := cached(r, r.pasts, store.History, key)
		if err != nil {
			return since, err
		}
		if past == nil {
			continue
		}
		if !past.Bundle.Newer(applied) {
			break
		}
		since = past.ReleasedAt
	}
	return since, err
}
