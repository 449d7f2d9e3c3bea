// Package release decides which part of a Plan may be released now. It asks the rollouts of the plan's Fleets (package
// rollout). It is a function of values; package publish reads the rows before, and writes them after.
//
// Content waits for the rollout of its Fleet. Control takes effect at once: a held Fleet never delays a suspension, a
// request or a confirmation.
package release

import (
	"encoding/json"
	"maps"
	"slices"
	"time"

	"github.com/navefleet/nave/hub/internal/rollout"
	"github.com/navefleet/nave/hub/internal/store"
	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/manifest"
)

// Cluster is a cluster whose plan may differ from its release.
type Cluster struct {
	Name string
	Plan store.Plan
	Last store.Release // zero: there was no release yet
	Pin  *store.Pin    // nil: the cluster is not pinned
	// Applied: the spoke has applied the bundle of the last release.
	Applied bool
}

// Round decides about the clusters of one round of package publish. It asks the rollout of a Fleet once, at the first
// cluster for which the Fleet's content changed. A Round is for one goroutine.
type Round struct {
	Now        time.Time
	Strategies map[string]rollout.Strategy // by Fleet; all clusters of a Fleet without one move at once
	// Members returns every cluster of a Fleet, by MemberOf and sorted by name. Members may be expensive. It is called
	// only for a Fleet with a strategy.
	Members func(fleet string) ([]rollout.Member, error)

	decided map[string]rollout.Decision // by Fleet
}

// Next returns the next release of a cluster. The error is that of Members.
func (r *Round) Next(c Cluster) (store.Release, error) {
	if c.Pin != nil {
		return pinned(c), nil
	}
	held := map[string]bool{}
	for _, fleet := range changed(c) {
		d, err := r.decide(fleet)
		if err != nil {
			return store.Release{}, err
		}
		if !d.Moves(c.Name) {
			held[fleet] = true
		}
	}
	if len(held) == 0 {
		return remove(c, compose(c.Plan, c.Last, nil)), nil
	}
	return remove(c, compose(c.Plan, c.Last, func(fleet string) bool { return held[fleet] })), nil
}

func (r *Round) decide(fleet string) (rollout.Decision, error) {
	if d, ok := r.decided[fleet]; ok {
		return d, nil
	}
	d, err := rollout.Next(rollout.Input{
		Fleet: fleet, Strategy: r.Strategies[fleet], Now: r.Now,
		Members: func() ([]rollout.Member, error) { return r.Members(fleet) },
	})
	if err != nil {
		return d, err
	}
	if r.decided == nil {
		r.decided = map[string]rollout.Decision{}
	}
	r.decided[fleet] = d
	return d, nil
}

// MemberOf returns a cluster as a member of a Fleet. If neither the plan nor the release of the cluster has content of
// the Fleet, MemberOf returns false.
func MemberOf(fleet string, c Cluster) (rollout.Member, bool) {
	m := rollout.Member{
		Cluster: c.Name, Released: digestOf(fleet, c.Last.Applications), Planned: digestOf(fleet, c.Plan.Applications),
	}
	return m, m.Waits() || !m.Planned.IsZero()
}

// changed returns the Fleets whose content in the plan differs from the release.
func changed(c Cluster) []string {
	fleets := map[string]bool{}
	last := byName(c.Last.Applications)
	for _, e := range c.Plan.Applications {
		if was, ok := last[e.Name]; !ok || was.Content != e.Content {
			fleets[e.Fleet], fleets[was.Fleet] = true, true
		}
		delete(last, e.Name)
	}
	for _, gone := range last {
		fleets[gone.Fleet] = true
	}
	delete(fleets, "") // content of no Fleet is released at once
	return slices.Collect(maps.Keys(fleets))
}

func byName(entries []store.Entry) map[bundle.ApplicationName]store.Entry {
	all := make(map[bundle.ApplicationName]store.Entry, len(entries))
	for _, e := range entries {
		all[e.Name] = e
	}
	return all
}

// digestOf returns the digest over the content that a Fleet gives. If the Fleet gives none, digestOf returns zero.
func digestOf(fleet string, entries []store.Entry) manifest.Digest {
	var given []store.Content
	for _, e := range entries {
		if e.Fleet == fleet {
			given = append(given, e.Content)
		}
	}
	if given == nil {
		return manifest.Digest{}
	}
	data, _ := json.Marshal(given) // strings only: there is no error to have
	return manifest.DigestOf(data)
}

// compose returns the plan, with the content of the held Fleets as it was released last; a nil held holds none.
// Applications of a held Fleet that were not released yet are left out, and those that were released are not removed.
func compose(plan store.Plan, last store.Release, held func(fleet string) bool) store.Release {
	r := store.Release{
		Applications: plan.Applications, Pending: plan.Pending, Incomplete: plan.Incomplete, Removals: plan.Removals,
		Handovers: plan.Handovers, Questions: plan.Questions, ChangedAt: plan.ChangedAt,
	}
	if held == nil {
		return r
	}
	r.Applications = nil
	released, kept := byName(last.Applications), map[bundle.ApplicationName]bool{}
	for _, e := range plan.Applications {
		was, ok := released[e.Name]
		if waits := held(e.Fleet) || held(was.Fleet); waits && !ok {
			continue
		} else if waits {
			e.Content, e.KeepsObjects = was.Content, was.KeepsObjects
		}
		r.Applications, kept[e.Name] = append(r.Applications, e), true
	}
	for _, was := range last.Applications {
		if held(was.Fleet) && !kept[was.Name] {
			r.Applications, kept[was.Name] = append(r.Applications, was), true
		}
	}
	slices.SortFunc(r.Applications, func(a, b store.Entry) int { return a.Name.Compare(b.Name) })
	r.Pending = slices.DeleteFunc(slices.Clone(r.Pending), func(n bundle.ApplicationName) bool { return kept[n] })
	r.Removals = slices.DeleteFunc(slices.Clone(r.Removals), func(m bundle.Removal) bool { return kept[m.Name] })
	return r
}
