package plan

import (
	"context"
	"maps"
	"slices"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/store"
	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/manifest"
)

// keptPlan returns the plan of a cluster whose next plan fits into no bundle: the last plan with the Control that the
// walk gives its applications (suspensions, requests, confirmed prunes, drift modes), and without the applications that
// an operator lets go, as far as nothing that stays needs them. If the last plan does not fit with these changes, it
// stays as it is.
func (p *Planner) keptPlan(ctx context.Context, w *walked) store.Plan {
	w.letGo = p.departing(ctx, w)
	control := map[bundle.ApplicationName]store.Control{}
	for _, c := range w.entries {
		control[c.entry.Name] = c.entry.Control
	}
	kept := w.last
	kept.Applications, kept.Removals = nil, w.keptRemovals()
	for _, e := range w.last.Applications {
		if w.letGo[e.Name] {
			continue
		}
		now, here := control[e.Name]
		if !here {
			now = e.Control
			now.Suspended = w.isSuspended(w.keyOf(e.Name), p.hub)
		}
		e.Control = now
		kept.Applications = append(kept.Applications, e)
	}
	kept.Handovers = slices.DeleteFunc(slices.Clone(kept.Handovers), func(h bundle.Handover) bool { return w.letGo[h.To] })
	if bundle.FitsBundle(bundleOf(kept)) != nil {
		w.letGo = nil
		return w.last
	}
	return kept
}

// keptRemovals returns the removals of the kept plan, sorted: those of the last plan that the spoke has not carried
// out, and those that an operator confirmed since. It adds the latter to w.letGo.
func (w *walked) keptRemovals() (all []bundle.Removal) {
	next, last := map[bundle.ApplicationName]bundle.Removal{}, map[bundle.ApplicationName]bool{}
	for _, r := range w.next.Removals {
		next[r.Name] = r
	}
	for _, r := range w.last.Removals {
		now, stays := next[r.Name]
		last[r.Name] = true
		switch {
		case stays:
			all = append(all, now)
		case !w.carriedOut[r.Name]:
			all = append(all, r)
		}
	}
	planned := func(n bundle.ApplicationName) bool {
		return slices.Contains(w.last.Pending, n) ||
			slices.ContainsFunc(w.last.Applications, func(e store.Entry) bool { return e.Name == n })
	}
	for _, r := range w.next.Removals {
		switch {
		case !r.Confirmed:
		case last[r.Name]:
			w.letGo[r.Name] = true
		case w.letGo[r.Name] || !planned(r.Name): // only the spoke knows it
			w.letGo[r.Name] = true
			all = append(all, r)
		}
	}
	slices.SortFunc(all, func(a, b bundle.Removal) int { return a.Name.Compare(b.Name) })
	return all
}

// departing returns the applications of the last plan that an operator lets go and that nothing needs: no application
// that the next plan gives has one of their objects, because that one is not released and could not take the object
// over; and no application that stays waits for them, because the spoke repairs nothing that waits and deletes nothing
// that others wait for.
func (p *Planner) departing(ctx context.Context, w *walked) map[bundle.ApplicationName]bool {
	gone := map[bundle.ApplicationName]bool{}
	for _, r := range w.next.Removals {
		if r.Confirmed && slices.ContainsFunc(w.last.Applications, func(e store.Entry) bool { return e.Name == r.Name }) {
			gone[r.Name] = true
		}
	}
	if len(gone) == 0 {
		return gone
	}
	apps := map[bundle.ApplicationName]*bundle.Application{}
	for _, e := range w.last.Applications {
		app, err := p.planned(ctx, w, e.Digest)
		if err != nil {
			clear(gone) // nobody knows what it needs
			return gone
		}
		apps[e.Name] = app
	}
	given := p.given(ctx, w)
	maps.DeleteFunc(gone, func(name bundle.ApplicationName, _ bool) bool {
		return slices.ContainsFunc(apps[name].Objects, func(o bundle.ObjectReference) bool { return given[o.ID()] })
	})
	for again := true; again; {
		before := len(gone)
		maps.DeleteFunc(gone, func(name bundle.ApplicationName, _ bool) bool { return w.isNeeded(name, gone, apps) })
		again = len(gone) < before
	}
	return gone
}

// given returns the objects that the applications of the walk have, or are going to have.
func (p *Planner) given(ctx context.Context, w *walked) map[manifest.ID]bool {
	given := map[manifest.ID]bool{}
	for id := range w.graph.Expected {
		given[id] = true
	}
	for _, app := range w.graph.Applications {
		for _, id := range p.idsOf(ctx, w, app) {
			given[id] = true
		}
	}
	return given
}

// isNeeded reports whether an application that stays comes from one that goes, depends on it, or depends on one that is
// not ready without it.
func (w *walked) isNeeded(name bundle.ApplicationName, gone map[bundle.ApplicationName]bool,
	apps map[bundle.ApplicationName]*bundle.Application) bool {
	unready := map[bundle.ApplicationName]bool{name: true}
	waits := func(on bundle.ApplicationName) bool { return unready[on] }
	for before := 0; before < len(unready); {
		before = len(unready)
		for stays, app := range apps {
			switch {
			case gone[stays]:
			case w.isGivenBy(stays, name) || slices.ContainsFunc(app.DependsOn, waits):
				return true
			case slices.ContainsFunc(app.HealthChecks, func(o bundle.ObjectIdentity) bool {
				return unready[bundle.ApplicationName{Kind: o.Kind, Namespace: o.Namespace, Name: o.Name}]
			}):
				unready[stays] = true
			}
		}
	}
	return false
}

// isGivenBy reports whether a renderable comes from another one.
func (w *walked) isGivenBy(name, by bundle.ApplicationName) bool {
	key := w.keyOf(name)
	owner := w.rows[key].Owner
	if n, here := w.graph.Nodes[key]; here {
		owner = n.Owner
	}
	return owner != nil && owner.Role() == api.RenderableRole && owner.Application() == by
}

// leaves reports whether an object goes with an application that an operator lets go, although the last plan stays.
func (w *walked) leaves(key api.Key) bool {
	for range len(w.rows) + 1 { // at most, in case the owners form a circle
		if key.Role() == api.RenderableRole && w.letGo[key.Application()] {
			return true
		}
		owner := w.rows[key].Owner
		if owner == nil {
			return false
		}
		key = *owner
	}
	return false
}
