package plan

import (
	"context"
	"slices"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/plan/graph"
	"github.com/navefleet/nave/hub/internal/store"
	"github.com/navefleet/nave/shared/bundle"
)

// A request to reconcile a renderable also asks for its remote bases. A walk that uses bases from before the request
// does not answer it: neither the condition nor the plan has the new request, until each base was fetched since. Then
// package fetch writes the row of the source, even if the fetch brought nothing new, and the graph is walked again. The
// same holds while a release waits for an answer of its cluster: the answer is a reason to walk the graph again.

// awaitAnswers finds the requests that the walk does not answer, and takes them out of the entries.
func (p *Planner) awaitAnswers(ctx context.Context, w *walked) error {
	bases, waiting := w.askedBases(), w.askedWaiting()
	if len(bases) == 0 && len(waiting) == 0 {
		return nil
	}
	err := p.store.View(ctx, func(tx *store.Tx) error {
		w.unanswered, w.awaited = map[api.Key]string{}, map[string]bool{}
		for _, key := range bases {
			if err := p.awaitBasesOf(tx, w, key); err != nil {
				return err
			}
		}
		for _, key := range waiting {
			o, _, err := store.Conditions.GetIntact(tx, key.Path())
			if err != nil {
				return err
			}
			w.unanswered[key] = o.HandledRequest
		}
		return nil
	})
	if err != nil || len(w.unanswered) == 0 {
		return err
	}
	last := w.lastRequests()
	for i, c := range w.entries {
		if _, waits := w.unanswered[c.key]; waits {
			w.entries[i].entry.RequestedAt = last[c.entry.Name]
		}
	}
	return nil
}

// askedBases returns the renderables of the graph that have remote bases and a request.
func (w *walked) askedBases() (keys []api.Key) {
	for key, bases := range w.needed {
		if n := w.graph.Nodes[key]; len(bases) > 0 && n.Object != nil && w.requested(key) != "" {
			keys = append(keys, key)
		}
	}
	return keys
}

// askedWaiting returns the renderables of the graph that have a request and wait for an answer of the cluster.
func (w *walked) askedWaiting() (keys []api.Key) {
	for _, waiting := range []map[api.Key]bool{w.graph.Waiting, w.waiting} {
		for key, waits := range waiting {
			if waits && w.requested(key) != "" {
				keys = append(keys, key)
			}
		}
	}
	return keys
}

// awaitBasesOf notes the remote bases of a renderable that were not fetched since the request.
func (p *Planner) awaitBasesOf(tx *store.Tx, w *walked, key api.Key) error {
	o, _, err := store.Conditions.GetIntact(tx, key.Path())
	requested := w.requested(key)
	if err != nil || o.HandledRequest == requested {
		return err
	}
	for _, b := range w.needed[key] {
		answered, err := p.answeredBy(tx, w, key, b)
		if err != nil {
			return err
		}
		if !answered {
			w.unanswered[key], w.awaited[b.FetchKey] = o.HandledRequest, true
		}
	}
	return nil
}

// answeredBy reports whether the walk has what a base was fetched as since the request for its owner. A base that will
// not be fetched counts as answered.
func (p *Planner) answeredBy(tx *store.Tx, w *walked, owner api.Key, b graph.Base) (bool, error) {
	key := b.Object.Key.In(w.cluster)
	row := w.rows[key]
	if n := w.graph.Nodes[key]; n.Owner == nil || *n.Owner != owner || row.Suspended {
		return true, nil
	}
	fetched, _, err := store.Sources.GetIntact(tx, b.FetchKey)
	if err != nil || !sameArtifact(fetched, p.sources[b.FetchKey]) {
		return false, err // newer than the walk: the next walk has it
	}
	o, _, err := store.Conditions.GetIntact(tx, key.Path())
	return o.HandledRequest == w.requestOf(key, b.Object.RequestedAt()), err
}

// handled returns the last request to reconcile an object that the walk, or one before it, answers.
func (w *walked) handled(key api.Key) string {
	if last, waits := w.unanswered[key]; waits {
		return last
	}
	return w.requested(key)
}

// answers reports whether the walk may answer a request that the last plan does not have. The hub has no plan.
func (w *walked) answers() bool {
	if w.cluster == "" {
		for key, row := range w.rows {
			if row.Requested() != "" && key.Role() == api.RenderableRole {
				return true
			}
		}
		return false
	}
	requested := func(c compiled) bool { return c.entry.RequestedAt != "" }
	if !slices.ContainsFunc(w.entries, requested) {
		return false
	}
	last := w.lastRequests()
	return slices.ContainsFunc(w.entries, func(c compiled) bool { return c.entry.RequestedAt != last[c.entry.Name] })
}

// lastRequests returns the requests in the last plan.
func (w *walked) lastRequests() map[bundle.ApplicationName]string {
	last := map[bundle.ApplicationName]string{}
	for _, e := range w.last.Applications {
		last[e.Name] = e.RequestedAt
	}
	return last
}
