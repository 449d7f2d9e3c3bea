// Package release decides which part of a Plan may be released now, from the turns of its cluster in the rollouts of
// Fleets. It is a function of values; package publish reads the rows before, and writes them after.
//
// Content waits for the rollout of its Fleet. Control takes effect at once: a held Fleet never delays a suspension, a
// request or a confirmation.
package release

import (
	"encoding/json"
	"maps"
	"slices"

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
	// Turns has the turn of the cluster in each Fleet with a rollout; a zero one if there is none yet. Content of other
	// Fleets is released at once.
	Turns map[string]store.Turn
	// Applied: the spoke has applied the bundle of the last release.
	Applied bool
}

// Next returns the next release of a cluster.
func Next(c Cluster) store.Release {
	if c.Pin != nil {
		return pinned(c)
	}
	held := map[string]bool{}
	for _, fleet := range changed(c) {
		if turn, paced := c.Turns[fleet]; paced && !lets(turn, c, fleet) {
			held[fleet] = true
		}
	}
	restoring := map[string]bool{}
	for fleet, turn := range c.Turns {
		if isRestoring(turn) {
			held[fleet], restoring[fleet] = true, true
		}
	}
	if len(held) == 0 {
		return remove(c, compose(c.Plan, c.Last, nil))
	}
	last, restored := restore(c, restoring)
	r := compose(c.Plan, last, func(fleet string) bool { return held[fleet] })
	r.Restored = restored
	return remove(c, r)
}

// lets reports whether a cluster may take up what its plan has of a Fleet: its turn is about just this content, or the
// content is what the cluster has.
func lets(turn store.Turn, c Cluster, fleet string) bool {
	planned := DigestOf(fleet, c.Plan.Applications)
	return planned == DigestOf(fleet, c.Last.Applications) || !turn.Offered.IsZero() && turn.Target == planned
}

// isRestoring reports whether a cluster gets back what it had.
func isRestoring(turn store.Turn) bool {
	return (turn.State == rollout.ClusterRestoring || turn.State == rollout.ClusterRestored) && len(turn.Before) > 0
}

// restore returns the last release, with what some Fleets gave before it. As with a pin, newer applications and objects
// stay. restored names the applications that the plan knows nothing about.
func restore(c Cluster, fleets map[string]bool) (last store.Release, restored []bundle.ApplicationName) {
	has := map[bundle.ApplicationName]bool{}
	for fleet := range fleets {
		for _, content := range c.Turns[fleet].Before {
			has[content.Name] = true
			e := store.Entry{Content: content}
			e.KeepsObjects = true
			last.Applications = append(last.Applications, e)
			if !decides(c.Plan, content.Name) {
				restored = append(restored, content.Name)
			}
		}
	}
	for _, e := range c.Last.Applications {
		if !has[e.Name] {
			e.KeepsObjects = e.KeepsObjects || fleets[e.Fleet]
			last.Applications = append(last.Applications, e)
		}
	}
	slices.SortFunc(restored, bundle.ApplicationName.Compare)
	return last, restored
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

// DigestOf returns the digest over the content that a Fleet gives: the applications and their digests. If the Fleet
// gives none, DigestOf returns zero.
func DigestOf(fleet string, entries []store.Entry) manifest.Digest {
	var given []store.Content
	for _, e := range entries {
		if e.Fleet == fleet {
			given = append(given, e.Content)
		}
	}
	return ContentDigest(given)
}

// ContentDigest returns the digest over content, and zero if there is none. A revision that changes no application does
// not change the digest.
func ContentDigest(content []store.Content) manifest.Digest {
	if len(content) == 0 {
		return manifest.Digest{}
	}
	type part struct {
		Name   bundle.ApplicationName
		Digest manifest.Digest
	}
	parts := make([]part, len(content))
	for i, c := range content {
		parts[i] = part{c.Name, c.Digest}
	}
	data, _ := json.Marshal(parts) // strings only: there is no error to have
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
