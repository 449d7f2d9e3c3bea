package plan

import (
	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/store"
	"github.com/navefleet/nave/shared/condition"
	"github.com/navefleet/nave/shared/manifest"
)

// freeze keeps the last plan of a suspended cluster. The graph is not walked: changes in Git and of Fleets are found
// when the cluster is resumed. Suspensions of single objects still reach the spoke.
func (p *Planner) freeze(w *walked) {
	w.frozen, w.fleets = true, map[string]error{}
	c := p.hub.clusters[w.cluster]
	w.drift = p.hub.driftDefaults(c)
	for name := range p.hub.fleets {
		if p.hub.selects(name, c) {
			w.fleets[name] = nil
		}
	}
	for _, e := range w.last.Applications {
		key := w.keyOf(e.Name)
		e.Drift = w.driftMode(w.rows[key].Object, e.Fleet)
		e.Suspended = c.Spec.StopRepair || w.isSuspended(key, p.hub)
		w.entries = append(w.entries, compiled{key: key, entry: e})
	}
	w.next = w.last
	w.next.Applications = w.applications()
}

// isSuspended reports whether the row of a renderable, or the Fleet that the renderable comes from, is suspended.
func (w *walked) isSuspended(key api.Key, h *hub) bool {
	suspended := func(k api.Key) bool {
		row, here := w.rows[k]
		if !here {
			row = h.rows[k]
		}
		return row.IsSuspended()
	}
	return api.IsSuspended(key, suspended, func(k api.Key) *api.Key { return w.rows[k].GivenBy() })
}

// freeze writes the plan of a suspended cluster, in which the suspension of an object may have changed, and the
// condition of the Cluster with its observed generation.
func (c *writer) freeze(w *walked) error {
	s := *c.planner.known(w.cluster)
	s.fleets, s.rows = w.fleets, map[string]manifest.Digest{}
	for key, r := range w.rows {
		s.rows[key.Path()] = digestOfRow(r)
	}
	c.scopes[w.cluster] = &s
	if err := c.withdrawn(w); err != nil {
		return err
	}
	if !w.last.ChangedAt.IsZero() { // else it was never planned
		if err := store.Plans.Put(c.tx, w.cluster, w.plan(c.start)); err != nil {
			return err
		}
	}
	key := api.ClusterKey(w.cluster)
	o, was, err := store.Conditions.GetIntact(c.tx, key.Path())
	if err != nil {
		return err
	}
	if !was {
		o = store.Condition{Ready: condition.True, Reason: condition.Suspended, Message: "Suspended before it was planned"}
	}
	o.Frozen = true
	return c.hubCondition(key, o)
}
