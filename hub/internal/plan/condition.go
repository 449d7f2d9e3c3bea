package plan

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/plan/graph"
	"github.com/navefleet/nave/hub/internal/store"
	"github.com/navefleet/nave/shared/condition"
	"github.com/navefleet/nave/shared/wording"
)

// conditions writes the conditions of the objects that the walk found, and deletes those of objects that are gone.
func (c *writer) conditions(w *walked) error {
	held := w.heldByOwner()
	for key, f := range w.graph.Findings {
		if _, there := w.graph.Nodes[key]; key.Cluster != w.cluster || there && key.Role() == api.SourceRole {
			continue // a Fleet's, written by fleets; a source's, written by fetch
		}
		f.Held = held[key]
		if err := c.condition(key, f, w.generation(key), w.requested(key)); err != nil {
			return err
		}
	}
	err := store.Conditions.Sizes(c.tx, w.cluster+"/", func(path string, _ int) error {
		if _, found := w.graph.Findings[pathKey(path)]; found {
			return nil
		}
		row, err := store.Resources.Bytes(c.tx, path)
		if err != nil || row != nil {
			return err
		}
		return store.Conditions.Delete(c.tx, path)
	})
	if err != nil || w.cluster == "" {
		return err
	}
	return c.cluster(w)
}

// cluster writes the condition of a Cluster.
func (c *writer) cluster(w *walked) error {
	key := api.ClusterKey(w.cluster)
	if ok, err := c.isOurs(key); err != nil || !ok {
		return err
	}
	f := graph.Finding{Ready: true, Reason: condition.Planned}
	f.Message = fmt.Sprintf("Planned %s from %s", wording.Count(len(w.entries), "application"),
		wording.Count(len(w.fleets), "Fleet"))
	if len(w.next.Undecided) > 0 {
		f.Message += fmt.Sprintf("; %s left and stay until all is built that may give them again",
			wording.Count(len(w.next.Undecided), "application"))
	}
	if len(w.fleets) == 0 {
		f.Message = "No Fleet selects this cluster: compare the Fleets' clusterSelector with its labels"
	}
	held := w.held()
	if len(held) > 0 {
		f.Ready, f.Reason = false, condition.RemovalHeld
		f.Message = fmt.Sprintf("The removal of %s is held: %s. Bring them back in Git, or run: nave confirm cluster %s",
			wording.Count(len(held), "object"), wording.List(held, len(held), 3), w.cluster)
	}
	if failed, reason := w.failures(); len(failed) > 0 {
		also := ""
		if len(held) > 0 {
			also = "; " + f.Message
		}
		f.Ready, f.Reason = false, reason
		f.Message = fmt.Sprintf("Failed: %s%s", wording.List(failed, len(failed), 3), also)
	}
	if w.bundleTooLarge != nil {
		// without the number of bytes, which changes with every revision and would be news each time
		f.Ready, f.Reason = false, condition.BundleTooLarge
		f.Message = fmt.Sprintf("%s are more than one bundle holds: let fewer of them render more. "+
			"The cluster keeps its last bundle", wording.Count(len(w.entries), "application"))
	}
	return c.hubCondition(key, f)
}

// failures returns the objects of the graph that failed and the errors of Fleets on this cluster, each in order, and
// the reason for all of them.
func (w *walked) failures() (failed []string, reason string) {
	for key, f := range w.graph.Findings {
		if !f.Ready && !f.Suspended && f.Reason != condition.RemovalHeld && key.Role() != api.FleetRole {
			failed, reason = append(failed, key.Local()), condition.BuildFailed
		}
	}
	slices.Sort(failed)
	for _, name := range slices.Sorted(maps.Keys(w.fleets)) {
		if err := w.fleets[name]; err != nil {
			failed, reason = append(failed, err.Error()), cmp.Or(reason, reasonOfFleet(err))
		}
	}
	return failed, reason
}

// isOurs reports whether a Cluster or a Fleet is there, and the hub's walk has nothing to say about it.
func (c *writer) isOurs(key api.Key) (bool, error) {
	s, changed := c.scopes[""]
	if !changed {
		s = c.planner.scopes[""]
	}
	if s != nil && s.refused[key] {
		return false, nil
	}
	row, err := store.Resources.Bytes(c.tx, key.Path())
	return row != nil, err
}

// fleets writes the conditions of the Fleets: how many clusters each selects, and on which it fails.
func (c *writer) fleets() error {
	selected, failed, reasons := map[string]int{}, map[string][]string{}, map[string]string{}
	for _, cluster := range names(c.planner.scopes) {
		for fleet, err := range c.planner.scopes[cluster].fleets {
			selected[fleet]++
			if err != nil {
				failed[fleet] = append(failed[fleet], err.Error())
				reasons[fleet] = cmp.Or(reasons[fleet], reasonOfFleet(err))
			}
		}
	}
	for name, err := range c.planner.hub.broken {
		failed[name] = append(failed[name], err.Error())
		reasons[name] = condition.Refused
	}
	for key := range c.planner.hub.rows {
		if key.Role() != api.FleetRole {
			continue
		}
		if ok, err := c.isOurs(key); err != nil {
			return err
		} else if !ok {
			continue
		}
		f := graph.Finding{Ready: true, Reason: condition.Selected, Message: "Selects " + wording.Count(selected[key.Name],
			"cluster")}
		if errs := slices.Compact(failed[key.Name]); len(errs) > 0 {
			f = graph.Finding{Reason: reasons[key.Name], Message: fmt.Sprintf("Fails on %d of %d clusters: %s",
				len(failed[key.Name]), selected[key.Name], wording.List(errs, len(errs), 3))}
		}
		if err := c.hubCondition(key, f); err != nil {
			return err
		}
	}
	return nil
}

// hubCondition writes the condition of a Cluster or a Fleet.
func (c *writer) hubCondition(key api.Key, f graph.Finding) error {
	row := c.planner.hub.rows[key]
	return c.condition(key, f, row.Generation, row.RequestedAt)
}

// condition writes the condition of an object as the walk read it, and an event if the condition changed.
func (c *writer) condition(key api.Key, f graph.Finding, generation int64, requested string) error {
	path := key.Path()
	old, was, err := store.Conditions.Get(c.tx, path)
	if err != nil {
		return err
	}
	if f.Suspended && was { // the last word from before the suspension stays
		old.ObservedGeneration = generation
		return store.Conditions.Put(c.tx, path, old)
	}
	o := store.Condition{
		ObservedGeneration: generation, Ready: readyOf(f), Reason: f.Reason, Message: f.Message,
		Revision: f.Revision, Attempted: f.Attempted, HandledRequest: requested, Held: f.Held,
	}.After(old, c.start)
	if err := store.Conditions.Put(c.tx, path, o); err != nil {
		return err
	}
	return c.event(key, old, o)
}

func readyOf(f graph.Finding) string {
	switch {
	case f.Suspended:
		return condition.Unknown
	case f.Ready:
		return condition.True
	}
	return condition.False
}

// event records what is news in a Condition.
func (c *writer) event(key api.Key, old, now store.Condition) error {
	if now.Reason == condition.RemovalHeld && key.Role() != api.ClusterRole && key.Role() != api.FleetRole {
		return nil // the Cluster has one event of all of them
	}
	e, ok := now.EventAfter(old, key, c.start)
	if !ok {
		return nil
	}
	return store.Record(c.tx, e)
}
