// Package release says which part of a Plan may go out now: what the rollouts of its Fleets (package rollout) let
// through. It is a function of values; package publish reads and writes the rows, in the transaction that signs.
//
// Content waits for the rollout of its Fleet. Control takes effect at once: a Fleet that is held never delays a
// suspension, a request or a confirmation.
package release

import (
	"cmp"
	"encoding/json"
	"fmt"
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
	Last store.Release // zero: nothing was released yet
}

// Next returns the releases of the clusters, in the same order.
func Next(clusters []Cluster, now time.Time) ([]store.Release, error) {
	waiting := map[string][]rollout.Member{} // by Fleet
	for _, c := range clusters {
		for _, fleet := range changed(c) {
			m := rollout.Member{Cluster: c.Name}
			var err error
			if m.Planned, err = digestOf(fleet, c.Plan.Applications); err == nil {
				m.Released, err = digestOf(fleet, c.Last.Applications)
			}
			if err != nil {
				return nil, fmt.Errorf("release to cluster %s: %w", c.Name, err)
			}
			waiting[fleet] = append(waiting[fleet], m)
		}
	}
	held := map[string]map[string]bool{} // by cluster and Fleet
	for _, fleet := range slices.Sorted(maps.Keys(waiting)) {
		members := slices.SortedFunc(slices.Values(waiting[fleet]),
			func(a, b rollout.Member) int { return cmp.Compare(a.Cluster, b.Cluster) })
		d := rollout.Next(rollout.Input{Fleet: fleet, Waiting: members, Now: now})
		for _, m := range members {
			if _, moves := slices.BinarySearch(d.Move, m.Cluster); moves {
				continue
			}
			if held[m.Cluster] == nil {
				held[m.Cluster] = map[string]bool{}
			}
			held[m.Cluster][fleet] = true
		}
	}
	releases := make([]store.Release, len(clusters))
	for i, c := range clusters {
		releases[i] = compose(c.Plan, c.Last, held[c.Name])
	}
	return releases, nil
}

// changed returns the Fleets whose content in the plan is not what was released.
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
	delete(fleets, "") // what no Fleet gives goes out at once
	return slices.Collect(maps.Keys(fleets))
}

func byName(entries []store.Entry) map[bundle.ApplicationName]store.Entry {
	all := make(map[bundle.ApplicationName]store.Entry, len(entries))
	for _, e := range entries {
		all[e.Name] = e
	}
	return all
}

// digestOf returns the digest over the content that a Fleet gives; zero if it gives none.
func digestOf(fleet string, entries []store.Entry) (manifest.Digest, error) {
	var given []store.Content
	for _, e := range entries {
		if e.Fleet == fleet {
			given = append(given, e.Content)
		}
	}
	if given == nil {
		return manifest.Digest{}, nil
	}
	data, err := json.Marshal(given)
	return manifest.DigestOf(data), err
}

// compose returns the plan, but for the content of the Fleets that are held: that stays as it was released last. What
// was not released yet is left out, and what was is not removed.
func compose(plan store.Plan, last store.Release, held map[string]bool) store.Release {
	r := store.Release{
		Applications: plan.Applications, Pending: plan.Pending, Incomplete: plan.Incomplete, Removals: plan.Removals,
		ChangedAt: plan.ChangedAt,
	}
	if len(held) == 0 {
		return r
	}
	r.Applications = nil
	released, kept := byName(last.Applications), map[bundle.ApplicationName]bool{}
	for _, e := range plan.Applications {
		was, ok := released[e.Name]
		if waits := held[e.Fleet] || held[was.Fleet]; waits && !ok {
			continue
		} else if waits {
			e.Content = was.Content
		}
		r.Applications, kept[e.Name] = append(r.Applications, e), true
	}
	for _, was := range last.Applications {
		if held[was.Fleet] && !kept[was.Name] {
			r.Applications, kept[was.Name] = append(r.Applications, was), true
		}
	}
	slices.SortFunc(r.Applications, func(a, b store.Entry) int { return a.Name.Compare(b.Name) })
	r.Pending = slices.DeleteFunc(slices.Clone(r.Pending), func(n bundle.ApplicationName) bool { return kept[n] })
	r.Removals = slices.DeleteFunc(slices.Clone(r.Removals), func(m bundle.Removal) bool { return kept[m.Name] })
	return r
}
