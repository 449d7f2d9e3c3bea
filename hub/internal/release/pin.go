package release

import (
	"slices"

	"github.com/navefleet/nave/hub/internal/store"
	"github.com/navefleet/nave/shared/bundle"
)

// pinned returns the release of a pinned cluster: the pinned content, with the control of the plan. Applications that
// the pin does not have stay as they were released last, and so do objects that a pinned application has gained since.
// Nothing is removed or handed over, and nothing is added, until the pin is deleted.
func pinned(c Cluster) store.Release {
	last := store.Release{}
	restored := slices.Clone(c.Last.Restored)
	has := map[bundle.ApplicationName]bool{}
	for _, content := range c.Pin.Applications {
		has[content.Name] = true
		last.Applications = append(last.Applications, store.Entry{Content: content})
		if !slices.Contains(restored, content.Name) {
			restored = append(restored, content.Name)
		}
	}
	for _, e := range c.Last.Applications {
		if !has[e.Name] {
			last.Applications = append(last.Applications, e)
		}
	}
	r := compose(c.Plan, last, func(string) bool { return true })
	r.Removals, r.Handovers = nil, nil
	for i := range r.Applications {
		r.Applications[i].KeepsObjects = true
	}
	r.Restored = slices.DeleteFunc(restored, func(name bundle.ApplicationName) bool { return decides(c.Plan, name) })
	return r
}

// remove adds to a release the removals of the applications that an earlier pin or rollback restored, until the spoke
// has applied them. Those that the release still has stay.
func remove(c Cluster, r store.Release) store.Release {
	has := byName(r.Applications)
	for _, name := range c.Last.Restored {
		if _, stays := has[name]; stays && !decides(c.Plan, name) {
			if !slices.Contains(r.Restored, name) {
				r.Restored = append(r.Restored, name)
			}
			continue
		}
		done := c.Applied && slices.ContainsFunc(c.Last.Removals, func(m bundle.Removal) bool { return m.Name == name })
		if done || decides(c.Plan, name) {
			continue
		}
		r.Restored = append(r.Restored, name)
		if c.Plan.Incomplete { // the plan may not know the application yet
			continue
		}
		r.Removals = append(slices.Clone(r.Removals), bundle.Removal{Name: name, Policy: bundle.MirrorPrune})
	}
	if len(r.Restored) > 0 {
		slices.SortFunc(r.Removals, func(a, b bundle.Removal) int { return a.Name.Compare(b.Name) })
	}
	return r
}

// decides reports whether a plan says what becomes of an application.
func decides(plan store.Plan, name bundle.ApplicationName) bool {
	removes := func(m bundle.Removal) bool { return m.Name == name }
	return slices.ContainsFunc(plan.Applications, func(e store.Entry) bool { return e.Name == name }) ||
		slices.Contains(plan.Pending, name) || slices.ContainsFunc(plan.Removals, removes) ||
		slices.ContainsFunc(plan.Undecided, removes)
}
