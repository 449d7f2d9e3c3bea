package plan

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/plan/graph"
	"github.com/navefleet/nave/hub/internal/store"
	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/condition"
	"github.com/navefleet/nave/shared/wording"
)

// conditions writes the conditions of the objects that the walk found, and deletes those of objects that do not exist
// any more.
func (c *writer) conditions(w *walked) error {
	held, unreleased := w.heldByOwner(), w.unreleased()
	for key, f := range w.graph.Findings {
		if _, there := w.graph.Nodes[key]; key.Cluster != w.cluster || there && key.Role() == api.SourceRole {
			continue // a Fleet's, written by fleets; a source's, written by fetch
		}
		if last, is := unreleased[key]; is && f.Ready && !f.Suspended {
			f = w.unreleasedFinding(f, last)
		}
		err := c.condition(key, store.Condition{
			ObservedGeneration: w.generation(key), Ready: readyOf(f), Reason: f.Reason, Message: f.Message,
			Revision: f.Revision, Attempted: f.Attempted, HandledRequest: w.handled(key), Held: held[key],
			Origin: w.originOf(key, f.Revision), Notice: f.Notice, NotYet: f.NotYet,
		})
		if err != nil {
			return err
		}
	}
	if err := c.dropConditions(w); err != nil || w.cluster == "" {
		return err
	}
	o := w.condition()
	if err := c.hubCondition(api.ClusterKey(w.cluster), o); err != nil || o.Reason == condition.RemovalHeld {
		return err
	}
	return c.recordHeld(w)
}

// unreleased returns the renderables whose Applications differ from those of the last plan, which stays because no
// bundle holds the next one. The values are the last revisions; empty: there is none.
func (w *walked) unreleased() map[api.Key]string {
	if w.bundleTooLarge == nil {
		return nil
	}
	last := map[bundle.ApplicationName]store.Content{}
	for _, e := range w.last.Applications {
		last[e.Name] = e.Content
	}
	revisions := map[api.Key]string{}
	for _, c := range w.entries {
		if was := last[c.entry.Name]; was.Digest != c.entry.Digest || was.Revision != c.entry.Revision {
			revisions[c.key] = was.Revision
		}
	}
	return revisions
}

// unreleasedFinding returns the finding about a renderable that is rendered and not released. last is its last
// revision.
func (w *walked) unreleasedFinding(f graph.Finding, last string) graph.Finding {
	f.Message = fmt.Sprintf("What revision %s renders is not released: %s of cluster %s, more than one bundle holds",
		f.Revision, wording.Count(len(w.entries), "application"), w.cluster)
	f.Ready, f.Reason, f.Revision = false, condition.BundleTooLarge, last
	return f
}

// recordHeld records the event of removals that this walk is the first to hold. The condition of the Cluster is about
// another failure, so that its own event has another reason.
func (c *writer) recordHeld(w *walked) error {
	for key, f := range w.graph.Findings {
		if f.Reason == condition.RemovalHeld && !w.rows[key].Held {
			return store.Record(c.tx, store.Event{Time: c.start, Object: api.ClusterKey(w.cluster),
				Type: condition.Warning, Reason: condition.RemovalHeld, Message: w.heldBack(w.held())})
		}
	}
	return nil
}

// dropConditions deletes the conditions of objects that do not exist any more. It looks at all conditions of the graph,
// but not at those of the hub's graph, which has an object for each cluster: there it looks only at objects whose rows
// left since the last walk, and at those that the last walk refused before they became rows.
func (c *writer) dropConditions(w *walked) error {
	last := c.planner.scopes[w.cluster]
	if w.cluster != "" || last == nil {
		return store.Conditions.Sizes(c.tx, store.OfCluster(w.cluster), func(path string, _ int) error {
			return c.dropCondition(w, pathKey(path))
		})
	}
	gone := maps.Clone(last.rowless)
	maps.Copy(gone, c.planner.hub.left)
	for key, row := range w.written {
		if row == nil {
			gone[key] = true
		}
	}
	for key := range gone {
		if err := c.dropCondition(w, key); err != nil {
			return err
		}
	}
	return nil
}

// dropCondition deletes the condition of an object, unless the object has a finding of the walk or a row.
func (c *writer) dropCondition(w *walked, key api.Key) error {
	if _, found := w.graph.Findings[key]; found {
		return nil
	}
	row, err := store.Resources.Bytes(c.tx, key.Path())
	if err != nil || row != nil {
		return err
	}
	return store.Conditions.Delete(c.tx, key.Path())
}

// originOf returns what the artifact was made from that a renderable was rendered from at a revision.
func (w *walked) originOf(key api.Key, revision string) string {
	if a := w.artifacts[key]; a != nil && a.Revision == revision {
		return a.Origin.Revision
	}
	return ""
}

// condition returns the condition of the Cluster. Of several failures the one that stops most comes first.
func (w *walked) condition() store.Condition {
	failed, waiting, reason := w.failures()
	held := w.held()
	switch {
	case w.bundleTooLarge != nil:
		// without the number of bytes: it changes with every revision, and each time there would be an event
		return store.Condition{Ready: condition.False, Reason: condition.BundleTooLarge, Message: fmt.Sprintf(
			"one bundle does not hold %s: let fewer of them render more. The cluster keeps its last bundle",
			wording.Count(len(w.entries), "application"))}
	case len(failed) > 0:
		message := "Failed: " + wording.List(failed, len(failed), 3)
		if len(held) > 0 {
			message += "; " + w.heldBack(held)
		}
		return store.Condition{Ready: condition.False, Reason: reason, Message: message}
	case len(held) > 0:
		return store.Condition{Ready: condition.False, Reason: condition.RemovalHeld, Message: w.heldBack(held)}
	case len(waiting) > 0:
		return store.Condition{Ready: condition.False, Reason: condition.Progressing, NotYet: true,
			Message: "Waiting: " + wording.List(waiting, len(waiting), 3)}
	case len(w.fleets) == 0:
		return store.Condition{Ready: condition.True, Reason: condition.Planned,
			Message: "No Fleet selects this cluster: compare the Fleets' clusterSelector with its labels"}
	}
	message := fmt.Sprintf("Planned %s from %s", wording.Count(len(w.entries), "application"),
		wording.Count(len(w.fleets), "Fleet"))
	if n := len(w.next.Undecided); n > 0 {
		message += fmt.Sprintf("; %s that left stay until each Kustomization that may give them again is built",
			wording.Count(n, "application"))
	}
	return store.Condition{Ready: condition.True, Reason: condition.Planned, Message: message}
}

// heldBack returns the message about applications whose removal is held.
func (w *walked) heldBack(held []string) string {
	return fmt.Sprintf("The removal of %s is held: %s. Bring them back in Git, or run: nave confirm cluster %s",
		wording.Count(len(held), "application"), wording.List(held, len(held), 3), w.cluster)
}

// failures returns the objects of the graph that failed and the errors of Fleets on this cluster, each in order, and
// the reason for all of them. Objects that only wait are among those that failed if any did; else they are waiting.
func (w *walked) failures() (failed, waiting []string, reason string) {
	for key, f := range w.graph.Findings {
		switch {
		case f.Ready || f.Suspended || f.Reason == condition.RemovalHeld || key.Role() == api.FleetRole:
		case f.NotYet:
			waiting = append(waiting, key.Local())
		default:
			failed, reason = append(failed, key.Local()), condition.BuildFailed
		}
	}
	if len(failed) > 0 {
		failed, waiting = append(failed, waiting...), nil
	}
	slices.Sort(failed)
	slices.Sort(waiting)
	for _, name := range slices.Sorted(maps.Keys(w.fleets)) {
		if err := w.fleets[name]; err != nil {
			failed, reason = append(failed, err.Error()), cmp.Or(reason, reasonOfFleet(err))
		}
	}
	return failed, waiting, reason
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
		failed[name], reasons[name] = append(failed[name], err.Error()), condition.Refused
	}
	for key := range c.planner.hub.rows {
		if key.Role() != api.FleetRole {
			continue
		}
		n, errs := selected[key.Name], failed[key.Name]
		o := store.Condition{Ready: condition.True, Reason: condition.Selected,
			Message: "Selects " + wording.Count(n, "cluster")}
		if each := slices.Compact(errs); len(each) > 0 {
			o = store.Condition{Ready: condition.False, Reason: reasons[key.Name], Message: fmt.Sprintf(
				"Fails on %d of %d clusters: %s", len(errs), n, wording.List(each, len(each), 3))}
		}
		if err := c.hubCondition(key, o); err != nil {
			return err
		}
	}
	return nil
}

// hubCondition writes the condition of a Cluster or a Fleet. If the object does not exist any more, or the hub's own
// walk refused it, hubCondition writes no condition.
func (c *writer) hubCondition(key api.Key, o store.Condition) error {
	s, changed := c.scopes[""]
	if !changed {
		s = c.planner.scopes[""]
	}
	if s != nil && s.refused[key] {
		return nil
	}
	if stored, err := store.Resources.Bytes(c.tx, key.Path()); err != nil || stored == nil {
		return err
	}
	row := c.planner.hub.rows[key]
	o.ObservedGeneration, o.HandledRequest = row.Generation, row.Requested()
	return c.condition(key, o)
}

// condition writes the condition of an object as the walk read it, and records an event if the condition changed.
func (c *writer) condition(key api.Key, o store.Condition) error {
	path := key.Path()
	old, was, err := store.Conditions.GetIntact(c.tx, path)
	if err != nil {
		return err
	}
	if o.Ready == condition.Unknown && was { // suspended: the last condition from before stays
		old.ObservedGeneration = o.ObservedGeneration
		return store.Conditions.Put(c.tx, path, old)
	}
	o = o.After(old, c.start)
	if err := store.Conditions.Put(c.tx, path, o); err != nil {
		return err
	}
	if isOfCluster(o, old) && key.Role() != api.ClusterRole && key.Role() != api.FleetRole {
		return nil // one event of the Cluster is about all of them
	}
	e, ok := o.EventAfter(old, key, c.start)
	if !ok {
		return nil
	}
	if e.Type == condition.Warning {
		c.failed = append(c.failed, e)
	}
	return store.Record(c.tx, e)
}

// isOfCluster reports whether many objects of a cluster have a condition at once, or end it at once.
func isOfCluster(o, old store.Condition) bool {
	return o.Reason == condition.RemovalHeld || o.Reason == condition.BundleTooLarge ||
		old.Reason == condition.BundleTooLarge && o.Ready == condition.True
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
